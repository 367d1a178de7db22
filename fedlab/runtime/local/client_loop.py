"""The clients of a round, in parallel, their updates added up in order.

TFF is not imported: a remote worker does without it.
"""

import collections
import concurrent.futures
import contextlib
import itertools
import os
import queue
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from fedlab.runtime.graph_loading.stopping import Stop
from fedlab.runtime.local.graphs import Graph, GraphFunction
from fedlab.secure.interface import SecureRound

Tensors = Sequence[tf.Tensor]
# A client's name, and what makes its data: flat tensors, a dataset as a variant.
Client = tuple[str, Callable[[], Tensors]]
_Result = tuple[str, Callable[[], Tensors]]
_Future = concurrent.futures.Future[Tensors]
_SECONDS_TO_STOP = 10


class ClientError(RuntimeError):
    """A client failed, or sent what is not finite; the round did not happen.

    Attributes:
        client_id: The client.
        reason: What went wrong.
    """

    def __init__(self, client_id: str, reason: str):
        super().__init__(
            f"Client {client_id!r} {reason}. The round is not counted and the state is as it was. "
            'Lower the learning rate or look at the client\'s data; on_client_error="drop" goes on '
            "without such clients."
        )
        self.client_id = client_id
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.client_id, self.reason)


class NonFiniteUpdateError(ClientError):
    """A client's update or one of its metrics is NaN or infinite; the round did not happen."""

    def __init__(self, client_id: str, reason: str = ""):
        super().__init__(
            client_id, reason or "has an update or a metric that is not finite (NaN or Inf)"
        )


class ClientLoop:
    """Runs `work` for one client after the other, several at a time.

    The updates are added in the order of the cohort, whoever is ready first: the sum is the same,
    bit for bit, for any number of workers. At most twice as many clients as workers have started
    and are not yet added, so memory grows with the workers and not with the cohort.

    Args:
        work: The client's part of a round.
        zero: The sum of no updates.
        accumulate: (sum, update) -> sum.
        moduli: What the last integers of `work`'s results are summed modulo.
        num_workers: Clients at a time. Default: one a core. A `work` that draws from a stream of
            random numbers gets one worker, for its numbers depend on the order.

    Attributes:
        functions: All that a round calls, the clients' first.
    """

    def __init__(
        self,
        work: Graph,
        zero: Graph,
        accumulate: Graph,
        moduli: Sequence[int] = (),
        num_workers: int | None = None,
    ):
        num_workers = num_workers or len(os.sched_getaffinity(0))
        self.num_workers = 1 if work.draws_from_a_stream else num_workers
        num_loaded = self.num_workers if work.has_state else 1  # each has variables of its own
        loaded = [work.load(check_finite=True) for _ in range(num_loaded)]
        self._zero, self._accumulate = zero.load(), accumulate.load()
        self.functions: list[GraphFunction] = [*loaded, self._accumulate, self._zero]
        self._work_fns: queue.SimpleQueue[GraphFunction] = queue.SimpleQueue()
        for worker in range(self.num_workers):
            self._work_fns.put(loaded[worker % len(loaded)])
        # An update may have more tensors than the sum: quantization sends ranges besides.
        self._num_updates = len(accumulate.inputs) - len(zero.outputs)
        self._moduli = tuple(moduli)

    def run(
        self,
        clients: Iterable[Client],
        broadcast: Tensors,
        *,
        drop: bool = False,
        secure_round: SecureRound | None = None,
    ) -> tuple[Tensors, Tensors, dict[str, str]]:
        """Runs the clients and adds up.

        Args:
            clients: Drawn from as workers become free.
            broadcast: What every client gets.
            drop: Leave out clients that fail, instead of raising.
            secure_round: Sums the integers that are to be summed securely, one secure sum for all
                of the round. Default: they are added like the rest.

        Returns:
            The sum, the sums of the integers to be summed securely, and the clients left out, each
            with the reason.

        Raises:
            ClientError: A client failed, or its update is not finite.
            ProtocolError: The secure sum cannot be finished, as too few clients are left.
        """
        sums, secure = self._zero(), _SecureSums(self._moduli, secure_round)
        dropped: dict[str, str] = {}
        with (
            _threads(self.num_workers) as pool,
            contextlib.closing(self._results(pool, clients, broadcast)) as results,
        ):
            for client_id, get_result in results:
                try:
                    update = get_result()
                    secure.add(client_id, update[self._num_updates :])
                except ClientError as error:
                    if not drop:
                        raise
                    dropped[client_id] = error.reason
                    continue
                sums = self._accumulate(*sums, *update[: self._num_updates])
        return sums, secure.finish(), dropped

    def _results(
        self, pool: concurrent.futures.Executor, clients: Iterable[Client], broadcast: Tensors
    ) -> Generator[_Result, None, None]:
        waiting: collections.deque[tuple[str, _Future]] = collections.deque()
        clients, stop = iter(clients), Stop()
        try:
            while True:
                for client in itertools.islice(clients, 2 * self.num_workers - len(waiting)):
                    waiting.append((client[0], self._submit(pool, client, broadcast, stop)))
                if not waiting:
                    return
                client_id, future = waiting[0]
                yield client_id, future.result
                waiting.popleft()
        finally:  # after an error, or the stop button
            stop.set()
            for _, future in waiting:
                future.cancel()
            concurrent.futures.wait([future for _, future in waiting], _SECONDS_TO_STOP)

    def _submit(
        self,
        pool: concurrent.futures.Executor,
        client: Client,
        broadcast: Tensors,
        stop: Stop,
    ) -> _Future:
        client_id, create_data = client
        try:
            data = create_data()  # here, while the workers compute
        except Exception as error:
            failed: _Future = concurrent.futures.Future()
            failed.set_exception(describe(client_id, error))
            return failed
        return pool.submit(self._work, client_id, [*data, *broadcast], stop)

    def _work(self, client_id: str, args: Tensors, stop: Stop) -> Tensors:
        work_fn = self._work_fns.get()
        try:
            *update, is_finite = work_fn(*args, stop=stop)
            is_finite = bool(is_finite)
        except Exception as error:
            raise describe(client_id, error) from error
        finally:
            self._work_fns.put(work_fn)
        if not is_finite:
            raise NonFiniteUpdateError(client_id)
        return update


