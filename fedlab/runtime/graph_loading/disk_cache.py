"""What takes long to make and is the same in each session, kept in the user's cache folder."""

import contextlib
import functools
import hashlib
import os
import platform
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from fedlab import files

# Names the folder in which the folder below is made; else it is one in the user's cache.
FOLDER_VARIABLE = "FEDLAB_COMPILED"
FOLDER_NAME = "fedlab-compiled"
MAX_BYTES = 64 * 2**20  # of all files; a round of the article's CNN takes half a megabyte
_MAX_FILE_BYTES = 8 * 2**20  # what is larger is mostly weights
_DIGEST_BYTES = hashlib.sha256().digest_size
_NAME_PATTERN = "[a-z]+-[0-9a-f]{32}"  # see `remember`
# Of what is imported, not of what is there when it is first asked for.
_PACKAGE_CODE = [path.read_bytes() for path in sorted(Path(__file__).parents[1].rglob("*.py"))]
# They choose TensorFlow's kernels, and so what its graphs may be rewritten to.
_SETTINGS = ("TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")


def remember(create: Callable[[], bytes], kind: str, *key: bytes) -> bytes:
    """Returns what `create` returns, from disk if it was made before.

    What is stored counts for this version of TensorFlow and of this package, on this processor.
    Files that are damaged, or that others may write, do not count. No folder, or one that cannot be
    written or that others may write, makes things slower, no more.

    Args:
        create: Makes it. Its errors are raised, and not kept.
        kind: What it is, in small letters.
        *key: All that it depends on, besides.
    """
    try:
        folder = _folder()
    except FileNotFoundError:  # a user without a home
        return create()
    path = folder / f"{kind}-{_digest(_surroundings(), *key).hex()[:32]}"
    content = _read(path)
    if content is None:
        content = create()
        if len(content) <= _MAX_FILE_BYTES:
            with contextlib.suppress(OSError, ValueError):  # something else has the name
                _write(path, content)
                _remove_oldest(folder)
    return content


def _folder() -> Path:
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) / FOLDER_NAME if named else files.cache_dir() / "compiled"


def _digest(*parts: bytes) -> bytes:
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(len(part).to_bytes(8, "big"))
        hashed.update(part)
    return hashed.digest()


def _read(path: Path) -> bytes | None:
    with contextlib.suppress(OSError), files.open_ours(path) as file:
        stored = file.read()
        digest, content = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
        if digest == _digest(path.name.encode(), content):
            with contextlib.suppress(OSError):  # a folder that can only be read will do, too
                os.utime(file.fileno())  # in use
            return content
    return None


def _write(path: Path, content: bytes) -> None:
    files.make_own_folder(path.parent)
    if path.is_symlink():
        raise ValueError(f"{path} is a symbolic link.")
    with files.written_beside(path, mode=0o600) as part:
        part.write_bytes(_digest(path.name.encode(), content) + content)


def _remove_oldest(folder: Path) -> None:
    """Keeps the folder within its size. Other processes may be at it, too.

    Only a file that begins with the digest of its name and content is removed.
    """
    files.remove_abandoned(folder, _NAME_PATTERN + files.PART_PATTERN)
    num_bytes = 0
    stored = files.list_files(folder, _NAME_PATTERN)
    for path, status in sorted(stored, key=lambda pair: -pair[1].st_mtime):
        num_bytes += status.st_size
        if num_bytes > MAX_BYTES and _read(path) is not None:
            with contextlib.suppress(OSError):
                path.unlink()


@functools.lru_cache(maxsize=1)
def _surroundings() -> bytes:
    version = f"{tf.__version__} {tf.version.GIT_VERSION} {tf.version.COMPILER_VERSION}"
    settings = [os.environ.get(name, "").encode() for name in _SETTINGS]
    return _digest(version.encode(), _processor(), *settings, *_PACKAGE_CODE)


def _processor() -> bytes:
    lines = [platform.machine()]
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith(("model name", "flags")):
                lines.append(line)
            if line.startswith("flags"):  # of the first core; the others are like it
                break
    return "".join(lines).encode()
