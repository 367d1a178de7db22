"""Downloads and unpacks a file; a file with the final name is always whole and checked.

Pooch downloads and hashes. `pooch.retrieve` and `pooch.Decompress` are not used: they bound no size,
and they unpack to the final name before anything is checked.
"""

import contextlib
import errno
import lzma
import re
import shutil
import threading
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeAlias

import pooch
from pooch.hashes import hash_matches
from tqdm.auto import tqdm
from tqdm.utils import CallbackIOWrapper

from fedlab.files import (
    PART_PATTERN,
    create_part,
    make_private_folders,
    remove_abandoned,
    written_beside,
)

CheckFn: TypeAlias = Callable[[Path], None]
ENOUGH_BYTES = 6 * 10**9  # more than Federated EMNIST's download and the unpacked file together
MAX_BYTES = ENOUGH_BYTES  # of a download, and of an unpacked file
_CHUNK = 1 << 20
_TIMEOUT_SECONDS = 30  # without a byte
_MIN_BYTES_PER_SECOND = 1000  # on average over
_SPEED_SECONDS = 60
_BAR_AFTER_SECONDS = 1
_FULL = (errno.ENOSPC, errno.EDQUOT)
_MAX_PACKING_RATIO = 25  # unpacked size divided by packed size; a uniform background packs well


def download_and_unpack(
    url: str, target: Path, *, check_fn: CheckFn, remedy: str, known_hash: str | None = None
) -> None:
    """Downloads an LZMA-packed file and unpacks it; a failed attempt leaves nothing behind.

    Args:
        url: The address of a `.lzma` or `.xz` file, http or https.
        target: The path of the unpacked file.
        check_fn: A function that raises `ValueError` if the file at a path is not good.
        remedy: The other ways to the data, with which each error ends.
        known_hash: The SHA-256 of the packed file, in hexadecimal digits. Default: not checked.

    Raises:
        OSError: There is not enough space.
        ConnectionError: The download failed.
        ValueError: The file is too large or damaged, has another SHA-256 or is not good, or the
            address redirects from https to another protocol.
    """
    _prepare(target, ENOUGH_BYTES)
    with create_part(target) as packed:
        try:
            _download(url, packed, target, remedy, MAX_BYTES)
            hash_matches(packed, known_hash, strict=True, source=_hide_secrets(url))
            unpack(packed, target, check_fn=check_fn, shown_name=_hide_secrets(url))
        except ValueError as error:
            raise ValueError(f"{error} {remedy}") from error


def download_file(url: str, target: Path, *, known_hash: str, max_bytes: int, remedy: str) -> None:
    """Downloads a file as it is; a failed attempt leaves nothing behind.

    Args:
        url: The address of the file, http or https.
        target: The path of the file.
        known_hash: The SHA-256 of the file, in hexadecimal digits.
        max_bytes: The file is not larger.
        remedy: The other ways to the data, with which each error ends.

    Raises:
        OSError: There is not enough space.
        ConnectionError: The download failed.
        ValueError: The file is too large or has another SHA-256, or the address redirects from
            https to another protocol.
    """
    _prepare(target, max_bytes)
    with written_beside(target) as part:
        try:
            _download(url, part, target, remedy, max_bytes)
            hash_matches(part, known_hash, strict=True, source=_hide_secrets(url))
        except ValueError as error:
            raise ValueError(f"{error} {remedy}") from error


def _prepare(target: Path, needed_bytes: int) -> None:
    make_private_folders(target.parent)
    remove_abandoned(target.parent, re.escape(target.name) + PART_PATTERN)
    _check_space(target.parent, needed_bytes)


def _check_space(folder: Path, needed_bytes: int) -> None:
    if shutil.disk_usage(folder).free < needed_bytes:
        raise _no_space(folder, f"the data set, which needs {needed_bytes / 1e9:.2g} GB there")


def _no_space(folder: Path, content: str) -> OSError:
    free = shutil.disk_usage(folder).free / 1e9
    return OSError(
        f"There is not enough space in {folder} ({free:.1f} GB free) for {content}: free some, or "
        "name a folder on a larger disk with cache_dir=."
    )


def _download(url: str, part: Path, target: Path, remedy: str, max_bytes: int) -> None:
    shown = _hide_secrets(url)
    # Pooch tests the truth of the bar before it sets the total; without a total that is an error.
    with (
        part.open("wb") as file,
        tqdm(total=1, unit="B", unit_scale=True, desc=f"Downloading {_base_name(shown)}") as bar,
        _SpeedCheck(file) as speed_check,
    ):
        hooks = {"response": [_check_redirection, speed_check.start]}
        try:
            pooch.HTTPDownloader(progressbar=bar, timeout=_TIMEOUT_SECONDS, hooks=hooks)(
                url, _bounded(file, shown, max_bytes), None
            )
        except OSError as error:  # every error of requests is one
            if error.errno in _FULL:
                raise _no_space(target.parent, "the download") from error
            status = getattr(getattr(error, "response", None), "status_code", None)
            reason = f"HTTP status {status}" if status else type(error).__name__
        else:
            reason = ""
    if speed_check.is_slow:
        reason = f"less than {_MIN_BYTES_PER_SECOND} bytes a second"
    if reason:  # not raised `from` what names the whole address
        raise ConnectionError(f"Could not download {shown} ({reason}). {remedy}")


