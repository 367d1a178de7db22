"""Ways to split a pool of examples among clients, from IID to strongly non-IID.

Every function returns one int64 index array per client. Together the arrays contain each index of
the pool exactly once, and no client is left empty.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedlab.checks import check_count, check_labels, check_number, check_seed
from fedlab.random_streams import random_stream

Partition: TypeAlias = list[np.ndarray]


def iid(num_examples: int, num_clients: int, *, seed: int = 0) -> Partition:
    """Deals shuffled examples out evenly: every client sees the same label mix, up to chance.

    Args:
        num_examples: Number of examples in the pool.
        num_clients: Number of clients, between 1 and `num_examples`.
        seed: Seed of the shuffle, at least 0.

    Returns:
        `num_clients` index arrays, int64 (num_client_examples,), whose sizes differ by at most one.

    Raises:
        TypeError: An argument is not a whole number.
        ValueError: A number is out of range.
    """
    num_examples = check_count("num_examples", num_examples)
    num_clients = check_count("num_clients", num_clients, at_most=num_examples)
    shuffled = random_stream("iid partition", check_seed(seed)).permutation(num_examples)
    return np.array_split(shuffled, num_clients)


def shards(
    labels: npt.ArrayLike, num_clients: int, *, shards_per_client: int = 2, seed: int = 0
) -> Partition:
    """Sorts by label, cuts into shards and deals them out (McMahan et al. 2017, section 3).

    Args:
        labels: The labels of the pool, int (num_examples,).
        num_clients: Number of clients, between 1 and `num_examples // shards_per_client`.
        shards_per_client: Number of shards of a client, at least 1. If shards are smaller than the
            groups of equal labels, most clients have examples of about this many labels.
        seed: Seed of the deal, at least 0.

    Returns:
        `num_clients` index arrays, int64 (num_client_examples,).

    Raises:
        TypeError: The labels are no integers, or a number is not a whole number.
        ValueError: There are too few examples to fill every shard, or a number is out of range.
    """
    label_array = check_labels("labels", labels)
    shards_per_client = check_count(
        "shards_per_client", shards_per_client, at_most=len(label_array)
    )
    num_clients = check_count(
        "num_clients", num_clients, at_most=len(label_array) // shards_per_client
    )
    num_shards = num_clients * shards_per_client
    pieces = np.array_split(np.argsort(label_array, kind="stable"), num_shards)
    rng = random_stream("shards partition", check_seed(seed))
    dealt = rng.permutation(num_shards).reshape(num_clients, -1)
    return [np.concatenate([pieces[shard] for shard in client_shards]) for client_shards in dealt]


def dirichlet(
    labels: npt.ArrayLike,
    num_clients: int,
    *,
    alpha: float,
    seed: int = 0,
) -> Partition:
    """Gives each client a label mix of its own, drawn from a Dirichlet (Hsu et al. 2019, section 3).

    Client k draws q_k ~ Dir(alpha * p), with p the label mix of the pool, and then its examples
    from the labels still in the pool in proportion to q_k.

    Args:
        labels: The labels of the pool, int (num_examples,).
        num_clients: Number of clients, between 1 and `num_examples`.
        alpha: Concentration, finite and above 0. With 100 every client's label mix is close to that
            of the pool; with 0.1 most clients have few labels.
        seed: Seed of all draws, at least 0.

    Returns:
        `num_clients` index arrays, int64 (num_client_examples,), whose sizes differ by at most one.

    Raises:
        TypeError: The labels are no integers, or a number has the wrong type.
        ValueError: A number is out of range.
    """
    label_array = check_labels("labels", labels)
    num_clients = check_count("num_clients", num_clients, at_most=len(label_array))
    alpha = check_number("alpha", alpha, above=0)
    smallest, num_larger = divmod(len(label_array), num_clients)
    client_sizes = smallest + (np.arange(num_clients) < num_larger)
    rng = random_stream("dirichlet partition", check_seed(seed))
    return deal_by_mix(label_array, client_sizes, alpha, rng)


def deal_by_mix(
    label_array: np.ndarray, client_sizes: np.ndarray, alpha: float, rng: np.random.Generator
) -> Partition:
    """Deals like `dirichlet`, with draws from a given stream.

    Args:
        label_array: The labels of the pool, int (num_examples,).
        client_sizes: Number of examples of each client, int (num_clients,), of sum num_examples.
        alpha: Concentration, finite and above 0.
        rng: Where all draws come from.

    Returns:
        `num_clients` index arrays, int64 (num_client_examples,).
    """
    num_examples, num_clients = len(label_array), len(client_sizes)
    rows_by_label = [np.flatnonzero(label_array == label) for label in np.unique(label_array)]
    pools = [list(rng.permutation(rows)) for rows in rows_by_label]
    share = np.array([len(pool) for pool in pools]) / num_examples
    parts: Partition = [np.empty(0, np.int64)] * num_clients
    # The last clients get the examples that remain, so which clients are last is drawn too.
    for client in rng.permutation(num_clients):
        label_mix = rng.dirichlet(alpha * share)
        parts[client] = _draw(pools, label_mix, client_sizes[client], rng)
    return parts


def _draw(
    pools: list[list], label_mix: np.ndarray, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Takes `size` indices out of `pools` in proportion to `label_mix`, while they last."""
    taken: list[int] = []
    while len(taken) < size:
        left = np.array([len(pool) for pool in pools])
        # The constant is for a mix that puts all its weight on labels that have run out.
        weights = np.where(left > 0, label_mix + 1e-12, 0.0)
        wanted = rng.multinomial(size - len(taken), weights / weights.sum())
        for pool, count in zip(pools, np.minimum(wanted, left), strict=True):
            taken.extend(pool.pop() for _ in range(count))
    return np.array(taken, np.int64)
