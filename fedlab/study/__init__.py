"""Many runs: configurations x seeds, each kept as soon as it is done."""

import importlib

# Loaded when asked for: the command line lists its commands without TensorFlow.
_HOMES = {
    "BASELINE": "fedlab.study.config",
    "PLANS": "fedlab.study.plans",
    "Dataset": "fedlab.study.federation",
    "RunConfig": "fedlab.study.config",
    "Store": "fedlab.study.store",
    "load_dataset": "fedlab.study.federation",
    "run": "fedlab.study.execution",
    "run_all": "fedlab.study.store",
}

__all__ = list(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'fedlab.study' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
