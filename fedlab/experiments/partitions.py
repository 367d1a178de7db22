"""Deals the examples of all clients anew, as a configuration says, and holds some clients out."""

import numpy as np

from fedlab.caching import cache_while_alive
from fedlab.data import from_arrays, partition
from fedlab.data.client_data import Examples, MemoryClientData
from fedlab.data.pooling import pool
from fedlab.experiments.config import RunConfig

_HELD_OUT_SHARE = 0.1  # of the clients


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


def hold_out(client_data: MemoryClientData) -> tuple[MemoryClientData, MemoryClientData]:
    """Returns the clients who train, and the last tenth, who do not: a rule looks at these.

    Args:
        client_data: At least two clients.

    Raises:
        ValueError: There is a single client.
    """
    ids = client_data.client_ids
    if len(ids) < 2:
        raise ValueError(
            f"patience must hold out clients, and leave some. Found {len(ids)} client."
        )
    num_held_out = max(1, round(_HELD_OUT_SHARE * len(ids)))
    return client_data.select(ids[:-num_held_out]), client_data.select(ids[-num_held_out:])


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
