"""Federated EMNIST (Caldas et al. 2018): its SQLite file, read, and fetched where it is missing."""

import contextlib
import functools
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from fedlab import files
from fedlab.data import download
from fedlab.data.client_data import DIGIT_SHAPE, NUM_DIGITS, Examples, MemoryClientData

FILE_NAME = "emnist_all.sqlite"
URL = "https://storage.googleapis.com/tff-datasets-public/emnist_all.sqlite.lzma"
URL_VARIABLE = "FEDLAB_EMNIST_URL"
DIGIT_SPLITS = ("digits_only_train", "digits_only_test")
ALL_SPLITS = ("all_train", "all_test")
_FEATURES = {
    "pixels": tf.io.FixedLenFeature(DIGIT_SHAPE, tf.float32),
    "label": tf.io.FixedLenFeature((), tf.int64),
}


def load_emnist(
    *,
    only_digits: bool = True,
    path: str | Path | None = None,
    url: str | None = None,
    cache_dir: str | Path | None = None,
) -> tuple[MemoryClientData, MemoryClientData]:
    """Returns the real Federated EMNIST, downloaded once: a few hundred megabytes.

    Unpacked it is 3.5 GB or more: TFF's documentation counts 1,131,773 examples in the file, each
    with 3,136 bytes of pixels. All its digits in memory take 1.2 GB.

    The same data as `tff.simulation.datasets.emnist.load_data`, but a download is written beside
    its place, checked, and only then given its name; TFF's loader takes one that was cut short for
    the data set ever after.

    Args:
        only_digits: 10 labels, 3,383 writers; else also letters: 62 labels, 3,400 writers.
        path: A local file, `.sqlite` or `.sqlite.lzma`; nothing is downloaded then.
        url: A mirror of the `.sqlite.lzma` file. Default: the variable `FEDLAB_EMNIST_URL`, else
            Google's storage.
        cache_dir: Where the unpacked file is kept. Default: `fedlab.files.cache_dir()`.

    Returns:
        `(train, test)`, every writer in both.

    Raises:
        FileNotFoundError: `path` is not there.
        OSError: There is not enough space for the download and the unpacked file.
        ConnectionError: The download failed; the message names the ways round.
        ValueError: The file is damaged or is not Federated EMNIST's format.
    """
    splits, num_classes = (DIGIT_SPLITS, NUM_DIGITS) if only_digits else (ALL_SPLITS, 62)
    cache_dir = Path(cache_dir or files.cache_dir())
    if path is None:
        path = cache_dir / FILE_NAME
        if not path.exists():
            origin = url or os.environ.get(URL_VARIABLE) or URL
            download.download_and_unpack(origin, path, check_fn=check_every_page)
        _check_cached(path)
    return load_sqlite(path, splits=splits, num_classes=num_classes, cache_dir=cache_dir)


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
        path: `.sqlite`, or `.sqlite.lzma` / `.sqlite.xz`, which is unpacked to the cache once.
        splits: Names of the splits to return, in this order.
        num_classes: Labels must lie in [0, num_classes).
        cache_dir: Where packed files are unpacked to. Default: `fedlab.files.cache_dir()`.

    Returns:
        One `MemoryClientData` per split. A client is read when it is first asked for.

    Raises:
        FileNotFoundError: The file is not there.
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
    with _open(path) as connection:
        rows = connection.execute(
            "SELECT client_id FROM client_metadata WHERE split_name = ?", (split,)
        ).fetchall()
        names = connection.execute("SELECT DISTINCT split_name FROM client_metadata").fetchall()
    if not rows:
        found = ", ".join(sorted(name for (name,) in names)) or "none"
        raise ValueError(f"{path} has no split {split!r}. It has: {found}.")
    read_fn = functools.partial(_read_client, path, split)
    return MemoryClientData([client_id for (client_id,) in rows], read_fn, num_classes)


def _read_client(path: Path, split: str, client_id: str) -> Examples:
    with _open(path) as connection:
        rows = connection.execute(
            "SELECT serialized_example_proto FROM examples "
            "WHERE split_name = ? AND client_id = ? ORDER BY rowid",
            (split, client_id),
        ).fetchall()
    if not rows:
        return Examples(np.empty((0, *DIGIT_SHAPE), np.float32), np.empty(0, np.int32))
    try:
        parsed = tf.io.parse_example([proto for (proto,) in rows], _FEATURES)
    except (tf.errors.InvalidArgumentError, UnicodeDecodeError) as error:
        # The second is TensorFlow's message itself, where it quotes the bytes that it met.
        raise ValueError(
            f"Client {client_id!r} in {path}: an example is not a tf.train.Example with a 28x28 "
            f"float 'pixels' and an integer 'label'. Get the file again."
        ) from error
    return Examples(parsed["pixels"].numpy(), parsed["label"].numpy())


@contextlib.contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    """Opens the file read-only; whatever SQLite says of it names the file."""
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        ) as connection:
            yield connection
    except sqlite3.DatabaseError as error:
        raise ValueError(f"{path} is damaged ({error}). Get the file again.") from error


def check_sqlite(path: Path) -> None:
    """Checks that a file is whole and has the tables of TFF's `SqlClientData`.

    SQLite's header says how many pages there are, so a file that was cut off is told at once.

    Raises:
        ValueError: It is not. The message names the file.
    """
    with path.open("rb") as file:
        header = file.read(100)
    if not header.startswith(b"SQLite format 3\0") or len(header) < 100:
        raise ValueError(f"{path} is not an SQLite file. Get the file again.")
    page_size = int.from_bytes(header[16:18], "big")
    page_size = 65536 if page_size == 1 else page_size  # the file format's own way to write 65536
    expected, found = page_size * int.from_bytes(header[28:32], "big"), path.stat().st_size
    if found < expected:
        raise ValueError(f"{path} is cut off: {found} of {expected} bytes. Get the file again.")
    wanted = {"examples": "serialized_example_proto", "client_metadata": "num_examples"}
    with _open(path) as connection:
        for table, column in wanted.items():
            columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            if not {"client_id", "split_name", column} <= columns:
                raise ValueError(
                    f"{path} is not in the format of TFF's SqlClientData: its table {table!r} "
                    f"must have client_id, split_name and {column}. Found {sorted(columns)}."
                )


def check_every_page(path: Path) -> None:
    """Checks a new file as `check_sqlite` does, and its structure page by page, which takes longer.

    The `.lzma` format has no checksum, so flipped bytes may unpack without an error.

    Raises:
        ValueError: The file is not good. The message names it.
    """
    check_sqlite(path)
    with _open(path) as connection:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise ValueError(f"{path} is damaged ({verdict}). Get the file again.")
