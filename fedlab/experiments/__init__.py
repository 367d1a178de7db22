"""Many runs: configurations x seeds, each kept as soon as it is done."""

import importlib

# Loaded when asked for: the command line lists its commands without TensorFlow.
_HOMES = {
    "BASELINE": "fedlab.experiments.config",
    "PLANS": "fedlab.experiments.plans",
    "RunConfig": "fedlab.experiments.config",
    "Store": "fedlab.experiments.store",
    "run": "fedlab.experiments.execution",
    "run_all": "fedlab.experiments.store",
}

__all__ = list(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'fedlab.experiments' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
