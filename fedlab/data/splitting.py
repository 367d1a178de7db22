"""Which clients never train, so that a model can be tested on new ones."""

from fedlab.checks import check_count, check_instance, check_seed
from fedlab.data.client_data import MemoryClientData
from fedlab.random_streams import random_stream


def split_clients(
    client_data: MemoryClientData, num_unseen: int, *, seed: int = 0
) -> tuple[MemoryClientData, MemoryClientData]:
    """Splits the clients at random, to test on clients that never took part in the training.

    Args:
        client_data: The data of all clients.
        num_unseen: Number of clients for the test, at least 1 and less than the number of all.
        seed: Seed of the split, at least 0.

    Returns:
        `(seen, unseen)`: the data of disjoint clients, `num_unseen` of them in the second.

    Raises:
        TypeError: `num_unseen` is not a whole number.
        ValueError: `num_unseen` is out of range.
    """
    check_instance("client_data", client_data, MemoryClientData, "a MemoryClientData")
    client_ids = client_data.client_ids
    num_unseen = check_count("num_unseen", num_unseen, at_most=len(client_ids) - 1)
    shuffled = random_stream("unseen clients", check_seed(seed)).permutation(client_ids).tolist()
    return client_data.select(shuffled[num_unseen:]), client_data.select(shuffled[:num_unseen])
