"""What is set for the whole process, before TensorFlow starts."""

import atexit
import logging
import os
import sys

# TensorFlow's C++ log lines. To be set before TensorFlow is loaded.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# One thread for each operation: the cores are shared out among clients, not within a matrix product.
# Read when TensorFlow first computes; set it yourself to have it otherwise.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
# Ray's reports on its use; read when Ray is loaded.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


def _is_worth_telling(record: logging.LogRecord) -> bool:
    """Whether a line of TensorFlow's log is for a learner: not an assertion of TFF's own graphs.

    TFF's secure aggregators (0.87) make assertions without a use for what they return, and
    TensorFlow reports each as an error with a stack trace, whenever it is collected as garbage.
    """
    text = record.getMessage()
    return not ("Object was never used" in text and "/Assert/AssertGuard/" in text)


logging.getLogger("tensorflow").addFilter(_is_worth_telling)  # TensorFlow's own, made beforehand


@atexit.register
def _release_stock_context() -> None:
    """Lets go of the execution context that TFF makes at its import.

    If it is still there when Python tears its modules down, its `__del__` fails and prints a
    traceback (TFF 0.87), also in a notebook that never ran a federated computation.
    """
    tff = sys.modules.get("tensorflow_federated")
    if tff is None or not hasattr(tff, "framework"):  # not loaded, or not to its end
        return
    tff.framework.set_default_context(tff.test.create_runtime_error_context())
