"""What is set in a process that loads TensorFlow with a module of this package.

The modules that load TensorFlow first import this one. Nothing here reaches the processes that this one
starts: the number of threads goes into TensorFlow's own configuration, not into the environment.
"""

import atexit
import contextlib
import logging
import os
import sys

import tensorflow as tf

THREADS_VARIABLE = "TF_NUM_INTRAOP_THREADS"


def _use_single_threaded_operations() -> None:
    """Shares the cores out among clients, not within a matrix product.

    What the user has set stays: TensorFlow's variable in the environment, or its configuration. When
    TensorFlow has computed something, its threads exist already, and it is too late.
    """
    if THREADS_VARIABLE in os.environ or tf.config.threading.get_intra_op_parallelism_threads():
        return
    with contextlib.suppress(RuntimeError):  # too late
        tf.config.threading.set_intra_op_parallelism_threads(1)


def _is_worth_telling(record: logging.LogRecord) -> bool:
    """Whether a line of TensorFlow's log is for a learner: not an assertion of TFF's own graphs.

    TFF's secure aggregators (0.87) make assertions without a use for what they return, and
    TensorFlow reports each as an error with a stack trace, whenever it is collected as garbage.
    """
    text = record.getMessage()
    return not ("Object was never used" in text and "/Assert/AssertGuard/" in text)


@atexit.register
def _release_stock_context() -> None:
    """Lets go of the execution context that TFF makes at its import.

    If it is still there when Python tears its modules down, its `__del__` fails and prints a
    traceback (TFF 0.87), also in a notebook that never ran a federated computation.
    """
    tff = sys.modules.get("tensorflow_federated")  # a worker of a cluster does not load it
    if tff is None or not hasattr(tff, "framework"):  # not loaded, or not to its end
        return
    tff.framework.set_default_context(tff.test.create_runtime_error_context())


_use_single_threaded_operations()
tf.get_logger().addFilter(_is_worth_telling)
