"""Functions in TensorFlow's own table, called by their names."""

import contextlib
import hashlib
import itertools
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

# Not among TensorFlow's public names (2.15).
from tensorflow.python.eager import cancellation, context, execute

from fedlab.runtime.graph_loading import disk_cache, renaming
from fedlab.runtime.graph_loading.stopping import Stop

# From a suffix for the names in them, to the functions.
TraceFn = Callable[[str], Sequence[Any]]
_NUMBERS = itertools.count()


class LoadedFunction:
    """A function of flat tensors, to be called eagerly: not in a graph, and not under a tape.

    What it needs is in TensorFlow's table for as long as it lives.

    Args:
        functions: `FunctionDef`s: the function itself, then those that it calls. Two of one name must
            be the same.
    """

    def __init__(self, functions: Sequence[Any]):
        signature = functions[0].signature
        self._name, self._num_outputs = signature.name, len(signature.output_arg)
        self._dtypes = [tf.as_dtype(arg.type) for arg in signature.input_arg]
        self._lock, self._is_ready = threading.Lock(), False
        table = context.context()
        for function in functions:
            table.add_function_def(function)
        names = [function.signature.name for function in functions]
        weakref.finalize(self, _remove, names).atexit = False

    def __call__(self, *args: Any, stop: Stop | None = None) -> Sequence[tf.Tensor]:
        """Calls the function.

        Args:
            *args: Tensors, or what becomes one.
            stop: Ends the call from another thread, with a `CancelledError`. (A call has a manager of
                its own: one that fails cancels its manager, and with it all calls that share it.)
        """
        if not self._is_ready:
            self.get_ready()
        manager = cancellation.CancellationManager()
        with stop.calling(manager.start_cancel) if stop else contextlib.nullcontext():
            return self._execute(args, manager)

    def get_ready(self) -> None:
        """Lets TensorFlow optimize the function: most of the work of a first call.

        Without the lock, two first calls at a time would both do so.
        """
        with self._lock:
            if self._is_ready:
                return
            cancelled = cancellation.CancellationManager()
            cancelled.start_cancel()  # the function is optimized, and nothing runs
            with contextlib.suppress(tf.errors.CancelledError):
                self._execute([_placeholder(dtype) for dtype in self._dtypes], cancelled)
            self._is_ready = True

    def _execute(
        self, args: Sequence[Any], manager: cancellation.CancellationManager
    ) -> Sequence[tf.Tensor]:
        table = context.context()
        attrs = [part for item in table.function_call_options.as_attrs().items() for part in item]
        inputs = [tf.convert_to_tensor(arg) for arg in args]
        return execute.execute_with_cancellation(
            self._name, self._num_outputs, inputs, tuple(attrs), table, manager
        )


def load(trace_fn: TraceFn, *key: bytes) -> list[LoadedFunction]:
    """Returns functions that are traced now, or were traced in an earlier session.

    Args:
        trace_fn: Returns the `ConcreteFunction`s; they take no part in each other's names.
        *key: All that they depend on.
    """
    suffix = f"_{hashlib.sha256(b''.join(key)).hexdigest()[:32]}"
    library = tf.compat.v1.GraphDef().library
    library.ParseFromString(
        disk_cache.remember(lambda: _to_bytes(trace_fn(suffix), suffix), "function", *key)
    )
    graph_def = tf.compat.v1.GraphDef(library=library)
    renaming.rename(graph_def, f"_{next(_NUMBERS)}")
    functions = list(graph_def.library.function)
    num_traced = sum(function.signature.name.startswith(_PREFIX) for function in functions)
    called = functions[num_traced:]
    return [LoadedFunction([function, *called]) for function in functions[:num_traced]]


_PREFIX = "fedlab_traced_"


def _to_bytes(traced: Sequence[Any], suffix: str) -> bytes:
    """Returns a `FunctionDefLibrary`: the traced functions, then those that they call."""
    library = tf.compat.v1.GraphDef().library
    for number, function in enumerate(traced):
        library.function.add().CopyFrom(function.function_def)
        library.function[-1].signature.name = f"{_PREFIX}{number}{suffix}"
    called = {
        function.signature.name: function
        for traced_function in traced
        for function in traced_function.graph.as_graph_def().library.function
    }
    library.function.extend(called.values())
    return library.SerializeToString(deterministic=True)


def _placeholder(dtype: tf.DType) -> tf.Tensor:
    if dtype == tf.variant:
        return tf.raw_ops.EmptyTensorList(
            element_shape=-1, max_num_elements=0, element_dtype=tf.float32
        )
    return tf.zeros([], dtype)


def _remove(names: Sequence[str]) -> None:
    table = context.context()
    for name in names:  # TensorFlow counts how often each was added
        table.remove_function(name)
