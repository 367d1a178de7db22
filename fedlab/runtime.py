"""What executes a learning process: TFF's own runtime, started so that it does no harm.

Stock TFF starts a worker process that listens on all network interfaces without authentication,
inherits stdout, and stays when its parent is killed (TFF 0.87). Here the same worker listens on a
socket file that only this user can reach, and a watcher ends it as soon as its owner is gone,
however that ended.
"""

import atexit
import functools
import mmap
import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import grpc
import platformdirs
import tensorflow as tf
import tensorflow_federated as tff

_ANY_ADDRESS, _SOCKET_FILE = b"[::]:", b"unix:"  # of the same length, so nothing else moves
_START_TIMEOUT_SECONDS = 60
_SOCKET_NAME = 1  # the worker takes a number; as a socket file's name, any number will do
_MAX_MESSAGE_BYTES = 2_000_000_000
# The watcher reads a pipe whose other end only the owner holds. When that end closes, for whatever
# reason, it ends the worker and removes the folder with the socket.
_WATCHER = """
exec 3<&0 </dev/null
folder=$1; shift
"$@" 3<&- & worker=$!
{ cat <&3; kill -KILL $worker; rm -rf -- "$folder"; } &
exec 3<&-
wait $worker
"""


class Runner:
    """Executes a learning process: the same `initialize` and `next` as the process itself."""

    def __init__(self, process: tff.learning.templates.LearningProcess):
        self._process = process

    def __enter__(self) -> "Runner":
        return self

    def __exit__(self, *exc_info) -> None:
        pass

    def initialize(self):
        """Returns the state before the first round."""
        install()
        return self._process.initialize()

    def next(self, state, client_datasets: Sequence[tf.data.Dataset]):
        """Runs one round on the clients' batches; returns TFF's `LearningProcessOutput`."""
        install()
        return self._process.next(state, list(client_datasets))

    def get_model_weights(self, state) -> tff.learning.models.ModelWeights:
        """Returns the model's weights out of a state."""
        install()
        return self._process.get_model_weights(state)

    def set_model_weights(self, state, weights: tff.learning.models.ModelWeights):
        """Returns the state with other model weights in it."""
        install()
        return self._process.set_model_weights(state, weights)


def compile(process: tff.learning.templates.LearningProcess) -> Runner:
    """Returns what executes `process`.

    Args:
        process: Any TFF `LearningProcess`.

    Returns:
        A `Runner`; also a context manager.
    """
    return Runner(process)


def install() -> None:
    """Makes the guarded worker TFF's default, for computations that are called directly too."""
    stack = tff.framework.get_context_stack()
    if stack.current is not _context():
        stack.set_default_context(_context())


@functools.lru_cache(maxsize=1)
def _context() -> tff.framework.SyncExecutionContext:
    worker = _Worker()

    def create_executor(cardinalities) -> tff.framework.RemoteExecutor:
        executor = tff.framework.RemoteExecutor(worker.get_stub())
        executor.set_cardinalities({tff.CLIENTS: 0, **cardinalities})
        return executor

    return tff.framework.SyncExecutionContext(
        executor_fn=tff.framework.ResourceManagingExecutorFactory(create_executor),
        compiler_fn=tff.backends.native.desugar_and_transform_to_native,
        transform_args=tff.tensorflow.transform_args,
        transform_result=tff.tensorflow.transform_result,
    )


class _Worker:
    """Starts TFF's worker when it is first needed, and again if it should die."""

    def __init__(self):
        self._process: subprocess.Popen | None = None
        self._stub: tff.framework.RemoteExecutorGrpcStub | None = None
        atexit.register(self.close)

    def get_stub(self) -> tff.framework.RemoteExecutorGrpcStub:
        if self._process is None or self._process.poll() is not None or not self._stub.is_ready:
            self.close()
            self._start()
        return self._stub

    def close(self) -> None:
        """Ends the worker; its folder goes with it."""
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait()
            self._process = None

    def _start(self) -> None:
        folder = tempfile.mkdtemp(prefix="fedlab-", dir=_short_temp_dir())
        command = [_private_worker(folder), f"--port={_SOCKET_NAME}"]
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHER, "sh", folder, *command],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # the notebook's stop button interrupts us, not the worker
        )
        options = [
            ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
        ]
        channel = grpc.insecure_channel(f"unix:{folder}/{_SOCKET_NAME}", options)
        self._stub = tff.framework.RemoteExecutorGrpcStub(channel)
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while not self._stub.is_ready:
            if self._process.poll() is not None:
                code = self._process.returncode
                raise RuntimeError(f"TFF's worker ended at its start, with exit code {code}.")
            if time.monotonic() > deadline:
                self.close()
                raise RuntimeError(f"TFF's worker did not start in {_START_TIMEOUT_SECONDS} s.")
            time.sleep(0.05)


def _short_temp_dir() -> str:
    """A socket's path may have 107 characters, so a long temporary folder will not do."""
    folder = tempfile.gettempdir()
    return folder if len(folder) < 80 else "/tmp"


def _private_worker(session_folder: str) -> str:
    """Returns the path of a private copy of the worker that listens on a socket file.

    The copy (300 MB) is made once per user and kept in the cache folder; where that cannot be
    written, it lives and goes with the session.
    """
    source = Path(tff.__file__).parent / "data" / "worker_binary"
    status = source.stat()
    name = f"tff-worker-{tff.__version__}-{status.st_size}-{status.st_mtime_ns}"
    try:
        folder = Path(platformdirs.user_cache_dir("fedlab"))
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / name
        if not _is_ours(target):
            _copy_worker(source, target)
    except OSError:
        target = Path(session_folder) / name
        _copy_worker(source, target)
    return str(target)


def _is_ours(path: Path) -> bool:
    """Whether the file is there, ours, and nobody else may change it."""
    if not path.exists():
        return False
    status = path.stat()
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _copy_worker(source: Path, target: Path) -> None:
    """Copies the worker with its one listening address exchanged, and renames it into place."""
    handle, part = tempfile.mkstemp(dir=target.parent, prefix=f"{target.name}.part-")
    try:
        with source.open("rb") as original, open(handle, "r+b") as copy:
            shutil.copyfileobj(original, copy, 1 << 22)
            copy.flush()
            with mmap.mmap(copy.fileno(), 0) as content:
                _exchange_address(content)
        os.chmod(part, 0o700)
        os.replace(part, target)
    finally:
        Path(part).unlink(missing_ok=True)


def _exchange_address(content: mmap.mmap) -> None:
    at = content.find(_ANY_ADDRESS)
    if at < 0 or content.find(_ANY_ADDRESS, at + 1) >= 0:
        raise RuntimeError(
            f"The worker of TFF {tff.__version__} is not the one that fedlab knows how to keep off "
            "the network. Build the environment from requirements.lock."
        )
    content[at : at + len(_ANY_ADDRESS)] = _SOCKET_FILE
