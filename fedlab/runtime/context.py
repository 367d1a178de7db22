"""The local runtime as TFF's default, for computations that are called directly."""

import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow_federated as tff

from fedlab.checks import check_choice
from fedlab.runtime import privacy
from fedlab.runtime.local.local_runner import LocalClients, Round
from fedlab.runtime.local.map_reduce_form import NoFormError, Piece, cut, cut_initialize
from fedlab.runtime.native.native_runner import native_context

_INSTALLING = threading.Lock()
_MAX_EXECUTORS = 64


class LocalContext(tff.framework.SyncContext):
    """Executes TFF computations in this process; those that have no form, on TFF's own runtime."""

    def __init__(self):
        # Each with its computation, for a number (id) is given to another once its owner is gone.
        self._executors: dict[int, tuple[tff.Computation, Callable]] = {}
        self._lock = threading.RLock()

    def invoke(self, computation: tff.Computation, arg: Any) -> Any:
        """Executes a computation; TFF calls this whenever a computation is called.

        Args:
            computation: Any TFF computation.
            arg: Its argument, several as one structure, or `None`.

        Returns:
            The computation's result.
        """
        key = id(computation)
        with self._lock:
            if key not in self._executors:
                self._executors[key] = computation, self._build_executor(computation)
            self._executors[key] = self._executors.pop(key)  # the last was used last
            execute = self._executors[key][1]
            if len(self._executors) > _MAX_EXECUTORS:
                del self._executors[next(iter(self._executors))]
        return execute(arg)

    def _build_executor(self, computation: tff.Computation) -> Callable:
        try:
            return _build_local_executor(computation)
        except NoFormError:
            warnings.warn(notice(computation.type_signature.compact_representation()), stacklevel=4)
            return lambda arg: native_context().invoke(computation, arg)


def notice(name: str) -> str:
    """Returns the line that says that TFF's own runtime is chosen for what has this name."""
    name = name if len(name) < 80 else f"{name[:77]}..."
    return f"{name} has no MapReduceForm: it runs on TFF's own runtime, in a process of its own."


def _build_local_executor(computation: tff.Computation) -> Callable:
    signature = computation.type_signature
    if not tff.types.contains(signature, lambda part: isinstance(part, tff.FederatedType)):
        return Piece.from_computation(computation).as_function(packed=True)
    if signature.parameter is None:
        return cut_initialize(computation).as_function(packed=True)
    if isinstance(signature.parameter, tff.FederatedType):
        built = _build_round(_with_state(computation))
        return lambda values: built.run(0, values)[0][1]
    built = _build_round(computation)
    return lambda arg: built.run(arg[0], arg[1])[0]


def _build_round(computation: tff.Computation) -> Round:
    form = cut(computation)
    # A call has no option that could say whether the metrics are to be protected.
    privacy.check_sent(privacy.find_sent(computation, form), metrics_in_the_clear=True)
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
    check_choice("runtime", runtime, ("local", "tff"))
    context = _LOCAL if runtime == "local" else native_context()
    stack = tff.framework.get_context_stack()
    with _INSTALLING:
        if stack.current is not context:
            stack.set_default_context(context)


_LOCAL = LocalContext()
