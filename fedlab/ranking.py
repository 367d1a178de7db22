"""Which clients are the worst."""

import math


def count_worst(num_clients: int, worst_fraction: float = 0.1) -> int:
    """Returns how many clients make "the worst".

    Args:
        num_clients: How many there are, at least 1.
        worst_fraction: Their share, in (0, 1]: 0.1 is the worst decile.

    Returns:
        That share, rounded up to whole clients, so at least 1.

    Raises:
        ValueError: `worst_fraction` is out of range.
    """
    if not 0 < worst_fraction <= 1:
        raise ValueError(f"worst_fraction must be in (0, 1], 0.1 a decile. Found {worst_fraction}.")
    return math.ceil(round(worst_fraction * num_clients, 9))  # 0.1 * 30 is a little above 3
