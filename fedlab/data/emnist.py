"""Federated EMNIST (Caldas et al. 2018): reads its SQLite file, and downloads it if necessary."""

import functools
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from fedlab import files
from fedlab.data import download, sqlite_file
from fedlab.data.client_data import DIGIT_SHAPE, NUM_DIGITS, Examples, MemoryClientData
from fedlab.dataset_names import EMNIST_FILE

URL = "https://storage.googleapis.com/tff-datasets-public/emnist_all.sqlite.lzma"
URL_VARIABLE = "FEDLAB_EMNIST_URL"
DIGIT_SPLITS = ("digits_only_train", "digits_only_test")
ALL_SPLITS = ("all_train", "all_test")
NUM_CHARACTERS = 62  # digits, capital and small letters
_FEATURES = {
    "pixels": tf.io.FixedLenFeature(DIGIT_SHAPE, tf.float32),
    "label": tf.io.FixedLenFeature((), tf.int64),
}
_TABLES = {
    "examples": {"client_id", "split_name", "serialized_example_proto"},
    "client_metadata": {"client_id", "split_name", "num_examples"},
}


def load_emnist(
    *,
    only_digits: bool = True,
    path: str | Path | None = None,
    url: str | None = None,
    known_hash: str | None = None,
    cache_dir: str | Path | None = None,
) -> tuple[MemoryClientData, MemoryClientData]:
    """Returns the real Federated EMNIST, which is downloaded once: a few hundred megabytes.

    The unpacked file has 3.5 GB or more: TFF's documentation counts 1,131,773 examples in it, each
    with 3,136 bytes of pixels. All digits together take 0.3 GB of memory, a byte for each pixel.

    The data are those of `tff.simulation.datasets.emnist.load_data`. Unlike TFF's loader, this
    function never uses a download that was cut off: the file gets its name after it is checked.

    Args:
        only_digits: Whether to load the digits (10 labels, 3,383 writers) or digits and letters (62
            labels, 3,400 writers).
        path: A local file, `.sqlite` or `.sqlite.lzma`. Default: the file is downloaded.
        url: The address of a mirror of the `.sqlite.lzma` file, http or https. Default: the variable
            `FEDLAB_EMNIST_URL`, or Google's storage if it is not set.
        known_hash: The SHA-256 of the file at `url`, which is then checked. Default: no such check;
            TFF publishes no SHA-256 of Google's file.
        cache_dir: The folder of the unpacked file. One that does not exist is made for this user
            alone. Default: `fedlab.files.cache_dir()`.

    Returns:
        `(train, test)`, with every writer in both.

    Raises:
        FileNotFoundError: The file at `path` does not exist, or there is no folder for caches.
        OSError: There is not enough space for the download and the unpacked file.
        ConnectionError: The download failed; the message names other ways to the data.
        ValueError: The file is damaged, has another SHA-256 or is not of Federated EMNIST's format.
    """
    splits, num_classes = (
        (DIGIT_SPLITS, NUM_DIGITS) if only_digits else (ALL_SPLITS, NUM_CHARACTERS)
    )
    if path is None:
        path = Path(cache_dir or files.cache_dir()) / EMNIST_FILE
        if not path.exists():
            origin = url or os.environ.get(URL_VARIABLE) or URL
            download.download_and_unpack(
                origin,
                path,
                check_fn=check_every_page,
                remedy=_name_ways(path),
                known_hash=known_hash,
            )
        _check_cached(path)
    train, test = load_sqlite(path, splits=splits, num_classes=num_classes, cache_dir=cache_dir)
    return train, test


def _name_ways(path: Path) -> str:
    return (
        "Three ways to the data: "
        "(1) try again where Google's storage can be reached; "
        '(2) a mirror: load("emnist", url="https://…/emnist_all.sqlite.lzma"), or the variable '
        f"{URL_VARIABLE}; "
        '(3) a local copy: load("emnist", path="…/emnist_all.sqlite.lzma"), or put the unpacked '
        f'file at {path}. Without any of them the course runs on load("digits").'
    )


def _check_cached(path: Path) -> None:
    try:
        check_sqlite(path)
    except ValueError as error:
        raise ValueError(f"{error} To do so, delete it: the next call downloads it.") from error


