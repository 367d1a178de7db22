"""The runtime of the course: a round in this process. No child process, no socket."""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import tensorflow as tf
import tensorflow_federated as tff

from fedlab.runtime.local.client_loop import Client, ClientError, ClientLoop, Tensors
from fedlab.runtime.local.graphs import GraphFunction
from fedlab.runtime.local.map_reduce_form import Form, Piece, cut, cut_initialize
from fedlab.runtime.local.values import flatten, pack
from fedlab.runtime.runner import Cohort, NonFiniteStateError, Runner, check_nobody, name_clients
from fedlab.secure.interface import SecureSum


class ClientRunner(Protocol):
    """Runs the clients' part of a round.

    Attributes:
        functions: The loaded functions that it calls in this process.
    """

    functions: Sequence[GraphFunction]

    def __call__(
        self, cohort: Cohort, broadcast: Tensors, drop: bool
    ) -> tuple[Tensors, Tensors, dict[str, str]]:
        """Runs a cohort.

        Args:
            cohort: The clients' batches.
            broadcast: The tensors that every client gets.
            drop: Whether to leave out clients that fail, instead of raising.

        Returns:
            The sum of the updates, the secure sums, and the reason for each client left out.
        """

    def close(self) -> None:
        """Releases threads and processes."""


class Round:
    """One round: the server's pieces of the form, around whatever runs the clients' piece.

    Args:
        form: The round's pieces.
        run_clients: Runs `work` for a cohort and adds up.

    Attributes:
        functions: All that the server calls, the slowest to get ready first.
    """

    def __init__(self, form: Form, run_clients: ClientRunner):
        self._result_type = form.update.type_signature.result
        self._state_type = form.update.type_signature.parameter[0]
        self._prepare = form.prepare.load(check_finite=True)
        self._report = form.report.load()
        self._update = form.update.load()
        self.functions: list[GraphFunction] = [self._update, self._prepare, self._report]
        num_updates = len(form.accumulate.graph.inputs) - len(form.zero.graph.outputs)
        self._sums_securely = len(form.work.graph.outputs) > num_updates
        self._run_clients = run_clients

    def run(self, state: Any, cohort: Cohort, *, drop: bool = False) -> tuple[Any, dict[str, str]]:
        """Runs one round.

        Args:
            state: The server's state.
            cohort: The clients' batches.
            drop: Whether to leave out clients that fail, instead of raising.

        Returns:
            The result of the computation that was cut, and the reason for each client left out.

        Raises:
            NonFiniteStateError: The state is not finite.
            ClientError: A client failed, or all did.
        """
        if self._sums_securely and not name_clients(cohort):
            raise ValueError("The cohort must hold a client whose sum is secure. Found none.")
        flat_state = flatten(state, self._state_type)
        *broadcast, is_finite = self._prepare(*flat_state)
        if not is_finite:
            raise NonFiniteStateError("The state is not finite. Go on from an earlier one.")
        sums, secure, dropped = self._run_clients(cohort, broadcast, drop)
        check_some_are_left(dropped, cohort)
        result = self._update(*flat_state, *self._report(*sums), *secure)
        return pack(result, self._result_type), dropped


