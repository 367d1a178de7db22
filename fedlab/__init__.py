"""Helpers for the course on federated learning and privacy with TensorFlow Federated.

Importing this package is instant: TensorFlow is loaded with the first module or name that needs it.
"""

import importlib
import os
import sys
from typing import Any

# All that this import changes. A user's own setting stays.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read by Ray when it is loaded
if not os.access("/dev/shm", os.W_OK):  # else joblib, which TFF loads, warns in a first cell
    os.environ.setdefault("JOBLIB_MULTIPROCESSING", "0")
if os.path.expanduser("~") == "~":  # a user without a home: else Keras makes a folder called ~
    os.environ.setdefault("KERAS_HOME", os.devnull)
if "tensorflow" not in sys.modules:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read by TensorFlow when it is loaded
else:  # as the first module that loads it does: before it computes anything
    importlib.import_module("fedlab._tensorflow")

__version__ = "0.1.0"

# The names of most programs, and where they live.
_HOMES = {
    "build_fed_avg": "fedlab.learning",
    "build_evaluation": "fedlab.learning",
    "compile": "fedlab.runtime",
    "run_rounds": "fedlab.training",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fedlab' has no attribute {name!r}")
    importlib.import_module("fedlab._tensorflow")  # each of these homes loads TensorFlow
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
