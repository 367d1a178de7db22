"""Rounds on a Ray cluster, for whoever outgrows one machine. Needs the extra `ray`."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import ray
import ray.exceptions
import tensorflow as tf

from fedlab.data import client_arrays
from fedlab.data.preprocessing import Cohort as LazyCohort
from fedlab.runtime.local.client_loop import Tensors, describe
from fedlab.runtime.local.graphs import GraphFunction
from fedlab.runtime.local.map_reduce_form import Form
from fedlab.runtime.local.sequences import ElementTypeError
from fedlab.runtime.local.values import client_dataset
from fedlab.runtime.ray.connection import connect
from fedlab.runtime.ray.worker import ClusterClient, ClusterWorker, Report
from fedlab.runtime.runner import Cohort, name_clients

_START_SECONDS = 120
_MAX_REPLACEMENTS = 5
_LOST = (
    ray.exceptions.RayActorError,
    ray.exceptions.ObjectLostError,
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.NodeDiedError,
)


@dataclasses.dataclass(eq=False)
class _Worker:
    actor: Any
    client_ids: set[str] = dataclasses.field(default_factory=set)


class ClusterClients:
    """Runs the clients' piece on the workers of a cluster, and sums up a tree.

    Each client belongs to a partition, each partition to a worker, which keeps its clients'
    examples. In a round, what crosses the network is the model, once a machine, and the partitions'
    sums: it grows with the workers and not with the cohort. The same number of partitions gives the
    same bits on any number of workers, unless clients draw from a stream of random numbers. (A
    cohort that is not from `build_cohort_fn` has its batches sent along in every round.)

    Args:
        form: The round's pieces.
        num_workers: Processes of one core each. Default: one for each core of the cluster.
        address: Of the cluster's head, "host:port". Default: where this process is connected to a
            cluster already, that one; else a cluster of this machine alone, on loopback.
        num_partitions: Groups of clients that are summed first. Default: `num_workers`.

    Raises:
        ConnectionError: There is no cluster at the address.
        RuntimeError: The cluster has not enough cores for the workers, or a cluster of this machine
            does not start.
        ValueError: `num_partitions` is smaller than 1.
    """

    functions: Sequence[GraphFunction] = ()  # they are the workers'

    def __init__(
        self,
        form: Form,
        num_workers: int | None = None,
        *,
        address: str | None = None,
        num_partitions: int | None = None,
    ):
        if num_partitions is not None and num_partitions < 1:
            raise ValueError(f"num_partitions must be at least 1. Found {num_partitions}.")
        graphs = [piece.graph for piece in (form.work, form.zero, form.accumulate, form.merge)]
        self._zero = form.zero
        self._client_type = form.work.type_signature.parameter[0]
        self._num_sums = len(form.zero.graph.outputs)
        self._workers: list[_Worker] = []
        self._client_data: Any = None
        self._disconnect = connect(address, num_workers)
        try:
            num_workers = num_workers or max(1, _num_cores())
            if num_workers > _num_cores():
                raise RuntimeError(
                    f"{num_workers} workers need as many cores. Found {_num_cores()}."
                )
            self._num_partitions = num_partitions or num_workers
            self._arguments = [
                ray.put(value) for value in (*graphs, form.moduli, form.update_positions())
            ]
            self._workers = self._start(num_workers)
            if len(self._workers) < num_workers:
                raise RuntimeError(
                    f"Only {len(self._workers)} of {num_workers} workers started in "
                    f"{_START_SECONDS} s. Who else uses the cluster's {_num_cores()} cores?"
                )
        except BaseException:
            self.close()
            raise

    def __call__(
        self, cohort: Cohort, broadcast: Tensors, drop: bool
    ) -> tuple[Tensors, Tensors, dict[str, str]]:
        """Implements `ClientRunner.__call__`."""
        names = name_clients(cohort)
        partitions = self._split(names, cohort)
        preprocessing = cohort.preprocessing if isinstance(cohort, LazyCohort) else None
        arrays = [tensor.numpy() for tensor in broadcast]
        shared = [ray.put(value) for value in (preprocessing, arrays)]
        done: dict[int, tuple[Any, Report]] = {}
        for _ in range(1 + _MAX_REPLACEMENTS):
            try:
                self._run(partitions, cohort, (*shared, drop), done)
                reports = [report for _, report in done.values()]
                if failed := [report.failed for report in reports if report.failed]:
                    raise min(failed, key=lambda error: names.index(error.client_id))
                dropped = {name: why for report in reports for name, why in report.dropped.items()}
                return *self._sum(done), {name: dropped[name] for name in names if name in dropped}
            except _LOST:
                lost = self._replace_lost()
                for partition in list(done):
                    if self._host(partition) in lost:
                        del done[partition]
        raise RuntimeError(f"Workers were lost {_MAX_REPLACEMENTS} times in one round; giving up.")

    def close(self) -> None:
        """Ends the workers."""
        workers, self._workers = self._workers, []
        disconnect, self._disconnect = self._disconnect, lambda: None
        for worker in workers if ray.is_initialized() else ():
            ray.kill(worker.actor)
        disconnect()

    def _split(self, names: list[str], cohort: Cohort) -> dict[int, list[ClusterClient]]:
        partitions: dict[int, list[ClusterClient]] = {}
        values = cohort if isinstance(cohort, Mapping) else dict(zip(names, cohort, strict=True))
        # Of all clients of the data, so that a client's partition is the same in every round.
        known = cohort.client_data.client_ids if isinstance(cohort, LazyCohort) else names
        positions = {client_id: position for position, client_id in enumerate(known)}
        for client_id in names:
            if isinstance(cohort, LazyCohort):
                client = ClusterClient(client_id, cohort.stream(client_id))
            else:
                client = self._read_batches(client_id, values)
            partition = positions[client_id] % self._num_partitions
            partitions.setdefault(partition, []).append(client)
        return partitions

    def _read_batches(self, client_id: str, data: Mapping[str, Any]) -> ClusterClient:
        try:
            dataset = client_dataset(client_id, data[client_id], self._client_type)
            batches = list(dataset.as_numpy_iterator())
            return ClusterClient(client_id, batches=batches, element_spec=dataset.element_spec)
        except ElementTypeError:
            raise
        except Exception as error:
            return ClusterClient(client_id, failure=_reason(client_id, error))

    def _run(
        self,
        partitions: Mapping[int, list[ClusterClient]],
        cohort: Cohort,
        shared: Sequence[Any],
        done: dict[int, tuple[Any, Report]],
    ) -> None:
        """Runs the partitions that are not done, and adds their sums and reports to `done`."""
        running = {}
        for partition in sorted(set(partitions) - set(done)):
            worker, clients = self._workers[self._host(partition)], partitions[partition]
            if isinstance(cohort, LazyCohort):
                clients = self._bring_data(worker, clients, cohort.client_data)
            running[partition] = worker.actor.run.options(num_returns=2).remote(clients, *shared)
        lost = None
        for partition, (sums, report) in running.items():
            try:
                done[partition] = sums, ray.get(report)
            except _LOST as error:
                lost = error
        if lost:
            raise lost

    def _bring_data(
        self, worker: _Worker, clients: list[ClusterClient], client_data: Any
    ) -> list[ClusterClient]:
        """Gives a worker the examples that it does not have yet."""
        if client_data is not self._client_data:  # another's clients may have the same names
            self._client_data = client_data
            for other in self._workers:
                other.client_ids.clear()
        examples, failed = {}, {}
        names = [client.client_id for client in clients]
        for name in sorted(set(names) - worker.client_ids, key=names.index):
            try:
                examples[name] = tuple(client_arrays(client_data, name))
            except Exception as error:
                failed[name] = _reason(name, error)
        if examples:
            worker.actor.store.remote(examples, bool(worker.client_ids))
            worker.client_ids |= set(examples)
        return [client._replace(failure=failed.get(client.client_id, "")) for client in clients]

    def _sum(self, done: dict[int, tuple[Any, Report]]) -> tuple[Tensors, Tensors]:
        level = [(key, done[key][0]) for key in sorted(done) if done[key][1].num_used]
        while len(level) > 1:  # neighbours first: on one worker, or one machine, if it can be
            pairs = zip(level[::2], level[1::2], strict=False)
            merged = [
                (key, self._workers[self._host(key)].actor.merge.remote(first, second))
                for (key, first), (_, second) in pairs
            ]
            level = merged + level[len(merged) * 2 :]
        arrays = ray.get(level[0][1]) if level else self._zero.load()()
        tensors = [tf.convert_to_tensor(array) for array in arrays]
        return tensors[: self._num_sums], tensors[self._num_sums :]

    def _host(self, partition: int) -> int:
        return partition * len(self._workers) // self._num_partitions

    def _start(self, num_workers: int, num_running: int = 0) -> list[_Worker]:
        """Returns new workers, ready, those of a machine side by side: as many as have a core."""
        actor_class: Any = ray.remote(num_cpus=1, scheduling_strategy="SPREAD")(ClusterWorker)
        actors = [actor_class.remote(*self._arguments) for _ in range(num_workers)]
        waiting = {actor.get_node.remote(): actor for actor in actors}
        started: list[tuple[str, _Worker]] = []
        deadline = time.monotonic() + _START_SECONDS
        while waiting and time.monotonic() < deadline and _num_cores() > num_running + len(started):
            ready, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=1)
            started += [(ray.get(node), _Worker(waiting.pop(node))) for node in ready]
        for actor in waiting.values():
            ray.kill(actor)
        return [worker for _, worker in sorted(started, key=lambda pair: pair[0])]

    def _replace_lost(self) -> set[int]:
        """Starts new workers for those that are gone, or gives their clients to others."""
        lost = {index for index, worker in enumerate(self._workers) if not _is_alive(worker)}
        if not lost:
            return set(range(len(self._workers)))  # a sum is lost, but nobody: all once more
        left = {id(w): w for index, w in enumerate(self._workers) if index not in lost}
        for index in lost:
            ray.kill(self._workers[index].actor)  # it may be out of reach only
        new = self._start(len(lost), len(left))
        others = new or list(left.values())
        if not others:
            raise RuntimeError("All workers are lost, and the cluster has no core for new ones.")
        for position, index in enumerate(sorted(lost)):
            self._workers[index] = others[position % len(others)]
        return lost


def _num_cores() -> int:
    return int(ray.cluster_resources().get("CPU", 0))


def _is_alive(worker: _Worker) -> bool:
    try:
        ray.get(worker.actor.get_node.remote())
    except _LOST:
        return False
    return True


def _reason(client_id: str, error: Exception) -> str:
    return describe(client_id, error).reason.removeprefix("failed: ")
