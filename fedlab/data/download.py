"""Downloads and unpacks a file so that its final name always stands for a whole, checked file."""

import contextlib
import errno
import hashlib
import lzma
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pooch
from tqdm.auto import tqdm
from tqdm.utils import CallbackIOWrapper

from fedlab.files import PART_PATTERN, create_part, remove_abandoned, written_beside

CheckFn = Callable[[Path], None]
_CHUNK = 1 << 20
_TIMEOUT_SECONDS = 30
_BAR_AFTER_SECONDS = 1
_FULL = (errno.ENOSPC, errno.EDQUOT)
# Federated EMNIST's download and the 3.5 GB or more that come out of it, with some to spare.
ENOUGH_BYTES = 6 * 10**9
_MOST_UNPACKED = 25  # times the packed size: pixels that are mostly paper pack well


def download_and_unpack(url: str, target: Path, *, check_fn: CheckFn) -> None:
    """Downloads an LZMA-packed file to `target`, unpacked; a failed attempt leaves nothing behind.

    Args:
        url: An http(s) address of a `.lzma` or `.xz` file.
        target: Where the unpacked file goes.
        check_fn: Raises `ValueError` where the unpacked file is not good.

    Raises:
        OSError: There is not enough space.
        ConnectionError: The download failed. The message names the other ways to the data.
        ValueError: What came is damaged or not the data.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(target.parent, re.escape(target.name) + PART_PATTERN)
    _check_space(target.parent, ENOUGH_BYTES)
    with create_part(target) as packed:
        try:
            _download(url, packed)
        except OSError as error:  # every error of requests is one
            if error.errno in _FULL:
                raise _no_space(target.parent, "the download") from error
            raise ConnectionError(
                f"Could not download {url} ({type(error).__name__}). {_three_ways(target)}"
            ) from error
        try:
            unpack(packed, target, check_fn=check_fn, shown_name=url)
        except ValueError as error:
            raise ValueError(f"{error} {_three_ways(target)}") from error


def _check_space(folder: Path, needed_bytes: int) -> None:
    if shutil.disk_usage(folder).free < needed_bytes:
        raise _no_space(folder, f"the data set, which needs {needed_bytes / 1e9:.2g} GB there")


def _no_space(folder: Path, what: str) -> OSError:
    free = shutil.disk_usage(folder).free / 1e9
    return OSError(
        f"There is not enough space in {folder} ({free:.1f} GB free) for {what}: free some, or "
        "name a folder on a larger disk with cache_dir=."
    )


def _download(url: str, target: Path) -> None:
    name = url.rsplit("/", 1)[-1]
    # Pooch asks whether the bar is true before it sets the total; without one that is an error.
    with tqdm(total=1, unit="B", unit_scale=True, desc=f"Downloading {name}") as bar:
        downloader = pooch.HTTPDownloader(progressbar=bar, timeout=_TIMEOUT_SECONDS)
        downloader(url, str(target), None)


def _three_ways(target: Path) -> str:
    return (
        "Three ways to the data: "
        "(1) try again where Google's storage can be reached; "
        '(2) a mirror: load("emnist", url="https://…/emnist_all.sqlite.lzma"), or the variable '
        "FEDLAB_EMNIST_URL; "
        '(3) a local copy: load("emnist", path="…/emnist_all.sqlite.lzma"), or put the unpacked '
        f'file at {target}. Without any of them the course runs on load("digits").'
    )


def unpack_to_cache(packed: Path, cache_dir: Path, *, check_fn: CheckFn) -> Path:
    """Unpacks a local file once, to a name made of its content's SHA-256, and returns that.

    Raises:
        OSError: There is not enough space.
        ValueError: The file is damaged or not the data.
    """
    with packed.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    target = cache_dir / f"{packed.stem.removesuffix('.sqlite')}-{digest[:16]}.sqlite"
    if not target.exists():
        cache_dir.mkdir(parents=True, exist_ok=True)
        remove_abandoned(cache_dir, r".+-[0-9a-f]{16}\.sqlite" + PART_PATTERN)
        packed_bytes = packed.stat().st_size
        _check_space(cache_dir, min(_MOST_UNPACKED * packed_bytes, ENOUGH_BYTES))
        unpack(packed, target, check_fn=check_fn, shown_name=str(packed))
    return target


def unpack(packed: Path, target: Path, *, check_fn: CheckFn, shown_name: str) -> None:
    """Unpacks an LZMA or XZ file beside `target`, checks it, and renames it into place.

    Raises:
        OSError: There is not enough space.
        ValueError: The packed file is cut off or damaged, or what it holds fails `check_fn`.
    """
    with written_beside(target) as part:
        try:
            with (
                _with_bar(packed, shown_name) as file,
                lzma.open(file) as source,
                part.open("wb") as sink,
            ):
                shutil.copyfileobj(source, sink, _CHUNK)
        except OSError as error:
            if error.errno in _FULL:
                raise _no_space(target.parent, f"what is in {shown_name}") from error
            raise
        except (lzma.LZMAError, EOFError) as error:
            raise ValueError(
                f"{shown_name} is cut off or damaged ({error}). Get the file again."
            ) from error
        try:
            check_fn(part)
        except ValueError as error:  # it names the part, which the learner never sees
            raise ValueError(str(error).replace(str(part), shown_name)) from error


@contextlib.contextmanager
def _with_bar(packed: Path, shown_name: str) -> Iterator[IO[bytes]]:
    """Opens a packed file; a bar shows how much of it has been read, where that takes its time."""
    bar = tqdm(
        total=packed.stat().st_size,
        unit="B",
        unit_scale=True,
        desc=f"Unpacking {shown_name.rsplit('/', 1)[-1]}",
        delay=_BAR_AFTER_SECONDS,
    )
    with packed.open("rb") as file, bar:
        yield CallbackIOWrapper(bar.update, file, "read")
