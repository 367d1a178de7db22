"""Deals the examples of all clients anew, as a configuration says."""

import numpy as np

from fedlab.caching import cache_while_alive
from fedlab.data import from_arrays, partition
from fedlab.data.client_data import Examples, MemoryClientData
from fedlab.data.pooling import pool
from fedlab.experiments.config import RunConfig


def deal(config: RunConfig, client_data: MemoryClientData, seed: int) -> MemoryClientData:
    """Deals the digits of all clients anew, as `config.partition` says.

    Args:
        config: Whose `partition` and `alpha` hold.
        client_data: The examples of the writers.
        seed: Of the deal.

    Returns:
        As many clients of even sizes, `client_000`, …; for "natural" the writers themselves.
    """
    if config.partition == "natural":
        return client_data
    pooled = _pool_once(client_data)
    rows = dict(enumerate(_deal(client_data, config.partition, config.alpha, seed)))
    numbers = {f"client_{number:03d}": number for number in rows}

    def read(client_id: str) -> Examples:
        chosen = rows[numbers[client_id]]
        return Examples(pooled.pixels[chosen], pooled.labels[chosen])

    return MemoryClientData(numbers, read, client_data.num_classes)


def set_tests_aside(
    client_data: MemoryClientData, seed: int
) -> tuple[MemoryClientData, MemoryClientData]:
    """Sets a fifth of every client's examples aside, to test on what the client itself meets.

    Args:
        client_data: The clients, each with at least two examples.
        seed: Of the draw.

    Returns:
        `(train, test)`, with every client in both.

    Raises:
        ValueError: A client has one example only.
    """
    pooled = pool(client_data)
    sizes = [client_data.num_examples(client_id) for client_id in client_data.client_ids]
    owners = np.repeat(client_data.client_ids, sizes).tolist()
    num_classes = client_data.num_classes
    return from_arrays(*pooled, owners, num_classes=num_classes, seed=seed)


@cache_while_alive
def _pool_once(client_data: MemoryClientData) -> Examples:
    return pool(client_data)


@cache_while_alive
def _deal(
    client_data: MemoryClientData, kind: str, alpha: float | None, seed: int
) -> partition.Partition:
    labels, num_clients = _pool_once(client_data).labels.tolist(), len(client_data.client_ids)
    if kind == "iid":
        return partition.iid(len(labels), num_clients, seed=seed)
    if kind == "shards":
        return partition.shards(labels, num_clients, seed=seed)
    assert alpha is not None  # `RunConfig` has checked it
    return partition.dirichlet(labels, num_clients, alpha=alpha, seed=seed)
