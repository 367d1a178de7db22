"""TFF's own runtime, on the guarded worker of `fedlab.runtime.native.worker`: for comparison, and what has no form."""

import functools
from collections.abc import Mapping
from typing import Any

import grpc
import tensorflow_federated as tff

from fedlab.runtime.local.values import client_dataset
from fedlab.runtime.native.worker import Worker
from fedlab.runtime.runner import Cohort, Runner, check_nobody, name_clients


class NativeRunner(Runner):
    """Executes any learning process. Whoever's update is not finite, TFF leaves out silently."""

    tells_non_finite = False

    def initialize(self) -> Any:
        """Returns the state before the first round; implements `Runner.initialize`."""
        return self.call(self.process.initialize)

    def next(self, state: Any, cohort: Cohort) -> Any:
        """Runs one round on TFF's worker; implements `Runner.next`."""
        names = name_clients(cohort)
        data = list(cohort.values() if isinstance(cohort, Mapping) else cohort)
        client_type = getattr(self.process.next.type_signature.parameter[1], "member", None)
        if isinstance(client_type, tff.SequenceType):
            data = [
                client_dataset(name, batches, client_type)
                for name, batches in zip(names, data, strict=True)
            ]
        output = self.call(self.process.next, state, data)
        check_nobody(cohort, output)
        return output

    def call(self, computation: tff.Computation, *args: Any) -> Any:
        """Executes one of the process's computations on TFF's worker; implements `Runner.call`."""
        with tff.framework.get_context_stack().install(native_context()):
            return computation(*args)


@functools.lru_cache(maxsize=1)
def native_context() -> tff.framework.SyncExecutionContext:
    """Returns TFF's execution context on a worker that starts with the first computation."""
    worker = Worker()

    def create_executor(cardinalities: Mapping[Any, int]) -> tff.framework.RemoteExecutor:
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
