"""A lock on a folder, so that two runs do not write to it at the same time."""

import errno
import fcntl
import os
import platform
import time
import warnings
from pathlib import Path

_LOCK = "lock"
_MAX_HOLDER = 200  # characters of the lock's text that an error repeats
_NUM_TRIES = 20  # tenths of a second that a busy machine has to let the holder write its name


class FolderInUseError(RuntimeError):
    """Another run, of this process or another one, works in the folder."""


def lock_folder(folder: Path) -> int | None:
    """Locks a folder for this process, until the lock is released or the process ends.

    The lock is a `flock` on the file `lock` in the folder, which names its holder and stays.

    Args:
        folder: A folder of this program.

    Returns:
        What `unlock_folder` takes; `None` where the file system has no locks, with a warning.

    Raises:
        FolderInUseError: Somebody else has the lock; the message says who.
        OSError: The file cannot be opened.
    """
    path = folder / _LOCK
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        holder = _acquire(lock, path)
    except OSError as error:
        os.close(lock)
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            raise
        warnings.warn(
            f"The file system of {folder} has no locks ({error.strerror}). See to it that no other "
            "run works in this folder.",
            stacklevel=8,  # whoever called `run_rounds`
        )
        return None
    if holder is not None:
        os.close(lock)
        raise FolderInUseError(
            f"{folder} is in use by {holder or 'another process'}. Wait until that run has ended, end "
            "it (in Jupyter, shut its kernel down), or choose another folder."
        )
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"process {os.getpid()} on {platform.node()} since {since}\n".encode(), 0)
    return lock


def _acquire(lock: int, path: Path) -> str | None:
    """Returns None if the lock is ours now, and else what its holder wrote.

    A holder without a name has only just got the lock, or is about to release it: both take a moment.
    """
    for _ in range(_NUM_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return None
        except BlockingIOError:
            time.sleep(0.1)
        if holder := path.read_text(encoding="utf-8", errors="replace")[:_MAX_HOLDER].strip():
            return holder
    return ""


def unlock_folder(lock: int | None) -> None:
    """Releases a lock of `lock_folder`.

    Args:
        lock: What `lock_folder` returned.
    """
    if lock is not None:
        os.ftruncate(lock, 0)
        os.close(lock)
