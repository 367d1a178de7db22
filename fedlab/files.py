"""Files that are whole or not there at all, and the rule of what this program may remove.

It removes or replaces only what it can prove to have written: a file of an exact name pattern in a
folder that it made, or one whose first line only this program writes.
"""

import contextlib
import itertools
import os
import re
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

# What `create_part` adds to a file's name. Only this program writes such names.
PART_PATTERN = r"\.fedlab-part-[0-9a-f]{12}"
MARKER = ".made-by-fedlab"
_MARKER_TEXT = "fedlab made this folder. It adds and removes files of its own here.\n"
_DAY_SECONDS = 86_400
_MAX_LINE = 1 << 16


def cache_dir() -> Path:
    """Returns the folder of downloads, TFF's worker and what is compiled: `~/.cache/fedlab`.

    Raises:
        FileNotFoundError: This user has no home folder.
    """
    try:
        try:
            from platformdirs import (
                user_cache_dir,
            )  # here: the doctor runs where it is missing, too
        except ImportError:
            return Path.home() / ".cache" / "fedlab"
        return Path(user_cache_dir("fedlab"))
    except RuntimeError as error:
        raise FileNotFoundError(
            "This user has no home folder. Set the variable XDG_CACHE_HOME to a folder for caches."
        ) from error


def resolve_target(path: Path, first_line: str = "", mark: bytes = b"") -> Path:
    """Follows symbolic links and checks that this program may write a file there.

    Args:
        path: The file to be written. It need not exist, nor its folder.
        first_line: A regular expression that the first line of an existing file must match, so that
            only a file that this program wrote is replaced. An empty file is always replaced.
            Default: the name alone shows that the file is this program's.
        mark: Bytes that the first 64 KiB of an existing file must contain, for files without lines.

    Returns:
        The path without symbolic links. The links stay.

    Raises:
        ValueError: The path is a folder, a device or the like, or a file that does not match.
        PermissionError: The file belongs to another user or is read-only.
    """
    target = Path(os.path.realpath(path))
    try:
        status = target.lstat()
    except FileNotFoundError:
        return target
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path} is not a regular file. Choose the path of a file.")
    if status.st_uid != os.getuid() or not os.access(target, os.W_OK):
        raise PermissionError(
            f"{path} belongs to another user or is read-only. It was left as it is: choose another "
            "path."
        )
    if status.st_size and not _is_ours(target, first_line, mark):
        raise ValueError(
            f"{path} exists and was not written by fedlab. It was left as it is: choose another path, "
            "or move the file away."
        )
    return target


def _is_ours(target: Path, first_line: str, mark: bytes) -> bool:
    with target.open("rb") as file:
        start = file.read(_MAX_LINE)
    line = start.decode(errors="replace").splitlines()[0]
    return re.search(first_line, line) is not None and mark in start


@contextlib.contextmanager
def create_part(target: Path, mode: int = 0o666) -> Iterator[Path]:
    """Creates an empty file in the target's folder, and removes it at the end if it is still there.

    Args:
        target: The new file's name begins with this name.
        mode: Permission bits of the new file, less those of the umask.

    Yields:
        The path of the new file.
    """
    part = target.with_name(f"{target.name}.fedlab-part-{uuid.uuid4().hex[:12]}")
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def written_beside(
    target: Path, *, mode: int | None = None, first_line: str = "", mark: bytes = b""
) -> Iterator[Path]:
    """Creates a file beside a target, which replaces the target if no error is raised.

    Args:
        target: The file to be written; symbolic links are followed.
        mode: Permission bits. Default: those of the file that is replaced; a new file's are the
            umask's.
        first_line: As in `resolve_target`.
        mark: As in `resolve_target`.

    Yields:
        The path of the file to write to.

    Raises:
        ValueError: The target is not a regular file, or not this program's.
        PermissionError: The target belongs to another user or is read-only.
    """
    target = resolve_target(target, first_line, mark)
    if mode is None and target.exists():
        mode = stat.S_IMODE(target.stat().st_mode)
    with create_part(target, 0o666 if mode is None else mode) as part:
        yield part
        if mode is not None:
            part.chmod(mode)
        os.replace(part, target)


def write_picture(target: Path, save_fn: Callable[..., object]) -> None:
    """Writes a figure as a PNG file, as a whole, and marks it as this program's.

    Args:
        target: The file to be written.
        save_fn: The figure's method `savefig`.

    Raises:
        ValueError: The target is not a regular file, or is a picture that another program wrote.
        PermissionError: The target belongs to another user or is read-only.
    """
    with written_beside(target, mark=b"Software\x00fedlab") as part:
        save_fn(part, format="png", dpi=100, metadata={"Software": "fedlab"})


