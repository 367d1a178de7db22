"""The local runtime as TFF's default, for computations that are called directly."""

import threading
import warnings
from collections.abc import Callable

import numpy as np
import tensorflow_federated as tff

from fedlab.runtime.local.local_runner import LocalClients, Round
from fedlab.runtime.local.map_reduce_form import NoFormError, Piece, cut, cut_initialize
from fedlab.runtime.native.native_runner import native_context

_INSTALLING = threading.Lock()
_MAX_KEPT = 64


class LocalContext(tff.framework.SyncContext):
    """Executes TFF computations in this process; those that have no form, on TFF's own runtime."""

    def __init__(self):
        # Each with its computation, for a number (id) is given to another once its owner is gone.
        self._executors: dict[int, tuple[tff.Computation, Callable]] = {}
        self._lock = threading.RLock()

    def invoke(self, computation: tff.Computation, arg):
        """Called by TFF whenever a computation is called."""
        key = id(computation)
        with self._lock:
            if key not in self._executors:
                self._executors[key] = computation, self._build_executor(computation)
            self._executors[key] = found = self._executors.pop(key)  # last: the one used last
            if len(self._executors) > _MAX_KEPT:
                del self._executors[next(iter(self._executors))]
        return found[1](arg)

    def _build_executor(self, computation: tff.Computation) -> Callable:
        try:
            return _build_local_executor(computation)
        except NoFormError:
            warnings.warn(notice(computation.type_signature.compact_representation()), stacklevel=4)
            return lambda arg: native_context().invoke(computation, arg)


def notice(what: str) -> str:
    """Returns the line that says that TFF's own runtime is chosen."""
    what = what if len(what) < 80 else f"{what[:77]}..."
    return f"{what} has no MapReduceForm: it runs on TFF's own runtime, in a process of its own."


def _build_local_executor(computation: tff.Computation) -> Callable:
    signature = computation.type_signature
    if not tff.types.contains(signature, lambda one: isinstance(one, tff.FederatedType)):
        return Piece.from_computation(computation).as_function(packed=True)
    if signature.parameter is None:
        return cut_initialize(computation).as_function(packed=True)
    if isinstance(signature.parameter, tff.FederatedType):
        one_round = _build_round(_with_state(computation))
        return lambda values: one_round.run(0, values)[0][1]
    one_round = _build_round(computation)
    return lambda arg: one_round.run(arg[0], arg[1])[0]


def _build_round(computation: tff.Computation) -> Round:
    form = cut(computation)
    return Round(form, LocalClients(form))


def _with_state(computation: tff.Computation) -> tff.Computation:
    """A sum over clients as a round, which has a state as well; nobody looks at it."""
    parameter = computation.type_signature.parameter
    if parameter.placement is not tff.CLIENTS:
        raise NoFormError("It has no clients.")

    @tff.federated_computation(tff.FederatedType(np.int32, tff.SERVER), parameter)
    def next_fn(state, values):
        return state, computation(values)

    return next_fn


def install(runtime: str = "local") -> None:
    """Makes a runtime TFF's default, for computations that are called directly.

    Args:
        runtime: "local": in this process; "tff": TFF's own, on a worker that nobody else reaches
            and that ends with this process.

    Raises:
        ValueError: There is no such runtime.
    """
    if runtime not in ("local", "tff"):
        raise ValueError(f"runtime must be 'local' or 'tff'. Found {runtime!r}.")
    wanted = _LOCAL if runtime == "local" else native_context()
    stack = tff.framework.get_context_stack()
    with _INSTALLING:
        if stack.current is not wanted:
            stack.set_default_context(wanted)


_LOCAL = LocalContext()
