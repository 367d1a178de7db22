"""TFF's worker process, started so that it does no harm.

Stock TFF starts a worker that listens on all network interfaces without authentication, inherits
stdout, and stays when its parent is killed (TFF 0.87). Here the same worker listens on a socket
file that only this user can reach, and a watcher ends it as soon as its owner is gone, however that
ended. TFF itself is not imported.
"""

import atexit
import contextlib
import importlib.metadata
import importlib.util
import mmap
import os
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import BinaryIO

import grpc

from fedlab import files

_ANY_ADDRESS, _SOCKET_FILE = b"[::]:", b"unix:"  # of the same length, so nothing else moves
_START_TIMEOUT_SECONDS = 60
_SOCKET_NAME = 1  # the worker takes a number; as a socket file's name, any number will do
_MAX_MESSAGE_BYTES = 2_000_000_000
# Without a limit, as stock TFF has it, many clients at once get in each other's way, on one core most
# of all. The results are the same, bit for bit.
_CALLS_PER_CORE = 2
_COPY_FOLDER = "worker"  # in the cache folder
_COPY_PREFIX = "tff-worker-"
_COPY_PATTERN = rf"{_COPY_PREFIX}\d[\w.+]*-\d+-\d+({files.PART_PATTERN})?"  # see `_open_worker`
# The watcher reads a pipe whose other end only the owner holds. When that end closes, for whatever
# reason, it removes the folder with the socket and ends its process group: the worker, and itself.
# (A worker that died before has left its own number to others; a group's stays while it is in it.)
_WATCHER = """
exec 3<&0 </dev/null
folder=$1; shift
"$@" 3<&- & worker=$!
{ cat <&3; rm -rf -- "$folder"; kill -KILL 0; } &
exec 3<&-
wait $worker
"""


class Worker:
    """Starts TFF's worker when it is first needed, and again if it should die."""

    def __init__(self):
        self._process: subprocess.Popen | None = None
        self._channel: grpc.Channel | None = None
        self._status: grpc.ChannelConnectivity | None = None
        self._lock = threading.RLock()
        atexit.register(self.close)

    def get_channel(self) -> grpc.Channel:
        """Returns a channel to a worker that is ready.

        Raises:
            RuntimeError: The worker does not start.
        """
        with self._lock:
            if self._process is None or self._process.poll() is not None or not self._is_ready():
                self.close()
                self._start()
            return self._channel

    def close(self) -> None:
        """Ends the worker; its folder goes with it."""
        with self._lock:
            process, self._process = self._process, None
            if process is not None and process.stdin is not None:
                process.stdin.close()
                process.wait()

    def _is_ready(self) -> bool:
        return self._status == grpc.ChannelConnectivity.READY

    def _start(self) -> None:
        folder = tempfile.mkdtemp(prefix="fedlab-", dir=_short_temp_dir())
        try:
            with _open_worker(Path(folder)) as program:
                self._process = _start_process(program.fileno(), folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        options = [
            ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
        ]
        self._status = None
        self._channel = grpc.insecure_channel(f"unix:{folder}/{_SOCKET_NAME}", options)
        self._channel.subscribe(self._note_status, try_to_connect=True)
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self.close()
            raise

    def _note_status(self, status: grpc.ChannelConnectivity) -> None:
        self._status = status

    def _wait_until_ready(self, process: subprocess.Popen) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while not self._is_ready():
            if process.poll() is not None:
                raise RuntimeError(
                    f"TFF's worker ended at its start, with exit code {process.returncode}."
                )
            if time.monotonic() > deadline:
                raise RuntimeError(f"TFF's worker did not start in {_START_TIMEOUT_SECONDS} s.")
            time.sleep(0.05)


def _short_temp_dir() -> str:
    """A socket's path may have 107 characters, so a long temporary folder will not do."""
    folder = tempfile.gettempdir()
    return folder if len(folder) < 80 else "/tmp"


def _start_process(program: int, folder: str) -> subprocess.Popen:
    command = [
        f"/proc/self/fd/{program}",  # what was checked is what runs, whatever its name leads to now
        f"--port={_SOCKET_NAME}",
        f"--max_concurrent_computation_calls={_CALLS_PER_CORE * len(os.sched_getaffinity(0))}",
    ]
    return subprocess.Popen(
        ["/bin/sh", "-c", _WATCHER, "sh", folder, *command],
        cwd=folder,
        env={"TF_NUM_INTRAOP_THREADS": "1"} | os.environ,  # as in this process
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(program,),
        # A group of its own: the notebook's stop button interrupts us, not the worker.
        start_new_session=True,
    )


def _open_worker(session_folder: Path) -> BinaryIO:
    """Opens a private copy of the worker that listens on a socket file.

    The copy (300 MB) is made once per user and environment and kept in the cache folder, until it
    has not been used for a day and another is. (A running program stays whole when its file is
    removed.) Where that folder does not do, the copy lives and goes with the session.

    Raises:
        RuntimeError: Neither folder will do.
    """
    source = _find_package() / "data" / "worker_binary"
    status = source.stat()
    name = f"{_COPY_PREFIX}{_tff_version()}-{status.st_size}-{status.st_mtime_ns}"
    try:
        folder = files.cache_dir() / _COPY_FOLDER
        files.make_own_folder(folder)
        program = _find_or_copy(source, folder / name)
        with contextlib.suppress(OSError):  # a folder that can only be read will do, too
            os.utime(program.fileno())  # in use
        files.remove_abandoned(folder, _COPY_PATTERN)
        return program
    except (OSError, ValueError) as error:  # ValueError: something else has the name
        reason = error
    try:
        return _find_or_copy(source, session_folder / name)
    except OSError as error:
        raise RuntimeError(
            f"TFF's worker needs a folder with {status.st_size >> 20} MB of space where programs "
            f"may run. The cache will not do: {reason} Nor will the temporary folder: {error} "
            "Set TMPDIR to a folder that will."
        ) from error


def _find_or_copy(source: Path, target: Path) -> BinaryIO:
    if os.statvfs(target.parent).f_flag & os.ST_NOEXEC:
        raise PermissionError(f"no program may run in {target.parent} (noexec).")
    with contextlib.suppress(OSError):
        return files.open_ours(target)
    if target.is_symlink():
        raise ValueError(f"{target} is a symbolic link.")
    _copy_worker(source, target)
    return files.open_ours(target)


def _find_package() -> Path:
    spec = importlib.util.find_spec("tensorflow_federated")
    if spec is None or spec.origin is None:
        raise RuntimeError("tensorflow_federated is not installed. Build the environment again.")
    return Path(spec.origin).parent


def _tff_version() -> str:
    return importlib.metadata.version("tensorflow-federated")


def _copy_worker(source: Path, target: Path) -> None:
    """Copies the worker with its one listening address exchanged, and renames it into place."""
    with (
        files.written_beside(target, mode=0o700) as part,
        source.open("rb") as original,
        part.open("r+b") as copy,
    ):
        shutil.copyfileobj(original, copy, 1 << 22)
        copy.flush()
        with mmap.mmap(copy.fileno(), 0) as content:
            _exchange_address(content)


def _exchange_address(content: mmap.mmap) -> None:
    at = content.find(_ANY_ADDRESS)
    if at < 0 or content.find(_ANY_ADDRESS, at + 1) >= 0:
        raise RuntimeError(
            f"The worker of TFF {_tff_version()} is not the one that fedlab knows how to keep off "
            "the network. Build the environment from requirements.lock."
        )
    content[at : at + len(_ANY_ADDRESS)] = _SOCKET_FILE
