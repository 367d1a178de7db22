"""What a run's cohorts depend on, told as JSON: a run that goes on is compared with the one that began."""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlab import _tensorflow as _tensorflow
from fedlab.caching import cache_while_alive
from fedlab.data.client_data import MemoryClientData
from fedlab.random_streams import random_stream

UNKNOWN = "unknown"
_MAX_BYTES = 1 << 25  # of examples in a digest: about 10,000 digits
_MAX_ELEMENTS = 10_000  # of one client that is not in memory
_Function = TypeVar("_Function", bound=Callable)


def describe(function: Callable) -> Any:
    """Returns the description that is attached to a function, or "unknown".

    Args:
        function: A function of a round's number, such as those of `fedlab.data.sampling`.
    """
    description_fn = getattr(function, "description_fn", None)
    return UNKNOWN if description_fn is None else description_fn()


def with_description(
    function: _Function, description_fn: Callable[[], Mapping[str, Any]]
) -> _Function:
    """Attaches a description to a function, and returns the function.

    Args:
        function: The function.
        description_fn: Returns all that the function's results depend on, as JSON has it; "unknown"
            where nobody can say.
    """
    vars(function)["description_fn"] = description_fn
    return function


def describe_cohorts(
    client_data: tff.simulation.datasets.ClientData,
    sample_fn: Callable,
    preprocessing: Mapping[str, Any],
) -> dict[str, Any]:
    """Returns the description of cohorts.

    Args:
        client_data: The clients' data, of which the description has a digest.
        sample_fn: The function from the round's number to client ids.
        preprocessing: The settings of the batches.
    """
    return {
        "data": digest_clients(client_data),
        "sampling": describe(sample_fn),
        "preprocessing": dict(preprocessing),
    }


def digest_ids(client_ids: Iterable[str]) -> str:
    """Returns 16 hexadecimal digits of client ids and their order.

    Args:
        client_ids: The ids.
    """
    return hashlib.sha256(json.dumps([str(each) for each in client_ids]).encode()).hexdigest()[:16]


@cache_while_alive
def digest_clients(client_data: tff.simulation.datasets.ClientData) -> str:
    """Returns 16 hexadecimal digits of all client ids, and of the clients' examples.

    At most 32 MB of examples are read, of clients drawn at random, always the same. So of larger
    data a change of a few clients may not be seen.

    Args:
        client_data: The data.
    """
    client_ids = client_data.client_ids
    hashed = hashlib.sha256(digest_ids(client_ids).encode())
    num_bytes = 0
    for number in random_stream("digest", 0).permutation(len(client_ids)):
        for content in _read_client(client_data, client_ids[number]):
            hashed.update(content)
            num_bytes += len(content)
        if num_bytes >= _MAX_BYTES:
            break
    return hashed.hexdigest()[:16]


def _read_client(
    client_data: tff.simulation.datasets.ClientData, client_id: str
) -> Iterator[bytes]:
    if not isinstance(client_data, MemoryClientData):
        elements = client_data.create_tf_dataset_for_client(client_id).as_numpy_iterator()
        for element in itertools.islice(elements, _MAX_ELEMENTS):
            for leaf in tf.nest.flatten(element):
                yield np.asarray(leaf).tobytes()
        return
    try:
        for array in client_data.examples(client_id):
            yield array.tobytes()
    except ValueError as error:  # the run may never use this client
        yield str(error).encode()
