"""What executes a learning process."""

import lazy_loader

# Loaded when asked for: a remote worker uses this package without TensorFlow Federated.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "compilation": ["compile"],
        "computation_digest": ["digest_computation"],
        "context": ["install"],
        "local.client_loop": ["ClientError", "NonFiniteUpdateError"],
        "local.map_reduce_form": ["Form", "NoFormError", "Piece", "cut", "oversize_messages"],
        "privacy": ["PrivacyError"],
        "runner": ["NonFiniteStateError", "Runner"],
    },
)
