"""What executes a learning process: TFF's own runtime, on the guarded worker of `fedlab.worker`."""

import functools
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import tensorflow as tf
import tensorflow_federated as tff

from fedlab.worker import Worker

_INSTALLING = threading.Lock()


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

    def get_hparams(self, state) -> Mapping[str, Any]:
        """Returns the hyperparameters that TFF keeps in a state, such as the server's rate."""
        install()
        return self._process.get_hparams(state)

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
    with _INSTALLING:
        if stack.current is not _context():
            stack.set_default_context(_context())


@functools.lru_cache(maxsize=1)
def _context() -> tff.framework.SyncExecutionContext:
    worker = Worker()

    def create_executor(cardinalities) -> tff.framework.RemoteExecutor:
        executor = tff.framework.RemoteExecutor(_build_stub(worker.get_channel()))
        executor.set_cardinalities({tff.CLIENTS: 0, **cardinalities})
        return executor

    return tff.framework.SyncExecutionContext(
        executor_fn=tff.framework.ResourceManagingExecutorFactory(create_executor),
        compiler_fn=tff.backends.native.desugar_and_transform_to_native,
        transform_args=tff.tensorflow.transform_args,
        transform_result=tff.tensorflow.transform_result,
    )


@functools.lru_cache(maxsize=1)
def _build_stub(channel: grpc.Channel) -> tff.framework.RemoteExecutorGrpcStub:
    return tff.framework.RemoteExecutorGrpcStub(channel)
