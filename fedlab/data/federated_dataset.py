"""A federated data set: training and test data by client, with its name, licence and source."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from fedlab.checks import check_callable, check_flag, check_instance, check_text
from fedlab.data.client_data import Examples, MemoryClientData
from fedlab.data.pooling import pool

PUBLIC_FRACTION = 0.2  # of the clients, if the data set has no public examples of its own


@dataclasses.dataclass(eq=False)
class FederatedDataset:
    """A federated data set, from `fedlab.data.load`.

    It unpacks into training and test data: `train, test = data.load()`.

    Attributes:
        name: The name of the data set in results.
        train: The clients' training examples.
        test: The test examples of the same clients.
        public_fn: A function that returns examples of no client, to pre-train on; called when they
            are first used. Default: the training examples of the last fifth of the clients are
            public, and these clients do not take part in a federation that uses them.
        argument: The argument with which `load` loads it. Default: the name.
        description: A description for captions. Default: the name.
        licence: The licence of the examples.
        source: Who collected the examples, and where they were published.
    """

    name: str
    train: MemoryClientData
    test: MemoryClientData
    _: dataclasses.KW_ONLY
    public_fn: Callable[[], Examples] | None = None
    argument: str = ""
    description: str = ""
    licence: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        for name in ("name", "argument", "description", "licence", "source"):
            check_text(name, getattr(self, name))
        for name in ("train", "test"):
            check_instance(name, getattr(self, name), MemoryClientData, "a MemoryClientData")
        if self.public_fn is not None:
            check_callable("public_fn", self.public_fn)
        self.argument = self.argument or self.name
        self.description = self.description or self.name

    def __iter__(self) -> Iterator[MemoryClientData]:
        """Yields the training data, then the test data."""
        yield self.train
        yield self.test

    @property
    def element_spec(self) -> Any:
        """The structure, shapes and dtypes of one example, as `tf.TensorSpec`s."""
        return self.train.element_type_structure

    @property
    def num_classes(self) -> int:
        """Number of labels; labels lie in [0, num_classes)."""
        return self.train.num_classes

    @functools.cached_property
    def pooled_test(self) -> Examples:
        """All test examples, in the order of `test.client_ids`."""
        return pool(self.test)

    @functools.cached_property
    def test_owners(self) -> np.ndarray:
        """The id of the client of each example in `pooled_test`: str (num_test,)."""
        sizes = [self.test.num_examples(client_id) for client_id in self.test.client_ids]
        return np.repeat(self.test.client_ids, sizes)

    @functools.cached_property
    def public_examples(self) -> Examples:
        """The examples to pre-train on, which belong to no client that then takes part."""
        if self.public_fn is not None:
            return self.public_fn()
        return pool(self.train.select(self.train.client_ids[self._num_private() :]))

    @functools.cached_property
    def sha256(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of all clients' ids and examples."""
        return digest_splits(self)[:16]

    def participants(self, *, pretrained: bool) -> MemoryClientData:
        """Returns the training data of the clients that take part in a federation.

        These are all clients, unless the model was pre-trained on the examples of some. Those do not
        take part; their test examples remain in the test data, so that all runs are measured on the
        same examples.

        Args:
            pretrained: Whether the federation starts from a model that was pre-trained on
                `public_examples`.

        Raises:
            ValueError: There are too few clients to make some of them public.
        """
        if not check_flag("pretrained", pretrained) or self.public_fn is not None:
            return self.train
        return self.train.select(self.train.client_ids[: self._num_private()])

    def _num_private(self) -> int:
        num_clients = len(self.train.client_ids)
        num_private = num_clients - round(PUBLIC_FRACTION * num_clients)
        if not 1 <= num_private < num_clients:
            raise ValueError(
                f"To pre-train, some clients must become public. Found {num_clients} in all."
            )
        return num_private


def digest_splits(splits: Iterable[MemoryClientData]) -> str:
    """Returns the SHA-256 of all clients' ids, labels and pixels in order, in hexadecimal digits.

    Args:
        splits: The data of the clients, split by split.

    Raises:
        ValueError: A client's examples are not usable.
    """
    digest = hashlib.sha256()
    for client_data in splits:
        for client_id in client_data.client_ids:
            pixels, labels = client_data.examples(client_id)
            digest.update(f"{client_id} {len(labels)} ".encode())
            digest.update(np.ascontiguousarray(pixels).data)
            digest.update(np.ascontiguousarray(labels).data)
    return digest.hexdigest()
