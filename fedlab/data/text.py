"""Texts by author as client data: each example is a window of tokens and the tokens that follow."""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from fedlab.checks import (
    check_array,
    check_callable,
    check_count,
    check_ids,
    check_instance,
    check_labels,
    check_mapping,
    check_number,
    check_path,
    check_text,
)
from fedlab.data.byte_pairs import Tokenizer
from fedlab.data.client_data import MemoryClientData

CONTEXT = 64  # tokens of a window
_MAX_FILE_BYTES = 1 << 26  # of a text file


class Windows(NamedTuple):
    """One client's examples.

    Attributes:
        tokens: int32 (n, context), what a model reads.
        next_tokens: int32 (n, context), what it has to say: at each place the token that follows.
    """

    tokens: np.ndarray
    next_tokens: np.ndarray


class TokenClientData(MemoryClientData):
    """Client data whose examples are windows of tokens, read once per client and kept in memory.

    Args:
        client_ids: The ids of the clients, at least one, all different.
        read_fn: A function from a client's id to its `Windows`; called at most once per client.
        num_tokens: Number of different tokens; their numbers lie in [0, num_tokens).
        context: Number of tokens in a window, at least 1.

    Attributes:
        num_classes: The number of different tokens.
        context: Number of tokens in a window.

    Raises:
        TypeError: An argument has another type; an id is text.
        ValueError: There are no clients, a client is named twice, or a number is out of range.
    """

    example_dtype = np.int32

    def __init__(
        self,
        client_ids: Iterable[str],
        read_fn: Callable[[str], Windows],
        num_tokens: int,
        context: int = CONTEXT,
    ):
        self._client_ids = sorted(check_ids("client_ids", client_ids))
        self._known = frozenset(self._client_ids)
        self._read_fn: Callable[[str], Any] = check_callable("read_fn", read_fn)
        self.num_classes = check_count("num_tokens", num_tokens)
        self.context = check_count("context", context)
        self._compact = False
        self._stored = {}

    @property
    def example_shape(self) -> tuple[int, ...]:
        """Shape of the tokens of one example, (context,)."""
        return (self.context,)

    @property
    def label_shape(self) -> tuple[int, ...]:
        """Shape of the following tokens of one example, (context,)."""
        return (self.context,)

    @property
    def element_type_structure(self) -> OrderedDict[str, tf.TensorSpec]:
        """`OrderedDict(label: int32 (context,), tokens: int32 (context,))`."""
        spec = tf.TensorSpec((self.context,), tf.int32)
        return OrderedDict(label=spec, tokens=spec)

    def examples(self, client_id: str) -> Windows:  # type: ignore[override]
        """Returns one client's examples as arrays.

        Args:
            client_id: One of `client_ids`.

        Raises:
            ValueError: There is no such client, or its examples are not usable.
        """
        return Windows(*self._read(client_id))

    def _check(self, client_id: str, first: npt.ArrayLike, labels: npt.ArrayLike) -> Windows:
        checked = []
        for name, array in zip(Windows._fields, (first, labels), strict=True):
            label = f"Client {client_id!r}: {name}"
            numbers = check_array(label, array, (None, self.context))
            flat = check_labels(label, numbers.ravel(), num_classes=self.num_classes)
            checked.append(flat.astype(np.int32).reshape(numbers.shape))
        if len(checked[0]) != len(checked[1]):
            raise ValueError(
                f"Client {client_id!r}: tokens and next_tokens must have as many windows. Found "
                f"{len(checked[0])} and {len(checked[1])}."
            )
        return Windows(*checked)

    def _to_elements(self, arrays: tuple[Any, ...]) -> OrderedDict[str, Any]:
        return OrderedDict(label=arrays[1], tokens=arrays[0])

    def _select(self, client_ids: list[str]) -> "TokenClientData":
        return TokenClientData(client_ids, self._read_fn, self.num_classes, self.context)


