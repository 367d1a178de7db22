"""One checkpoint as one file: the arrays of a state, and JSON. Nothing in it is executed.

The file is NumPy's npz, not compressed: the arrays are `0.npy`, `1.npy`, … in the order of the state, and
`metadata.npy` has the bytes of the JSON. The JSON names every array with its dtype and shape, and
has a SHA-256 over all else, which tells damage. It is no signature: whoever can write the file can
write a digest that fits.
"""

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Iterable
from typing import IO, Any, NamedTuple

import numpy as np
import pydantic

from fedlab.checkpoints.leaves import describe_type, map_leaves, stored_kind, to_array, to_leaf

FORMAT = 1
_METADATA = "metadata"
_MAX_OTHER_BYTES = 1 << 30  # of text and records


class DamagedError(ValueError):
    """The file is not what was written."""


class OtherStateError(ValueError):
    """The file is whole, and holds the state of another process, or is of another format."""


class SavedRun(NamedTuple):
    """A run after one of its rounds.

    Attributes:
        round_num: The round, at least 1.
        state: The process's state after it.
        records: The records of the rounds up to it.
        description: What the run depends on, as JSON has it.
    """

    round_num: int
    state: Any
    records: list[dict[str, Any]]
    description: dict[str, Any]


class _Metadata(pydantic.BaseModel):
    """The JSON in a file."""

    model_config = pydantic.ConfigDict(strict=True, extra="forbid")

    format: int
    round_num: int
    state_type: list[str]
    records: list[dict[str, Any]]
    description: dict[str, Any]
    sha256: str = ""


def write(file: IO[bytes], run: SavedRun) -> None:
    """Writes a checkpoint.

    Args:
        file: A new file, open for writing.
        run: What is saved.

    Raises:
        TypeError: A leaf of the state is neither numbers nor text, or a record holds what JSON has not.
    """
    state_type = describe_type(run.state)
    arrays: list[np.ndarray] = []
    map_leaves(lambda path, leaf: arrays.append(to_array(leaf)), run.state)
    metadata = _Metadata(
        format=FORMAT,
        round_num=run.round_num,
        state_type=state_type,
        records=run.records,
        description=run.description,
    )
    metadata.sha256 = _digest(metadata, arrays)
    text = _to_json(metadata.model_dump())
    named = {str(number): array for number, array in enumerate(arrays)}
    named[_METADATA] = np.frombuffer(text.encode(), np.uint8)
    np.savez(file, **named)


def _to_json(value: Any) -> str:
    return json.dumps(value, default=_to_plain)


def _to_plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(
        "A record that is saved holds numbers, text, lists and dicts. "
        f"Found {type(value).__name__}: {value!r}."
    )


def _digest(metadata: _Metadata, arrays: Iterable[np.ndarray]) -> str:
    hashed = hashlib.sha256(_to_json(metadata.model_dump(exclude={"sha256"})).encode())
    for array in arrays:
        hashed.update(np.ascontiguousarray(array).data)
    return hashed.hexdigest()


def check_size(num_bytes: int, example_state: Any) -> None:
    """Refuses a file that is far larger than a checkpoint can be.

    Args:
        num_bytes: The size of the file.
        example_state: A state of the process that is to go on.

    Raises:
        OtherStateError: The file is too large.
    """
    sizes: list[int] = []
    map_leaves(lambda _, leaf: sizes.append(np.asarray(leaf).nbytes), example_state)
    if num_bytes > sum(sizes) + _MAX_OTHER_BYTES:
        raise OtherStateError(f"it has {num_bytes} bytes, this process's state {sum(sizes)}")


def read(content: bytes, example_state: Any) -> SavedRun:
    """Reads a checkpoint.

    Args:
        content: The bytes of the file.
        example_state: A state of the process that is to go on, such as its first.

    Raises:
        DamagedError: The bytes are not what was written.
        OtherStateError: The state has other arrays than the example, or the format is another one.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            text = _read_array(archive, _METADATA, np.dtype(np.uint8), None).tobytes().decode()
            parsed = json.loads(text)
            if parsed["format"] != FORMAT:
                raise OtherStateError(f"its format is {parsed['format']}, this program's {FORMAT}")
            metadata = _Metadata.model_validate(parsed)
            check_type(metadata.state_type, describe_type(example_state))
            leaves: list[Any] = []
            map_leaves(lambda _, leaf: leaves.append(leaf), example_state)
            arrays = [
                _read_array(archive, str(number), *stored_kind(leaf))
                for number, leaf in enumerate(leaves)
            ]
        if _digest(metadata, arrays) != metadata.sha256:
            raise DamagedError("its digest is another")
        remaining = iter(arrays)
        state = map_leaves(lambda _, leaf: to_leaf(next(remaining), leaf), example_state)
    except (OtherStateError, DamagedError, MemoryError):
        raise
    except Exception as error:  # zipfile, NumPy and JSON have many, not all of them documented
        raise DamagedError(f"{type(error).__name__}: {error}") from error
    return SavedRun(metadata.round_num, state, metadata.records, metadata.description)


def _read_array(
    archive: zipfile.ZipFile, name: str, dtype: np.dtype, shape: tuple[int, ...] | None
) -> np.ndarray:
    """Reads an array of a known kind. It takes no more memory than its bytes in the file."""
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type != zipfile.ZIP_STORED:
        raise DamagedError(f"{info.filename} is compressed")
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise DamagedError(f"{info.filename} has version {version}")
        found_shape, _, found_dtype = np.lib.format.read_array_header_1_0(file)
        if found_dtype != dtype or found_shape != (found_shape if shape is None else shape):
            raise DamagedError(f"{info.filename} holds {found_dtype}{list(found_shape)}")
        num_bytes = math.prod(found_shape) * dtype.itemsize
        if not file.tell() + num_bytes == info.file_size == info.compress_size:
            raise DamagedError(f"{info.filename} is not as long as it says")
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)


def check_type(found: list[str], expected: list[str]) -> None:
    """Compares the types of two states.

    Args:
        found: The type of a state that was saved or is to be saved, from `describe_type`.
        expected: The type of the example.

    Raises:
        OtherStateError: They differ; the message names a leaf.
    """
    for line in found:
        if line not in expected:
            raise OtherStateError(f"it holds {line}, this process {_same_path(line, expected)}")
    if found != expected:
        missing = [line for line in expected if line not in found]
        raise OtherStateError(f"this process holds {', '.join(missing) or 'another order'}, too")


def _same_path(line: str, lines: list[str]) -> str:
    path = line.partition(" ")[0]
    return next((each for each in lines if each.partition(" ")[0] == path), "does not")
