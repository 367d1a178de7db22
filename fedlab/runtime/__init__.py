"""What executes a learning process."""

import importlib

# Loaded when asked for: a remote worker uses this package without TensorFlow Federated.
_HOMES = {
    "ClientError": "fedlab.runtime.local.client_loop",
    "Form": "fedlab.runtime.local.map_reduce_form",
    "NoFormError": "fedlab.runtime.local.map_reduce_form",
    "NonFiniteStateError": "fedlab.runtime.runner",
    "NonFiniteUpdateError": "fedlab.runtime.local.client_loop",
    "Piece": "fedlab.runtime.local.map_reduce_form",
    "Runner": "fedlab.runtime.runner",
    "compile": "fedlab.runtime.compilation",
    "cut": "fedlab.runtime.local.map_reduce_form",
    "install": "fedlab.runtime.context",
    "oversize_messages": "fedlab.runtime.local.map_reduce_form",
}

__all__ = list(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'fedlab.runtime' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
