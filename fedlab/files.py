"""Files that are whole or not there at all, and the folder that the course keeps them in."""

import contextlib
import os
import shutil
import stat
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

_DAY_SECONDS = 86_400


def cache_dir() -> Path:
    """Returns the folder of downloads, TFF's worker and what is compiled: `~/.cache/fedlab`."""
    try:
        from platformdirs import user_cache_dir  # here: the doctor runs where it is missing, too
    except ImportError:
        return Path.home() / ".cache" / "fedlab"
    return Path(user_cache_dir("fedlab"))


@contextlib.contextmanager
def written_beside(target: Path) -> Iterator[Path]:
    """Gives a new path in the same folder; what is written there becomes `target` if all went well."""
    part = target.with_name(f"{target.name}.part-{uuid.uuid4().hex[:12]}")
    try:
        yield part
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Writes a text file as a whole, its folder too; whoever reads sees the old text or the new."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(target) as part:
        part.write_text(text, encoding="utf-8")


def is_ours(path: Path) -> bool:
    """Returns whether the file is there, belongs to this user, and nobody else may change it."""
    if not path.exists():
        return False
    status = path.stat()
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def remove_abandoned(folder: Path, *patterns: str) -> None:
    """Removes files and folders that nobody has touched for a day, as a killed process leaves them.

    Younger ones may be in use. Other processes may be removing the same.
    """
    yesterday = time.time() - _DAY_SECONDS
    for pattern in patterns:
        for path in folder.glob(pattern):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime >= yesterday:
                    continue
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()
