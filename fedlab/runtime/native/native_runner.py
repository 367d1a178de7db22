"""TFF's own runtime, on the guarded worker of `fedlab.runtime.native.worker`: for comparison, and what has no form."""

import functools
from collections.abc import Mapping

import grpc
import tensorflow_federated as tff

from fedlab.runtime.native.worker import Worker
from fedlab.runtime.runner import Cohort, Runner, check_nobody, name_clients


class NativeRunner(Runner):
    """Executes any learning process. Whoever's update is not finite, TFF leaves out silently."""

    tells_non_finite = False

    def initialize(self):
        """Returns the state before the first round."""
        return self.call(self.process.initialize)

    def next(self, state, cohort: Cohort):
        """Runs one round on TFF's worker; implements `Runner.next`."""
        name_clients(cohort)
        datasets = cohort.values() if isinstance(cohort, Mapping) else cohort
        output = self.call(self.process.next, state, list(datasets))
        check_nobody(cohort, output.metrics)
        return output

    def call(self, computation: tff.Computation, *args):
        """Executes one of the process's computations on TFF's worker."""
        with tff.framework.get_context_stack().install(native_context()):
            return computation(*args)


@functools.lru_cache(maxsize=1)
def native_context() -> tff.framework.SyncExecutionContext:
    """Returns TFF's execution context on a worker that starts with the first computation."""
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
