"""Which clients take part in a round: always a function of `(seed, round_num)`."""

from collections.abc import Callable, Sequence

import numpy as np

SampleFn = Callable[[int], list[str]]


def sample_cohort(
    client_ids: Sequence[str], num_clients: int, *, seed: int, round_num: int
) -> list[str]:
    """Draws a cohort uniformly without replacement.

    The same `(seed, round_num)` gives the same cohort, so a resumed run meets the clients that it
    would have met without the interruption.

    Args:
        client_ids: The population.
        num_clients: Size of the cohort, between 1 and the population.
        seed: Non-negative seed of the run.
        round_num: Number of the round, from 1.

    Returns:
        `num_clients` different client ids, in the order drawn.

    Raises:
        ValueError: The cohort is larger than the population, or smaller than one, or the seed is
            negative.
    """
    check_seed(seed)
    if not 1 <= num_clients <= len(client_ids):
        raise ValueError(
            f"num_clients must be between 1 and {len(client_ids)} (the population). "
            f"Found {num_clients}."
        )
    rng = np.random.default_rng([seed, round_num])
    chosen = rng.choice(len(client_ids), size=num_clients, replace=False)
    return [client_ids[index] for index in chosen]


def check_seed(seed: int) -> None:
    """Raises ValueError for a negative seed, which NumPy's generators do not take."""
    if seed < 0:
        raise ValueError(f"seed must be at least 0. Found {seed}.")


def uniform(client_ids: Sequence[str], num_clients: int, *, seed: int = 0) -> SampleFn:
    """Returns a function from round number to a fresh random cohort. See `sample_cohort`."""
    client_ids = list(client_ids)
    sample_cohort(client_ids, num_clients, seed=seed, round_num=0)  # fails here, not in round 1

    def sample_fn(round_num: int) -> list[str]:
        return sample_cohort(client_ids, num_clients, seed=seed, round_num=round_num)

    return sample_fn


def fixed(client_ids: Sequence[str]) -> SampleFn:
    """Returns a function that names the same clients in every round, as the article does.

    Raises:
        ValueError: `client_ids` is empty or names a client twice.
    """
    client_ids = list(client_ids)
    if not client_ids:
        raise ValueError("client_ids must name at least one client. Found none.")
    if len(set(client_ids)) < len(client_ids):
        raise ValueError(f"client_ids must be different. Found {client_ids}.")
    return lambda round_num: list(client_ids)
