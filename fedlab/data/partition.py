"""Ways to split a pool of examples among clients, from IID to strongly non-IID.

Every function returns one int64 index array per client. Together the arrays hold each index of the
pool exactly once, and no client is left empty.
"""

from collections.abc import Sequence

import numpy as np

Partition = list[np.ndarray]


def iid(num_examples: int, num_clients: int, *, seed: int = 0) -> Partition:
    """Deals shuffled examples out evenly: every client sees the same label mix, up to chance.

    Args:
        num_examples: Size of the pool.
        num_clients: Number of clients, between 1 and `num_examples`.
        seed: Seed of the shuffle.

    Returns:
        `num_clients` index arrays whose sizes differ by at most one.

    Raises:
        ValueError: `num_clients` is out of range.
    """
    _check_num_clients(num_clients, num_examples)
    shuffled = np.random.default_rng(seed).permutation(num_examples)
    return np.array_split(shuffled, num_clients)


def shards(
    labels: Sequence[int], num_clients: int, *, shards_per_client: int = 2, seed: int = 0
) -> Partition:
    """Sorts by label, cuts into shards and deals them out (McMahan et al. 2017, section 3).

    Args:
        labels: int (num_examples,).
        num_clients: Number of clients.
        shards_per_client: A client sees about this many different labels.
        seed: Seed of the deal.

    Returns:
        `num_clients` index arrays.

    Raises:
        ValueError: There are not enough examples to fill every shard.
    """
    labels = _as_labels(labels)
    if shards_per_client < 1:
        raise ValueError(f"shards_per_client must be at least 1. Found {shards_per_client}.")
    num_shards = num_clients * shards_per_client
    _check_num_clients(num_clients, len(labels) // shards_per_client)
    pieces = np.array_split(np.argsort(labels, kind="stable"), num_shards)
    order = np.random.default_rng(seed).permutation(num_shards).reshape(num_clients, -1)
    return [np.concatenate([pieces[shard] for shard in mine]) for mine in order]


def dirichlet(
    labels: Sequence[int],
    num_clients: int,
    *,
    alpha: float,
    sizes: Sequence[int] | None = None,
    seed: int = 0,
) -> Partition:
    """Gives each client a label mix of its own, drawn from a Dirichlet (Hsu et al. 2019, section 3).

    Client k draws q_k ~ Dir(alpha * p), with p the label mix of the pool, and then its examples
    from the labels still in the pool in proportion to q_k.

    Args:
        labels: int (num_examples,).
        num_clients: Number of clients.
        alpha: Concentration, above 0. Large: every client looks like the pool. Small: a client
            holds few labels.
        sizes: Examples per client, each at least 1, summing to `num_examples`. Even if `None`.
        seed: Seed of all draws.

    Returns:
        `num_clients` index arrays.

    Raises:
        ValueError: `alpha` is not positive, or the sizes do not fit the pool.
    """
    labels = _as_labels(labels)
    _check_num_clients(num_clients, len(labels))
    if not alpha > 0:
        raise ValueError(f"alpha must be above 0 (0.1 is very skewed, 100 is IID). Found {alpha}.")
    sizes = _check_sizes(sizes, num_clients, len(labels))
    rng = np.random.default_rng(seed)
    pools = [list(rng.permutation(np.flatnonzero(labels == label))) for label in np.unique(labels)]
    share = np.array([len(pool) for pool in pools]) / len(labels)
    parts: Partition = [np.empty(0, np.int64)] * num_clients
    # The last clients get what is left over, so who they are is drawn too.
    for client in rng.permutation(num_clients):
        label_mix = rng.dirichlet(alpha * share)
        parts[client] = _draw(pools, label_mix, sizes[client], rng)
    return parts


def _draw(pools: list[list], label_mix: np.ndarray, size: int, rng: np.random.Generator):
    """Takes `size` indices out of `pools` in proportion to `label_mix`, while they last."""
    taken: list[int] = []
    while len(taken) < size:
        left = np.array([len(pool) for pool in pools])
        # A tiny floor: a mix may put all its weight on labels that have run out.
        weights = np.where(left > 0, label_mix + 1e-12, 0.0)
        wanted = rng.multinomial(size - len(taken), weights / weights.sum())
        for pool, count in zip(pools, np.minimum(wanted, left), strict=True):
            taken.extend(pool.pop() for _ in range(count))
    return np.array(taken, np.int64)


def _as_labels(labels: Sequence[int]) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.ndim != 1 or len(labels) == 0 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            "labels must be a non-empty one-dimensional array of integers. "
            f"Found shape {labels.shape}, dtype {labels.dtype}."
        )
    return labels


def _check_num_clients(num_clients: int, most: int) -> None:
    if not 1 <= num_clients <= most:
        raise ValueError(
            f"num_clients must be between 1 and {most} (so that each has an example). "
            f"Found {num_clients}."
        )


def _check_sizes(sizes: Sequence[int] | None, num_clients: int, num_examples: int) -> np.ndarray:
    if sizes is None:
        return np.array(
            [len(part) for part in np.array_split(np.arange(num_examples), num_clients)]
        )
    sizes = np.asarray(sizes)
    if len(sizes) != num_clients or sizes.min() < 1 or sizes.sum() != num_examples:
        raise ValueError(
            f"sizes must be {num_clients} numbers of at least 1 that sum to {num_examples}. "
            f"Found {len(sizes)} that sum to {sizes.sum()}, the smallest {sizes.min()}."
        )
    return sizes
