"""The delta of a guarantee, where it promises something."""

from typing import Any

from fedlab.checks import check_count, check_number


def check_delta(delta: Any, population: int) -> float:
    """Returns a delta that promises something: above 0 and below 1 / population.

    Args:
        delta: Delta of the guarantee.
        population: Number of clients that may be drawn, at least 2.

    Raises:
        ValueError: Delta is out of range.
        TypeError: Delta is not a number.
    """
    bound = 1 / check_count("population", population, at_least=2)
    delta = check_number("delta", delta, above=0, below=1)
    if delta >= bound:
        raise ValueError(
            f"delta must be below 1 / population, {bound:.3g}: from there on, publishing a random "
            f"client's data would pass. Found {delta}; leave it out to get default_delta."
        )
    return delta
