"""Downloads and unpacks a file so that its final name always stands for a whole, checked file."""

import contextlib
import hashlib
import lzma
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pooch
from tqdm.auto import tqdm

CheckFn = Callable[[Path], None]
_CHUNK = 1 << 20
_TIMEOUT_SECONDS = 30


def download_and_unpack(url: str, target: Path, *, check_fn: CheckFn) -> None:
    """Downloads an LZMA-packed file to `target`, unpacked; a failed attempt leaves nothing behind.

    Args:
        url: An http(s) address of a `.lzma` or `.xz` file.
        target: Where the unpacked file goes.
        check_fn: Raises `ValueError` where the unpacked file is not good.

    Raises:
        ConnectionError: The download failed. The message names the other ways to the data.
        ValueError: What came is damaged or not the data.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="download-") as folder:
        packed = Path(folder) / "packed"
        try:
            _download(url, packed)
        except OSError as error:  # every error of requests is one
            raise ConnectionError(
                f"Could not download {url} ({type(error).__name__}). {_three_ways(target)}"
            ) from error
        try:
            unpack(packed, target, check_fn=check_fn, shown_name=url)
        except ValueError as error:
            raise ValueError(f"{error} {_three_ways(target)}") from error


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
    """Unpacks a local file once, to a name made of its content's SHA-256, and returns that."""
    with packed.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    target = cache_dir / f"{packed.stem.removesuffix('.sqlite')}-{digest[:16]}.sqlite"
    if not target.exists():
        cache_dir.mkdir(parents=True, exist_ok=True)
        unpack(packed, target, check_fn=check_fn, shown_name=str(packed))
    return target


def unpack(packed: Path, target: Path, *, check_fn: CheckFn, shown_name: str) -> None:
    """Unpacks an LZMA or XZ file beside `target`, checks it, and renames it into place.

    Raises:
        ValueError: The packed file is cut off or damaged, or what it holds fails `check_fn`.
    """
    with _written_beside(target) as part:
        try:
            with lzma.open(packed) as source, part.open("wb") as sink:
                shutil.copyfileobj(source, sink, _CHUNK)
        except (lzma.LZMAError, EOFError) as error:
            raise ValueError(
                f"{shown_name} is cut off or damaged ({error}). Get the file again."
            ) from error
        try:
            check_fn(part)
        except ValueError as error:  # it names the part, which the learner never sees
            raise ValueError(str(error).replace(str(part), shown_name)) from error


@contextlib.contextmanager
def _written_beside(target: Path) -> Iterator[Path]:
    """Gives a temporary path in the same folder; renamed to `target` if all went well."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f"{target.name}.part-")
    os.close(handle)
    part = Path(name)
    try:
        yield part
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
