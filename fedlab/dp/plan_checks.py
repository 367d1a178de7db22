"""Checks of the parameters of a private run, made before the accountant's work."""

from typing import Any

from fedlab.checks import check_count, check_number


def largest_delta(population: int) -> float:
    """Returns the largest delta with which this package states a guarantee: `1 / (10 * population)`.

    A mechanism that publishes all data of one random client, and of nobody else, has an epsilon of 0
    and delta = `1 / population`, so from there on a guarantee promises nothing. One that does so with
    probability 1/10, and otherwise publishes nothing, has delta = `1 / (10 * population)`: the rule
    bounds the chance of such a disaster by a tenth. Dwork and Roth 2014, section 2.3, call values
    of about `1 / population` very dangerous for this reason; the tenth is our choice.

    Args:
        population: Number of clients that may be drawn, at least 2.

    Raises:
        ValueError: The population is smaller than 2.
        TypeError: The population is not a whole number.
    """
    return 1 / (10 * check_count("population", population, at_least=2))


def check_delta(delta: Any, population: int) -> float:
    """Returns a delta that promises something: above 0 and at most `largest_delta(population)`.

    Args:
        delta: Delta of the guarantee.
        population: Number of clients that may be drawn, at least 2.

    Raises:
        ValueError: Delta is out of range.
        TypeError: Delta is not a number.
    """
    bound = largest_delta(population)
    delta = check_number("delta", delta, above=0, below=1)
    if delta > bound * (1 + 1e-9):  # 0.1 / population may be rounded upwards
        raise ValueError(
            f"delta must be at most 1 / (10 * population), {bound:.3g}: with a larger one, to publish "
            "all data of a random client with probability 1/10 would count as private. "
            f"Found {delta}; leave it out to get default_delta."
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
