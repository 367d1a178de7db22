"""The accelerator: what loads graphs faster by TensorFlow's private names.

It is on by default. `FEDLAB_ACCELERATOR=0` switches it off: the results are the same, bit for bit, and a
round takes longer (docs/runtime.md says by how much).
"""

import os

VARIABLE = "FEDLAB_ACCELERATOR"


def is_on() -> bool:
    """Returns whether graphs that are loaded from now on are loaded by the accelerator.

    Raises:
        ValueError: The variable is neither "0" nor "1".
    """
    value = os.environ.get(VARIABLE, "1")
    if value not in ("0", "1"):
        raise ValueError(f"{VARIABLE} must be 0 (off) or 1 (on, the default). Found {value!r}.")
    return value == "1"
