"""Many runs: configurations x seeds, each kept as soon as it is done."""

import lazy_loader

# Loaded when asked for: the command line lists its commands without TensorFlow.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "config": ["BASELINE", "RunConfig"],
        "execution": ["run"],
        "plans": ["PLANS"],
        "store": ["Store"],
        "studies": ["STUDIES"],
        "study": ["Study", "run_all"],
    },
)
