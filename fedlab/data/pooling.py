"""The examples of many clients as two arrays, which hold nothing twice while they are filled."""

import sys

import numpy as np
import numpy.typing as npt

from fedlab.checks import check_count, check_instance, check_labels
from fedlab.data.client_data import Examples, MemoryClientData


def pool(client_data: MemoryClientData, max_examples: int | None = None) -> Examples:
    """Returns the examples of all clients, in the order of the client ids.

    Args:
        client_data: The clients' data.
        max_examples: Largest number of examples of each client; the first are taken. Default: all.

    Returns:
        Arrays with the examples of all clients.

    Raises:
        ValueError: A client's examples are not usable.
    """
    check_instance("client_data", client_data, MemoryClientData, "a MemoryClientData")
    limit = sys.maxsize if max_examples is None else check_count("max_examples", max_examples)
    client_ids = client_data.client_ids
    sizes = [min(client_data.num_examples(client_id), limit) for client_id in client_ids]
    pooled = _create_empty(client_data, sum(sizes))
    end = 0
    for client_id, size in zip(client_ids, sizes, strict=True):
        start, end = end, end + size
        for whole, part in zip(pooled, client_data.examples(client_id), strict=True):
            whole[start:end] = part[:size]
    return pooled


def take(client_data: MemoryClientData, rows: npt.ArrayLike) -> Examples:
    """Returns some of the examples that `pool` returns, without pooling all.

    Args:
        client_data: The clients' data.
        rows: The numbers of the examples in `pool(client_data)`, from 0, in any order.

    Returns:
        Arrays with these examples, in this order: `pixels[rows]` and `labels[rows]` of the pool.

    Raises:
        ValueError: There is no such row, or a client's examples are not usable.

    Example:
        >>> from fedlab.data import load_digits
        >>> train, _ = load_digits()
        >>> take(train, [5, 0]).pixels.shape
        (2, 28, 28)
    """
    check_instance("client_data", client_data, MemoryClientData, "a MemoryClientData")
    client_ids = client_data.client_ids
    ends = np.cumsum([client_data.num_examples(client_id) for client_id in client_ids])
    chosen = check_labels("rows", rows, num_classes=int(ends[-1]))
    owners = np.searchsorted(ends, chosen, side="right")
    taken = _create_empty(client_data, len(chosen))
    for number in np.unique(owners):
        examples = client_data.examples(client_ids[number])
        places = np.flatnonzero(owners == number)
        own_rows = chosen[places] - (ends[number] - len(examples[1]))
        for whole, part in zip(taken, examples, strict=True):
            whole[places] = part[own_rows]
    return taken


def _create_empty(client_data: MemoryClientData, num_examples: int) -> Examples:
    shape = (num_examples, *client_data.example_shape)
    labels = np.empty((num_examples, *client_data.label_shape), np.int32)
    return Examples(np.empty(shape, client_data.example_dtype), labels)