class LocalClients:
    """Runs the clients' piece in this process.

    Args:
        form: The round's pieces.
        num_workers: Clients at a time. Default: one a core.
        secure_sum: Sums what the clients send to be summed securely. Default: it is added in the
            clear.

    Raises:
        ValueError: There is a secure sum and nothing for it.
    """

    def __init__(
        self, form: Form, num_workers: int | None = None, secure_sum: SecureSum | None = None
    ):
        self._secure_sum = secure_sum
        self._secure_specs = () if secure_sum is None else form.secure_specs()
        if secure_sum is not None and not self._secure_specs:
            raise ValueError(
                "There is nothing to sum securely: this process's clients send no integers for a "
                "secure sum. Build it with an aggregator from tff.learning.secure_aggregator()."
            )
        self._client_type = form.work.type_signature.parameter[0]
        self._loop = ClientLoop(
            form.work.graph,
            form.zero.graph,
            form.accumulate.graph,
            moduli=form.moduli,
            num_workers=num_workers,
        )
        self.functions: Sequence[GraphFunction] = self._loop.functions

    def close(self) -> None:
        """Does nothing: the threads end with each round."""

    def __call__(
        self, cohort: Cohort, broadcast: Tensors, drop: bool
    ) -> tuple[Tensors, Tensors, dict[str, str]]:
        """Implements `ClientRunner.__call__`."""
        names = name_clients(cohort)
        secure_round = None
        if self._secure_sum is not None:
            secure_round = self._secure_sum.begin_round(names, self._secure_specs)
        clients = self._clients(cohort)
        return self._loop.run(clients, broadcast, drop=drop, secure_round=secure_round)

    def _clients(self, cohort: Cohort) -> Iterator[Client]:
        names = name_clients(cohort)
        data = cohort if isinstance(cohort, Mapping) else dict(zip(names, cohort, strict=True))
        for name in names:  # a mapping may make its datasets one by one
            yield name, functools.partial(self._read, data, name)

    def _read(self, data: Mapping[str, Any], name: str) -> Tensors:
        return flatten(data[name], self._client_type)


def check_some_are_left(dropped: Mapping[str, str], cohort: Cohort) -> None:
    """Raises the first client's `ClientError` if nobody is left."""
    if dropped and len(dropped) == len(cohort):
        client_id, reason = next(iter(dropped.items()))
        raise ClientError(client_id, f"{reason}, and so has every other of this round")


class FormRunner(Runner):
    """Executes a process that has a form: the server's pieces here, the clients' where they are told.

    Args:
        process: A TFF `LearningProcess`.
        create_clients_fn: Makes what runs the form's clients.
        drop: Leave out clients that fail.

    Raises:
        NoFormError: The process has no form.
    """

    def __init__(
        self,
        process: tff.learning.templates.LearningProcess,
        create_clients_fn: Callable[[Form], ClientRunner],
        *,
        drop: bool = False,
    ):
        super().__init__(process)
        self._initialize = cut_initialize(process.initialize)
        form = cut(process)
        self._clients = create_clients_fn(form)
        self._round = Round(form, self._clients)
        # The clients' functions are the largest. On a cluster they are the workers'.
        functions = [*self._clients.functions, *self._round.functions]
        self._stop_getting_ready = get_ready_in_thread(functions)
        self._drop = drop
        # Each with its computation: a number (id) is given to another once its owner is gone.
        self._pieces: dict[int, tuple[tff.Computation, Callable]] = {}

    def close(self) -> None:
        """Stops what gets the functions ready, and closes what runs the clients."""
        self._stop_getting_ready.set()
        self._clients.close()

    def initialize(self) -> Any:
        """Returns the state before the first round; implements `Runner.initialize`."""
        return self._initialize()

    def next(self, state: Any, cohort: Cohort) -> tff.learning.templates.LearningProcessOutput:
        """Runs one round in this process; implements `Runner.next`."""
        output, self.dropped = self._round.run(state, cohort, drop=self._drop)
        check_nobody(cohort, output.metrics)
        return output

    def call(self, computation: tff.Computation, *args: Any) -> Any:
        """Executes one of the process's computations without clients; implements `Runner.call`."""
        key = id(computation)
        if key not in self._pieces:
            self._pieces[key] = computation, Piece.from_computation(computation).as_function()
        return self._pieces[key][1](*args)


def get_ready_in_thread(functions: Iterable[GraphFunction]) -> threading.Event:
    """Gets functions ready in a thread, while this one goes on.

    Args:
        functions: Those that a first round would wait for.

    Returns:
        An event. The thread ends with the function that it is at when the event is set, or when
        Python ends.
    """
    stop = threading.Event()

    def run() -> None:
        for function in functions:
            if stop.is_set() or not threading.main_thread().is_alive():
                return
            with contextlib.suppress(tf.errors.OpError):  # the call will raise it
                function.get_ready()

    threading.Thread(target=run, name="fedlab-get-ready").start()
    return stop