def load_sqlite(
    path: str | Path,
    *,
    splits: Sequence[str] = DIGIT_SPLITS,
    num_classes: int = NUM_DIGITS,
    cache_dir: str | Path | None = None,
) -> tuple[MemoryClientData, ...]:
    """Returns client data from a file in the format of TFF's `SqlClientData`.

    Args:
        path: The file, `.sqlite`, or `.sqlite.lzma` or `.sqlite.xz`, which is unpacked once. Its
            images have 28x28 pixels.
        splits: The names of the splits to return, in this order.
        num_classes: Number of labels; labels must lie in [0, num_classes).
        cache_dir: The folder of unpacked files. One that does not exist is made for this user alone.
            Default: `fedlab.files.cache_dir()`.

    Returns:
        One `MemoryClientData` per split. A client is read when its examples are first used.

    Raises:
        FileNotFoundError: The file does not exist.
        OSError: There is not enough space to unpack it.
        ValueError: The file is cut off or damaged, not of this format, or lacks a split.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}. Check the path.")
    if path.suffix in (".lzma", ".xz"):
        cache_dir = Path(cache_dir or files.cache_dir())
        path = download.unpack_to_cache(path, cache_dir, check_fn=check_every_page)
    check_sqlite(path)
    return tuple(_load_split(path, split, num_classes) for split in splits)


def _load_split(path: Path, split: str, num_classes: int) -> MemoryClientData:
    rows = sqlite_file.fetch(
        path, "SELECT client_id FROM client_metadata WHERE split_name = ?", (split,)
    )
    if not rows:
        names = sqlite_file.fetch(path, "SELECT DISTINCT split_name FROM client_metadata", ())
        present = ", ".join(sorted(name for (name,) in names if isinstance(name, str))) or "none"
        raise ValueError(f"{path} has no split {split!r}. It has: {sqlite_file.shorten(present)}.")
    for (client_id,) in rows:
        if not isinstance(client_id, str) or len(client_id) > sqlite_file.MAX_TEXT:
            raise ValueError(
                f"{path}: a client id must be text of at most {sqlite_file.MAX_TEXT} characters. "
                f"Found {sqlite_file.shorten(repr(client_id))}."
            )
    read_fn = functools.partial(_read_client, path, split)
    return MemoryClientData(
        [client_id for (client_id,) in rows], read_fn, num_classes, compact=True
    )


def _read_client(path: Path, split: str, client_id: str) -> Examples:
    rows = sqlite_file.fetch(
        path,
        "SELECT rowid, serialized_example_proto FROM examples "
        "WHERE split_name = ? AND client_id = ?",
        (split, client_id),
    )
    if not rows:
        return Examples(np.empty((0, *DIGIT_SHAPE), np.float32), np.empty(0, np.int32))
    try:
        protos = [proto for _, proto in sorted(rows, key=lambda row: row[0])]
        parsed = tf.io.parse_example(protos, _FEATURES)
    except (tf.errors.InvalidArgumentError, TypeError, ValueError) as error:
        # A value that is no bytes, or a UnicodeDecodeError: TensorFlow's message may quote bytes.
        raise ValueError(
            f"Client {client_id!r} in {path}: an example is not a tf.train.Example with a 28x28 "
            f"float 'pixels' and an integer 'label'. Get the file again."
        ) from error
    return Examples(parsed["pixels"].numpy(), parsed["label"].numpy())


def check_sqlite(path: Path) -> None:
    """Checks that a file is whole and has the tables of TFF's `SqlClientData`.

    Raises:
        ValueError: The file is cut off, damaged or of another format. The message names it.
    """
    sqlite_file.check_whole(path)
    sqlite_file.check_tables(path, _TABLES)


def check_every_page(path: Path) -> None:
    """Checks a file as `check_sqlite` does, and its structure page by page, which takes longer.

    The `.lzma` format has no checksum, so flipped bytes may unpack without an error.

    Args:
        path: The file.

    Raises:
        ValueError: The file is cut off, damaged or of another format. The message names it.
    """
    check_sqlite(path)
    sqlite_file.check_pages(path)