class _SpeedCheck:
    """Ends a download that hardly moves: the time-out counts anew with each byte."""

    def __init__(self, file: IO[bytes]):
        self.is_slow = False
        self._file = file
        self._is_over = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> "_SpeedCheck":
        return self

    def __exit__(self, *_error: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def start(self, response: Any, **_options: Any) -> None:
        """Watches from the answer on; each redirection is an answer, too."""
        thread = threading.Thread(target=self._watch, args=(response,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _watch(self, response: Any) -> None:
        seen = 0
        while not self._is_over.wait(_SPEED_SECONDS):
            before, seen = seen, self._file.tell()
            if seen - before < _MIN_BYTES_PER_SECOND * _SPEED_SECONDS:
                self.is_slow = True
                with contextlib.suppress(RuntimeError, ValueError, OSError):  # it has just ended
                    response.raw.shutdown()
                return


def _hide_secrets(url: str) -> str:
    """Returns an address as it may be shown: without user, password, query and fragment."""
    *scheme, rest = url.split("://", 1)
    address, *query = re.split("[?#]", rest, maxsplit=1)
    shown = "…" if query and "@" in query[0] else re.sub(".*@", "…@", address)
    return "://".join([*scheme, shown]) + "?…" * bool(query)


def _check_redirection(response: Any, **_options: Any) -> None:
    """Raises ValueError for an answer that redirects from https to another protocol."""
    location = urllib.parse.urljoin(response.url, response.headers.get("location", ""))
    if response.url.startswith("https:") and not location.lower().startswith("https:"):
        raise ValueError(
            f"{_hide_secrets(response.url)} redirects to {_hide_secrets(location)}, which is not https."
        )


def _bounded(file: IO[bytes], shown_name: str, max_bytes: int) -> CallbackIOWrapper:
    """Returns the file for writing, with a bound, which neither pooch nor lzma has."""

    def check_size(_num_bytes: int) -> None:
        if file.tell() > max_bytes:
            raise ValueError(f"{shown_name} has more than {max_bytes / 1e9:.2g} GB.")

    return CallbackIOWrapper(check_size, file, "write")


def _base_name(address: str) -> str:
    return address.rsplit("/", 1)[-1]


def unpack_to_cache(packed: Path, cache_dir: Path, *, check_fn: CheckFn) -> Path:
    """Unpacks a local file once, to a name that contains the SHA-256 of its content.

    Args:
        packed: A `.lzma` or `.xz` file.
        cache_dir: The folder of the unpacked file, which is made if it does not exist.
        check_fn: A function that raises `ValueError` if the file at a path is not good.

    Returns:
        The path of the unpacked file.

    Raises:
        OSError: There is not enough space.
        ValueError: The file is too large, damaged or not good.
    """
    digest = pooch.file_hash(packed)
    target = cache_dir / f"{packed.stem.removesuffix('.sqlite')}-{digest[:16]}.sqlite"
    if not target.exists():
        make_private_folders(cache_dir)
        remove_abandoned(cache_dir, r".+-[0-9a-f]{16}\.sqlite" + PART_PATTERN)
        _check_space(cache_dir, min(_MAX_PACKING_RATIO * packed.stat().st_size, ENOUGH_BYTES))
        unpack(packed, target, check_fn=check_fn, shown_name=str(packed))
    return target


def unpack(packed: Path, target: Path, *, check_fn: CheckFn, shown_name: str) -> None:
    """Unpacks an LZMA or XZ file beside `target`, checks it, and renames it to `target`.

    Args:
        packed: A `.lzma` or `.xz` file.
        target: The path of the unpacked file; its folder exists.
        check_fn: A function that raises `ValueError` if the file at a path is not good.
        shown_name: The path or address of the packed file, for messages.

    Raises:
        OSError: There is not enough space.
        ValueError: The file is too large, damaged or not good.
    """
    with written_beside(target) as part:
        try:
            with (
                packed.open("rb") as file,
                tqdm.wrapattr(
                    file,
                    "read",
                    total=packed.stat().st_size,
                    desc=f"Unpacking {_base_name(shown_name)}",
                    delay=_BAR_AFTER_SECONDS,
                ) as counted,
                lzma.open(counted) as source,
                part.open("wb") as sink,
            ):
                shutil.copyfileobj(source, _bounded(sink, shown_name, MAX_BYTES), _CHUNK)
        except OSError as error:
            if error.errno in _FULL:
                raise _no_space(target.parent, f"the content of {shown_name}") from error
            raise
        except (lzma.LZMAError, EOFError) as error:
            raise ValueError(
                f"{shown_name} is cut off or damaged ({error}). Get the file again."
            ) from error
        try:
            check_fn(part)
        except ValueError as error:  # its message names the part, which is then removed
            raise ValueError(str(error).replace(str(part), shown_name)) from error
