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
    _check_different(client_ids)
    return lambda round_num: list(client_ids)


def poisson(client_ids: Sequence[str], expected_num_clients: float, *, seed: int = 0) -> SampleFn:
    """Returns a function from round number to a cohort in which each client is by its own coin.

    The cohort's size varies, and it may be empty: that is what the accounting of differential
    privacy counts on (`fedlab.dp.accounting`, sampling="poisson"), together with nobody
    knowing who took part. Whoever knows the seed does.

    Args:
        client_ids: The population.
        expected_num_clients: The mean size, above 0 and at most the population; each client takes
            part with the probability `expected_num_clients / len(client_ids)`.
        seed: Non-negative seed of the run.

    Returns:
        The `SampleFn`; the cohorts are in the population's order.

    Raises:
        ValueError: The mean is out of range, the seed is negative, or a client is named twice.
    """
    check_seed(seed)
    client_ids = list(client_ids)
    _check_different(client_ids)
    if not 0 < expected_num_clients <= len(client_ids):
        raise ValueError(
            f"expected_num_clients must be above 0 and at most {len(client_ids)} (the population). "
            f"Found {expected_num_clients}."
        )
    probability = expected_num_clients / len(client_ids)

    def sample_fn(round_num: int) -> list[str]:
        draws = np.random.default_rng([seed, round_num]).random(len(client_ids))
        return [name for name, draw in zip(client_ids, draws, strict=True) if draw < probability]

    return sample_fn


def once_per_epoch(client_ids: Sequence[str], num_clients: int, *, seed: int = 0) -> SampleFn:
    """Returns a function that goes through the population: nobody twice in an epoch.

    An epoch is `len(client_ids) // num_clients` rounds, in an order drawn anew for each; whoever is
    left over sits it out. It is what DP-FTRL counts on (`accounting.tree_epsilon`).

    Args:
        client_ids: The population.
        num_clients: Size of the cohorts, between 1 and the population.
        seed: Non-negative seed of the run.

    Raises:
        ValueError: As `sample_cohort`, or a client is named twice.
    """
    client_ids = list(client_ids)
    _check_different(client_ids)
    sample_cohort(client_ids, num_clients, seed=seed, round_num=0)  # fails here, not in round 1
    num_rounds = len(client_ids) // num_clients

    def sample_fn(round_num: int) -> list[str]:
        epoch, place = divmod(round_num - 1, num_rounds)
        order = sample_cohort(client_ids, len(client_ids), seed=seed, round_num=epoch)
        return order[place * num_clients : (place + 1) * num_clients]

    return sample_fn


def _check_different(client_ids: Sequence[str]) -> None:
    if len(set(client_ids)) < len(client_ids):
        raise ValueError(f"client_ids must be different. Found {client_ids}.")


def drop_out(sample_fn: SampleFn, rate: float, *, seed: int = 0) -> SampleFn:
    """Returns a function that leaves clients out of each cohort at random: stragglers.

    Who is too slow, or loses the connection, does not count in the round (Bonawitz et al. 2019).
    Each client drops out with probability `rate`, whoever the others are; if all do, the one that
    was nearest to staying stays (an empty cohort stays empty). Who drops out is a function of `(seed, round_num)`.

    Args:
        sample_fn: Round number to client ids, such as `uniform(…)`.
        rate: In [0, 1); 0 leaves nobody out.
        seed: At least 0; it may be that of `sample_fn`.

    Returns:
        A function from round number to those that stay, in their order.

    Raises:
        ValueError: A number is out of range.
    """
    check_seed(seed)
    if not 0 <= rate < 1:
        raise ValueError(f"rate must lie in [0, 1). Found {rate}.")

    def staying_fn(round_num: int) -> list[str]:
        cohort = sample_fn(round_num)
        # One number more than the cohort is drawn from: else who stays would follow from who came.
        draws = np.random.default_rng([seed, round_num, 2**32 - 1]).random(len(cohort))
        bound = min(rate, draws.max(initial=0.0))
        return [client_id for client_id, draw in zip(cohort, draws, strict=True) if draw >= bound]

    return staying_fn
