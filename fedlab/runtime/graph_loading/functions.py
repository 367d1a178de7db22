"""A function in TensorFlow's own table, called by its name. No TFF in here."""

import contextlib
import threading
import weakref
from collections.abc import Iterable, Sequence

import tensorflow as tf

# Not among TensorFlow's public names (2.15).
from tensorflow.core.framework import function_pb2
from tensorflow.python.eager import context, execute
from tensorflow.python.eager.cancellation import CancellationManager


class LoadedFunction:
    """A function of flat tensors, to be called eagerly: not in a graph, and not under a tape.

    What it needs is in TensorFlow's table for as long as it lives.

    Args:
        functions: The function itself, then those that it calls. Two of one name must be the same.
    """

    def __init__(self, functions: Sequence[function_pb2.FunctionDef]):
        signature = functions[0].signature
        self._name, self._num_outputs = signature.name, len(signature.output_arg)
        self._dtypes = [tf.as_dtype(arg.type) for arg in signature.input_arg]
        self._lock, self._is_ready = threading.Lock(), False
        table = context.context()
        for one in functions:
            table.add_function_def(one)
        names = [one.signature.name for one in functions]
        weakref.finalize(self, _remove, names).atexit = False

    def __call__(self, *args, manager: CancellationManager | None = None) -> Sequence[tf.Tensor]:
        """Calls the function.

        Args:
            *args: Tensors, or what becomes one.
            manager: Ends the call from another thread, with an error. (TensorFlow's own
                `CancellationManagerContext` is one for all threads, and a call that fails cancels
                its manager, and with it all others.)
        """
        if not self._is_ready:
            self.get_ready()
        return self._execute(args, manager or CancellationManager())

    def get_ready(self) -> None:
        """Lets TensorFlow optimize the function: most of what its first call does else.

        Without the lock, two first calls at a time would both do so.
        """
        with self._lock:
            if self._is_ready:
                return
            cancelled = CancellationManager()
            cancelled.start_cancel()  # the function is optimized, and nothing runs
            with contextlib.suppress(tf.errors.CancelledError):
                self._execute([_placeholder(dtype) for dtype in self._dtypes], cancelled)
            self._is_ready = True

    def _execute(self, args: Sequence, manager: CancellationManager) -> Sequence[tf.Tensor]:
        table = context.context()
        attrs = [part for item in table.function_call_options.as_attrs().items() for part in item]
        inputs = [tf.convert_to_tensor(arg) for arg in args]
        return execute.execute_with_cancellation(
            self._name, self._num_outputs, inputs, tuple(attrs), table, manager
        )


def get_ready_aside(functions: Iterable[LoadedFunction]) -> threading.Event:
    """Gets functions ready in a thread, while this one goes on.

    Returns:
        An event. The thread ends with the function that it is at when the event is set, or when
        Python wants to end.
    """
    stop = threading.Event()

    def run() -> None:
        for function in functions:
            if stop.is_set() or not threading.main_thread().is_alive():
                return
            with contextlib.suppress(tf.errors.OpError):  # the call will say it
                function.get_ready()

    threading.Thread(target=run, name="fedlab-get-ready").start()
    return stop


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
