"""Helpers for the course on federated learning and privacy with TensorFlow Federated.

Importing this package is instant: TensorFlow is loaded with the first module or name that needs it.
"""

import importlib

from fedlab import _process as _process

__version__ = "0.1.0"

# The names of most programs, and where they live.
_HOMES = {
    "build_fed_avg": "fedlab.learning",
    "build_evaluation": "fedlab.learning",
    "compile": "fedlab.runtime",
    "run_rounds": "fedlab.training",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'fedlab' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
