"""Checks of the parameters of a private run, made before the accountant's work."""

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


def check_plan(
    population: int, expected_num_clients: float, clip: float, quantile: float | None
) -> None:
    """Raises TypeError or ValueError for parameters that no run can have.

    Args:
        population: Number of clients that may be drawn, at least 2.
        expected_num_clients: Expected size of the cohorts, above 0 and at most the population.
        clip: Largest L2 norm of a client's update, above 0.
        quantile: Share of updates that an adaptive clip leaves whole, in [0, 1]. None: no such clip.
    """
    population = check_count("population", population, at_least=2)
    check_number("expected_num_clients", expected_num_clients, above=0, at_most=population)
    check_number("clip", clip, above=0)
    if quantile is not None:
        check_number("quantile", quantile, at_least=0, at_most=1)