def to_windows(numbers: npt.ArrayLike, context: int = CONTEXT) -> Windows:
    """Cuts a text into windows that do not overlap; what is left at its end is dropped.

    Args:
        numbers: The numbers of the text's tokens: int (n,).
        context: Number of tokens in a window, at least 1.

    Returns:
        (n - 1) // context windows.
    """
    array = np.asarray(numbers)
    if array.shape != (0,):  # an empty text has no windows
        array = check_labels("numbers", numbers)
    numbers, context = array.astype(np.int32), check_count("context", context)
    end = max(len(numbers) - 1, 0) // context * context
    return Windows(numbers[:end].reshape(-1, context), numbers[1 : end + 1].reshape(-1, context))


def from_texts(
    texts: Mapping[str, str],
    tokenizer: Tokenizer,
    *,
    context: int = CONTEXT,
    test_fraction: float = 0.2,
) -> tuple[TokenClientData, TokenClientData]:
    r"""Makes federated data of texts by author, split by time: the end of each text is the test.

    The texts of a table with the columns author and text are
    `table.groupby("author").text.agg("\n".join).to_dict()`; those of a folder, `read_texts(folder)`.

    Args:
        texts: From the author's name, which becomes the client's id, to all of the author's text.
        tokenizer: Turns text into tokens.
        context: Number of tokens in a window, at least 1.
        test_fraction: Share of each author's tokens that is for the test, above 0 and below 1.

    Returns:
        `(train, test)`: the same clients in both. An author with too little text for a window of
        each is left out.

    Raises:
        ValueError: No author has enough text, or a character is unknown to the tokenizer.

    Example:
        >>> texts = {"ann": "to be or not to be " * 20, "bob": "that is the question " * 20}
        >>> tokenizer = create_character_tokenizer(texts.values())
        >>> train, test = from_texts(texts, tokenizer, context=16)
        >>> train.examples("ann").tokens.shape
        (18, 16)
    """
    check_instance("tokenizer", tokenizer, Tokenizer, "a Tokenizer")
    share = check_number("test_fraction", test_fraction, above=0, below=1)
    train, test = {}, {}
    for author, text in check_mapping("texts", texts).items():
        try:
            numbers = tokenizer.encode(check_text(f"texts[{author!r}]", text))
        except ValueError as error:
            raise ValueError(f"texts[{author!r}]: {error}") from None
        cut = int((1 - share) * len(numbers))
        halves = to_windows(numbers[:cut], context), to_windows(numbers[cut:], context)
        if all(len(half.tokens) for half in halves):
            train[author], test[author] = halves
    if not train:
        raise ValueError(
            f"No author has text for a window of {context} tokens in both splits. Give more text, or a "
            "smaller context."
        )
    train_data, test_data = (
        TokenClientData(split, split.__getitem__, tokenizer.num_tokens, context)
        for split in (train, test)
    )
    return train_data, test_data


def read_texts(folder: str | os.PathLike[str]) -> dict[str, str]:
    """Reads the texts of a folder by author: `folder/ann.txt`, or all of `folder/ann/*.txt`.

    Args:
        folder: The folder. Files are UTF-8 with the ending .txt, of at most 64 MB.

    Returns:
        From the author's name to the text; several files are joined in the order of their names.

    Raises:
        FileNotFoundError: There is no such folder, or it has no such files.
        ValueError: A file is too large or not UTF-8.
    """
    root = check_path("folder", folder)
    parts: dict[str, list[str]] = {}
    for path in sorted([*root.glob("*.txt"), *root.glob("*/*.txt")]):
        author = path.stem if path.parent == root else path.parent.name
        parts.setdefault(author, []).append(_read_text(path))
    if not parts:
        raise FileNotFoundError(
            f"There are no files AUTHOR.txt or AUTHOR/*.txt in {str(folder)!r}. Put one there for each "
            "author."
        )
    return {author: "\n\n".join(texts) for author, texts in parts.items()}


def _read_text(path: Path) -> str:
    if (size := path.stat().st_size) > _MAX_FILE_BYTES:
        raise ValueError(f"{path} has {size:,} bytes; {_MAX_FILE_BYTES:,} are the most. Cut it.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 ({error}). Save it as UTF-8.") from None
