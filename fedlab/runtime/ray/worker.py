"""What runs in a process of a cluster: some clients, and the sum of their updates.

TFF is not imported: a remote worker does without it.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from fedlab.data.preprocessing import Preprocessing
from fedlab.runtime.local.client_loop import ClientError, ClientLoop, Tensors, add_secure
from fedlab.runtime.local.graphs import Graph
from fedlab.runtime.local.sequences import to_dataset

Arrays = list[np.ndarray]


class ClusterClient(NamedTuple):
    """A client of a round, as it is named to a worker.

    Attributes:
        client_id: The client; a worker that was given its examples keeps them.
        stream: The random stream that `Preprocessing.apply_to_arrays` takes.
        batches: The batches themselves, where the worker cannot make them from examples.
        element_spec: The batches' `tf.TensorSpec`s.
        failure: Why there is no data, if there is none.
    """

    client_id: str
    stream: tuple[int | str, ...] = ()
    batches: Sequence[Any] | None = None
    element_spec: Any = None
    failure: str = ""


class Report(NamedTuple):
    """What the driver is told of a partition; the sum itself stays where it was made.

    Attributes:
        num_used: Clients in the sum.
        dropped: Clients left out, each with the reason.
        failed: The error that ended the round, if a client failed.
    """

    num_used: int
    dropped: dict[str, str]
    failed: ClientError | None


class ClusterWorker:
    """Loads the functions once, keeps its clients' examples, and runs its part of each round.

    Args:
        work: The client's part of a round.
        zero: The sum of no updates.
        accumulate: (sum, update) -> sum.
        merge: (sum, sum) -> sum.
        moduli: What the last integers of `work`'s results are summed modulo.
        finite: Positions of `work`'s results that make a client fail where they are not finite.
    """

    def __init__(
        self,
        work: Graph,
        zero: Graph,
        accumulate: Graph,
        merge: Graph,
        moduli: Sequence[int],
        finite: Sequence[int],
    ):
        tf.config.threading.set_intra_op_parallelism_threads(1)  # there is a worker a core
        self._loop = ClientLoop(work, zero, accumulate, moduli, num_workers=1, finite=finite)
        self._merge = merge.load()
        self._num_sums = len(zero.outputs)
        self._moduli = moduli
        self._examples: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def get_node(self) -> str:
        """Returns the machine's id. Whoever has it knows that the functions are loaded."""
        import ray  # here: the rest of this file is without it

        return ray.get_runtime_context().get_node_id()

    def store(self, examples: dict[str, tuple[np.ndarray, np.ndarray]], keep: bool) -> None:
        """Keeps clients' examples.

        Args:
            examples: By client: pixels and labels, as `fedlab.data.client_arrays` returns them. They
                are copied, out of Ray's store, which is small.
            keep: Whether to keep, besides, those that were given before.
        """
        copies = {
            client_id: (np.array(pixels), np.array(labels))
            for client_id, (pixels, labels) in examples.items()
        }
        self._examples = (self._examples if keep else {}) | copies

    def run(
        self,
        clients: Sequence[ClusterClient],
        preprocessing: Preprocessing | None,
        broadcast: Arrays,
        drop: bool,
    ) -> tuple[Arrays, Report]:
        """Runs clients in their order.

        Args:
            clients: The clients of this partition.
            preprocessing: Makes the batches of clients that have none of their own.
            broadcast: The tensors that every client gets.
            drop: Whether to leave out clients that fail, instead of raising.

        Returns:
            The sum, with the sums of the integers to be summed securely at its end, and the report.
        """

        def create_data(client: ClusterClient) -> Tensors:
            if client.failure:
                raise RuntimeError(client.failure)
            if client.batches is not None or preprocessing is None:
                dataset = to_dataset(client.batches or (), client.element_spec)
            else:
                examples = self._examples[client.client_id]
                dataset = preprocessing.apply_to_arrays(*examples, *client.stream)
            return [tf.data.experimental.to_variant(dataset)]

        named = ((client.client_id, functools.partial(create_data, client)) for client in clients)
        try:
            sums, secure, dropped = self._loop.run(
                named, [tf.constant(array) for array in broadcast], drop=drop
            )
        except ClientError as error:
            return [], Report(0, {}, error)
        arrays = [tensor.numpy() for tensor in (*sums, *secure)]
        return arrays, Report(len(clients) - len(dropped), dropped, None)

    def merge(self, first: Arrays, second: Arrays) -> Arrays:
        """Returns the sum of two partitions' sums."""
        end = self._num_sums
        sums = self._merge(*(tf.constant(array) for array in (*first[:end], *second[:end])))
        secure = add_secure(first[end:], second[end:], self._moduli) if first[end:] else []
        return [tensor.numpy() for tensor in (*sums, *map(tf.convert_to_tensor, secure))]