def write_text(target: Path, text: str, *, first_line: str = "") -> None:
    """Writes a text file as a whole; whoever reads it sees the old text or the new.

    Args:
        target: The file to be written; its folder is made if it does not exist.
        text: The file's new content.
        first_line: As in `resolve_target`.

    Raises:
        ValueError: The target is not a regular file, or not this program's.
        PermissionError: The target belongs to another user or is read-only.
    """
    resolve_target(target).parent.mkdir(parents=True, exist_ok=True)
    with written_beside(target, first_line=first_line) as part:
        part.write_text(text, encoding="utf-8")


def open_ours(path: Path) -> BinaryIO:
    """Opens a file for reading that this user alone may change or exchange.

    What is checked is what is open, whatever happens to the names afterwards.

    Args:
        path: A regular file. Neither it nor its folder may be a symbolic link; the folders above may.

    Raises:
        PermissionError: The file or its folder is another user's, or others may write to it.
        OSError: There is no such file, or it is something else.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _check_ours(os.fstat(folder), path.parent)
        # O_NONBLOCK: a named pipe would be waited for.
        descriptor = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        status = os.fstat(descriptor)
        _check_ours(status, path)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path} is not a regular file.")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _check_ours(status: os.stat_result, path: Path) -> None:
    if status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(f"{path} is another user's, or others may write to it.")


def make_private_folders(folder: Path) -> None:
    """Makes a folder and those above it that do not exist, for this user alone, whatever the umask."""
    for path in (*reversed(folder.parents), folder):
        if not path.is_dir():
            path.mkdir(mode=0o700, exist_ok=True)


def make_own_folder(folder: Path) -> None:
    """Makes a folder for this user alone, or checks that this user alone may write to it.

    Args:
        folder: The folder; those above it are made, too.

    Raises:
        PermissionError: The folder is another user's, or others may write to it.
        OSError: It cannot be made, or something else, such as a symbolic link, has its name.
    """
    make_private_folders(folder)
    status = folder.lstat()
    _check_ours(status, folder)
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(f"{folder} is a symbolic link.")


def make_marked_folder(folder: Path) -> None:
    """Makes a folder in which this program may remove files, or checks that it made the folder.

    The first file in the folder marks it. An empty folder is taken over.

    Args:
        folder: The folder; those above it are made, too.

    Raises:
        ValueError: The folder is not empty and not marked.
        OSError: The folder cannot be made, read or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / MARKER
    if not any(folder.iterdir()):
        marker.write_text(_MARKER_TEXT, encoding="utf-8")
    # A process that was killed here may have written the marker in part.
    if not marker.is_file() or not _MARKER_TEXT.encode().startswith(marker.read_bytes()):
        raise ValueError(
            f"{folder} was not made by fedlab. Nothing was changed: rename that folder, or choose "
            "another one."
        )


def list_files(folder: Path, pattern: str) -> list[tuple[Path, os.stat_result]]:
    """Returns this user's regular files in a folder, not below it, whose whole name matches.

    Args:
        folder: The folder. Symbolic links in it are left out.
        pattern: A regular expression.

    Returns:
        Pairs of a path and its status.
    """
    matches = []
    for path in folder.iterdir():
        if re.fullmatch(pattern, path.name):
            with contextlib.suppress(FileNotFoundError):  # another process may remove it
                status = path.lstat()
                if stat.S_ISREG(status.st_mode) and status.st_uid == os.getuid():
                    matches.append((path, status))
    return matches


def remove_abandoned(folder: Path, pattern: str) -> None:
    """Removes files that nobody has touched for a day, as a killed process leaves them.

    Younger ones may be in use. Other processes may remove the same files at the same time.

    Args:
        folder: The folder; what lies below it stays.
        pattern: A regular expression that a file's whole name must match. Only files that this
            program wrote may match it.
    """
    yesterday = time.time() - _DAY_SECONDS
    for path, status in list_files(folder, pattern):
        if status.st_mtime < yesterday:
            with contextlib.suppress(OSError):
                path.unlink()


def find_unused(path: Path) -> Path:
    """Returns the path, or the first of `path.1`, `path.2`, … that does not exist."""
    names = itertools.chain(
        [path], (path.with_name(f"{path.name}.{k}") for k in itertools.count(1))
    )
    return next(name for name in names if not os.path.lexists(name))
