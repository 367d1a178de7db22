"""Deals the examples of all clients anew, as a configuration says."""

from fedlab.caching import cache_while_alive
from fedlab.data import partition
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
