"""What a smaller delta costs: the same run's epsilon at two deltas."""

from collections.abc import Sequence

import pandas as pd

from fedlab.checks import check_count, check_list, check_not_empty
from fedlab.dp import accounting


def compare_deltas(
    noise_multiplier: float,
    populations: Sequence[int],
    *,
    num_rounds: int,
) -> pd.DataFrame:
    """Compares delta `1 / (10 N)`, the default, with `N ** -1.1` for several populations N.

    The second is about half of `1 / N` if N is a few hundred. The noise, and so the model, is the
    same; what differs is how much a guarantee may leave out. All clients take part in every round.

    Args:
        noise_multiplier: Noise of a round, as in `accounting.epsilon`.
        populations: Numbers N of clients that may be drawn, each at least 2.
        num_rounds: Number of rounds, at least 1.

    Returns:
        A table with the index `population` and the columns `delta`, `epsilon`, `other_delta` and
        `other_epsilon`. The smaller delta costs the difference of the two epsilons.

    Raises:
        TypeError: An argument is not a number.
        ValueError: A number is out of range, or there are no populations.
    """
    populations = [
        check_count("populations", each, at_least=2)
        for each in check_list("populations", populations)
    ]
    check_not_empty("populations", populations)

    def epsilon(population: int, delta: float) -> float:
        return accounting.epsilon(
            noise_multiplier,
            num_clients=population,
            population=population,
            num_rounds=num_rounds,
            delta=delta,
        )

    rows = []
    for population in populations:
        delta, other_delta = accounting.default_delta(population), float(population) ** -1.1
        rows.append(
            {
                "population": population,
                "delta": delta,
                "epsilon": epsilon(population, delta),
                "other_delta": other_delta,
                "other_epsilon": epsilon(population, other_delta),
            }
        )
    return pd.DataFrame(rows).set_index("population")
