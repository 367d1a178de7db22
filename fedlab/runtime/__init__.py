"""What executes a learning process."""

import importlib

# Loaded when asked for: a remote worker uses this package without TensorFlow Federated.
_HOMES = {
    "ClientError": "fedlab.runtime.clients",
    "Form": "fedlab.runtime.forms",
    "NoFormError": "fedlab.runtime.forms",
    "Piece": "fedlab.runtime.forms",
    "Runner": "fedlab.runtime.runner",
    "compile": "fedlab.runtime.compilation",
    "cut": "fedlab.runtime.forms",
    "install": "fedlab.runtime.context",
    "oversize_messages": "fedlab.runtime.forms",
}

__all__ = list(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'fedlab.runtime' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
