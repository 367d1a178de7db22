"""Which clients take part in a round: always a function of `(seed, round_num)`."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from fedlab.checks import check_callable, check_count, check_ids, check_number, check_seed
from fedlab.data.description import describe, digest_ids, with_description
from fedlab.random_streams import random_stream

SampleFn: TypeAlias = Callable[[int], list[str]]


def sample_cohort(
    client_ids: Sequence[str], num_clients: int, *, seed: int, round_num: int
) -> list[str]:
    """Draws a cohort uniformly without replacement.

    The same `(seed, round_num)` gives the same cohort, so a resumed run has the same cohorts as a
    run without the interruption.

    Args:
        client_ids: The ids of the population's clients, all different.
        num_clients: Number of clients in the cohort, between 1 and the size of the population.
        seed: Seed of the run, at least 0.
        round_num: Number of the round, at least 0; the rounds of a run begin with 1.

    Returns:
        `num_clients` different client ids, in the order drawn.

    Raises:
        TypeError: `client_ids` is a set or no list of text, or a number is not a whole number.
        ValueError: An id is empty or appears twice, or a number is out of range.

    Example:
        >>> sample_cohort(["ann", "bob", "eve"], 2, seed=0, round_num=1)
        ['bob', 'eve']
    """
    client_ids = check_ids("client_ids", client_ids)
    num_clients = check_count("num_clients", num_clients, at_most=len(client_ids))
    return _draw(client_ids, num_clients, check_seed(seed), _check_round(round_num))


def uniform(client_ids: Sequence[str], num_clients: int, *, seed: int = 0) -> SampleFn:
    """Returns a function that draws each round's cohort uniformly without replacement.

    Args:
        client_ids: The ids of the population's clients, all different.
        num_clients: Number of clients in each cohort, between 1 and the size of the population.
        seed: Seed of the run, at least 0.

    Returns:
        A function from the round's number to the cohort that `sample_cohort` draws.

    Raises:
        TypeError: `client_ids` is a set or no list of text, or a number is not a whole number.
        ValueError: An id is empty or appears twice, or a number is out of range.
    """
    client_ids = check_ids("client_ids", client_ids)
    num_clients = check_count("num_clients", num_clients, at_most=len(client_ids))
    seed = check_seed(seed)

    def sample_fn(round_num: int) -> list[str]:
        return _draw(client_ids, num_clients, seed, _check_round(round_num))

    return _describe(sample_fn, "uniform", client_ids, num_clients=num_clients, seed=seed)


def fixed(client_ids: Sequence[str]) -> SampleFn:
    """Returns a function that names the same clients in every round, as the article does.

    Args:
        client_ids: The ids of the cohort's clients, at least one, all different.

    Returns:
        A function from the round's number, which has no effect, to the cohort.

    Raises:
        TypeError: `client_ids` is a set or no list of text.
        ValueError: There is no id, or an id is empty or appears twice.
    """
    client_ids = check_ids("client_ids", client_ids)

    def sample_fn(round_num: int) -> list[str]:
        _check_round(round_num)
        return list(client_ids)

    return _describe(sample_fn, "fixed", client_ids)


def poisson(client_ids: Sequence[str], expected_num_clients: float, *, seed: int = 0) -> SampleFn:
    """Returns a function that draws each client into the cohort independently (Poisson sampling).

    The cohort's size varies, and it may be 0. The accounting of differential privacy with
    sampling="poisson" (`fedlab.dp.accounting`) assumes this, and also that nobody knows who took
    part. Whoever knows the seed knows who took part.

    Args:
        client_ids: The ids of the population's clients, all different.
        expected_num_clients: The mean size of a cohort, above 0 and at most the size of the
            population; each client takes part with the probability
            `expected_num_clients / len(client_ids)`.
        seed: Seed of the run, at least 0.

    Returns:
        A function from the round's number to the cohort, in the population's order.

    Raises:
        TypeError: `client_ids` is a set or no list of text, or a number has the wrong type.
        ValueError: An id is empty or appears twice, or a number is out of range.
    """
    seed = check_seed(seed)
    client_ids = check_ids("client_ids", client_ids)
    expected_num_clients = check_number(
        "expected_num_clients", expected_num_clients, above=0, at_most=len(client_ids)
    )
    probability = expected_num_clients / len(client_ids)

    def sample_fn(round_num: int) -> list[str]:
        rng = random_stream("poisson cohort", seed, _check_round(round_num))
        draws = rng.random(len(client_ids))
        return [name for name, draw in zip(client_ids, draws, strict=True) if draw < probability]

    return _describe(
        sample_fn, "poisson", client_ids, expected_num_clients=expected_num_clients, seed=seed
    )


def once_per_epoch(client_ids: Sequence[str], num_clients: int, *, seed: int = 0) -> SampleFn:
    """Returns a function that draws each client at most once in an epoch.

    An epoch has `len(client_ids) // num_clients` rounds. Each epoch goes through the population in a
    new random order; the clients that do not fill a whole cohort do not take part in this epoch.
    The accounting of DP-FTRL (`fedlab.dp.accounting.tree_epsilon`) assumes this.

    Args:
        client_ids: The ids of the population's clients, all different.
        num_clients: Number of clients in each cohort, between 1 and the size of the population.
        seed: Seed of the run, at least 0.

    Returns:
        A function from the round's number, at least 1, to the cohort.

    Raises:
        TypeError: `client_ids` is a set or no list of text, or a number is not a whole number.
        ValueError: An id is empty or appears twice, or a number is out of range.
    """
    client_ids = check_ids("client_ids", client_ids)
    num_clients = check_count("num_clients", num_clients, at_most=len(client_ids))
    seed = check_seed(seed)
    num_rounds = len(client_ids) // num_clients

    def sample_fn(round_num: int) -> list[str]:
        epoch, position = divmod(check_count("round_num", round_num) - 1, num_rounds)
        order = random_stream("epoch order", seed, epoch).permutation(len(client_ids))
        chosen = order[position * num_clients : (position + 1) * num_clients]
        return [client_ids[index] for index in chosen]

    return _describe(sample_fn, "once_per_epoch", client_ids, num_clients=num_clients, seed=seed)


def _describe(
    sample_fn: SampleFn, sampler: str, client_ids: Sequence[str], **values: float
) -> SampleFn:
    described = {"sampler": sampler, "client_ids": digest_ids(client_ids), **values}
    return with_description(sample_fn, lambda: described)


def drop_out(sample_fn: SampleFn, rate: float, *, seed: int = 0) -> SampleFn:
    """Returns a function that leaves clients out of each cohort at random: stragglers.

    A client that is too slow, or loses the connection, does not count in the round (Bonawitz et al.
    2019). Each client draws a number in [0, 1) and drops out if it is below `rate`. If all numbers
    are, the client with the largest stays; an empty cohort stays empty. A client's number is a
    function of the seed, the number of the round and the client's id.

    Args:
        sample_fn: A function from the round's number to client ids, such as `uniform(…)`.
        rate: Probability that a client drops out, in [0, 1).
        seed: Seed of the draws, at least 0; it may be that of `sample_fn`.

    Returns:
        A function from the round's number to the clients that stay, in the cohort's order.

    Raises:
        TypeError: An argument is not a number where a number is meant.
        ValueError: A number is out of range.
    """
    check_callable("sample_fn", sample_fn)
    seed = check_seed(seed)
    rate = check_number("rate", rate, at_least=0, below=1)

    def staying_fn(round_num: int) -> list[str]:
        round_num = _check_round(round_num)
        cohort = sample_fn(round_num)
        draws = [random_stream("drop out", seed, round_num, name).random() for name in cohort]
        bound = min(rate, max(draws, default=0.0))
        return [client_id for client_id, draw in zip(cohort, draws, strict=True) if draw >= bound]

    return with_description(
        staying_fn,
        lambda: {"sampler": "drop_out", "rate": rate, "seed": seed, "of": describe(sample_fn)},
    )


def _draw(client_ids: list[str], num_clients: int, seed: int, round_num: int) -> list[str]:
    rng = random_stream("uniform cohort", seed, round_num)
    chosen = rng.choice(len(client_ids), size=num_clients, replace=False)
    return [client_ids[index] for index in chosen]


def _check_round(round_num: int) -> int:
    return check_count("round_num", round_num, at_least=0)