@contextlib.contextmanager
def _threads(num_workers: int) -> Iterator[concurrent.futures.Executor]:
    """Threads that live as long as a round, so that nobody has to end them.

    A client that does not end, though it was told to stop, does not hold up whoever waits.
    """
    pool = concurrent.futures.ThreadPoolExecutor(num_workers, "fedlab-client")
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class _SecureSums:
    """The sums of a round's integers: by a secure round, or plain ones."""

    def __init__(self, moduli: Sequence[int], secure_round: SecureRound | None):
        self._moduli, self._round = moduli, secure_round
        self._sums: Tensors | None = None

    def add(self, client_id: str, values: Tensors) -> None:
        if self._round is None:
            self._sums = add_secure(self._sums, values, self._moduli)
            return
        values = add_secure(None, values, self._moduli)  # each within its modulus
        try:
            self._round.add(client_id, [np.asarray(value) for value in values])
        except ValueError as error:
            raise describe(client_id, error) from error
        self._sums = []  # somebody was added; the sums are known at the round's end

    def finish(self) -> Tensors:
        if self._round is None or self._sums is None:
            return self._sums or []
        return [tf.constant(total) for total in self._round.finish()]


def add_secure(sums: Tensors | None, update: Tensors, moduli: Sequence[int]) -> Tensors:
    """Adds integers that are to be summed securely; a plain sum.

    Args:
        sums: The sums so far, or `None`.
        update: The integers to add.
        moduli: What the last of them are taken modulo.

    Returns:
        The sums with the update in them.
    """
    if sums is not None:
        update = [total + value for total, value in zip(sums, update, strict=True)]
    num_plain = len(update) - len(moduli)
    modular = zip(update[num_plain:], moduli, strict=True)
    return [*update[:num_plain], *(tf.math.floormod(value, modulus) for value, modulus in modular)]


def describe(client_id: str, error: Exception) -> ClientError:
    """Returns the `ClientError` that says what went wrong, in one line."""
    lines = [line.strip() for line in str(error).splitlines()]
    if isinstance(error, tf.errors.OpError):  # first where, then what, then in which nodes
        lines = [re.sub(r"\s*\[(\[|Op:).*", "", line) for line in reversed(lines)]
    reason = next(filter(None, lines), type(error).__name__)
    described = ClientError(client_id, f"failed: {reason.rstrip('.')}")
    described.__cause__ = error
    return described
