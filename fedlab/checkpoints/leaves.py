"""The leaves of a state, as arrays that a file can hold, and back with the same types and bits."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow_federated as tff
import tree

_BYTES = "bytes"  # what stands for a dtype where the entries are bytes of any length
_STR = "str"


def map_leaves(function: Callable[[str, Any], Any], state: Any) -> Any:
    """Returns a state of the same containers with other leaves.

    Args:
        function: Takes the path of a leaf, such as "finalizer.learning_rate", and the leaf.
        state: Tuples, lists, mappings, attrs classes and TFF's `Struct`s, with arrays in them.
    """

    def visit(path: tuple[Any, ...], leaf: Any) -> Any:
        if isinstance(leaf, tff.structure.Struct):
            fields = list(tff.structure.iter_elements(leaf))
            return tff.structure.Struct(
                [
                    (name, tree.map_structure_with_path(_below(path, name or number, visit), part))
                    for number, (name, part) in enumerate(fields)
                ]
            )
        return function(".".join(map(str, path)), leaf)

    return tree.map_structure_with_path(visit, state)


def _below(path: tuple[Any, ...], name: Any, visit: Callable) -> Callable:
    return lambda rest, leaf: visit((*path, name, *rest), leaf)


def describe_type(state: Any) -> list[str]:
    """Returns the type of a state: one line per leaf, such as "finalizer.momentum.0 float32[10]".

    Args:
        state: The state.

    Raises:
        TypeError: A leaf is neither numbers nor text.
    """
    lines: list[str] = []
    map_leaves(lambda path, leaf: lines.append(_describe_leaf(path, leaf)), state)
    return lines


def _describe_leaf(path: str, leaf: Any) -> str:
    return f"{path} {_dtype_name(path, leaf)}{list(np.shape(leaf))}"


def _dtype_name(path: str, leaf: Any) -> str:
    dtype = np.asarray(leaf).dtype
    if dtype.kind not in "OSU":
        return dtype.name
    kinds = {type(entry) for entry in np.asarray(leaf, object).ravel()}
    if kinds <= {bytes} or kinds <= {str}:
        return _STR if str in kinds or dtype.kind == "U" else _BYTES
    raise TypeError(
        f"A state that is saved holds numbers and text. Found {type(leaf).__name__} at {path!r}."
    )


def to_array(leaf: Any) -> np.ndarray:
    """Returns a leaf as an array of a dtype that npy files have; `to_leaf` is the way back.

    Args:
        leaf: Numbers; or bytes or text, of which the array has the lengths (int64) and the UTF-8 bytes,
            as uint8 (n,). NumPy's own dtypes of text would lose zeros at the end.
    """
    array = np.asarray(leaf)
    if array.dtype.kind in "OSU":
        entries = np.asarray(leaf, object).ravel()
        encoded = [entry.encode() if isinstance(entry, str) else entry for entry in entries]
        lengths = np.array([len(entry) for entry in encoded], np.int64)
        return np.frombuffer(lengths.tobytes() + b"".join(encoded), np.uint8)
    if array.dtype.kind == "V":  # bfloat16 and its relatives
        return np.frombuffer(array.tobytes(), np.uint8)
    return array


def to_leaf(array: np.ndarray, example: Any) -> Any:
    """Returns a leaf out of an array of `to_array`.

    Args:
        array: The array.
        example: A leaf of the same type and shape.
    """
    dtype, shape = np.asarray(example).dtype, np.shape(example)
    if dtype.kind in "OSU":
        entries: list[Any] = _split(array.tobytes(), math.prod(shape))
        if _dtype_name("", example) == _STR:
            entries = [entry.decode() for entry in entries]
        if isinstance(example, bytes | str):
            return entries[0]
        array = np.empty(len(entries), object)
        array[:] = entries
        return array.reshape(shape).astype("O" if dtype.kind == "O" else dtype.kind)
    if dtype.kind == "V":
        array = np.frombuffer(array.tobytes(), dtype).reshape(shape).copy()
    if isinstance(example, np.generic):
        return array[()]
    return array.item() if isinstance(example, bool | int | float | complex) else array


def _split(content: bytes, num_entries: int) -> list[bytes]:
    header = num_entries * 8
    ends = header + np.cumsum(np.frombuffer(content[:header], np.int64))
    return [content[start:end] for start, end in zip([header, *ends], ends, strict=False)]


def stored_kind(leaf: Any) -> tuple[np.dtype, tuple[int, ...] | None]:
    """Returns dtype and shape of the array that `to_array` makes; `None`: of any length.

    Args:
        leaf: The leaf, or an example of it.
    """
    dtype = np.asarray(leaf).dtype
    return (np.dtype(np.uint8), None) if dtype.kind in "OSUV" else (dtype, np.shape(leaf))
