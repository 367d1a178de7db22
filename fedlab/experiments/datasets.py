"""Who holds what in a run: the data sets by name, re-dealt partitions, and the public digits."""

import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fedlab import data
from fedlab.caching import cache_while_alive
from fedlab.data import partition
from fedlab.data.client_data import Examples, MemoryClientData
from fedlab.experiments.config import RunConfig

PUBLIC_FRACTION = 0.2  # of the clients, where no public digits come from elsewhere


class Dataset:
    """A federated data set of a study, pooled where a study needs it.

    Args:
        name: What results call it.
        train: A client's training digits.
        test: A client's test digits, for the same clients; never re-dealt.
        public: Digits that none of them holds, to pre-train on; called when they are needed.
            Default: the training digits of the last fifth of the clients, who then do not take
            part in a federation that starts from the pre-trained model. Their test digits stay in
            the test, so that all runs are measured on the same.
        argument: What the option `--dataset` calls it. Default: the name.
    """

    def __init__(
        self,
        name: str,
        train: MemoryClientData,
        test: MemoryClientData,
        *,
        public: Callable[[], Examples] | None = None,
        argument: str | None = None,
    ):
        self.name = name
        self.train = train
        self.test = test
        self.argument = argument or name
        self._public = public

    @functools.cached_property
    def pooled_test(self) -> Examples:
        """All test digits, client after client in the order of `test.client_ids`."""
        return pool(self.test)

    @functools.cached_property
    def test_owners(self) -> np.ndarray:
        """The client that holds each of `pooled_test`: str (num_test,)."""
        sizes = [len(self.test.examples(client_id).labels) for client_id in self.test.client_ids]
        return np.repeat(self.test.client_ids, sizes)

    @functools.cached_property
    def public_examples(self) -> Examples:
        """The digits to pre-train on."""
        if self._public is not None:
            return self._public()
        return pool(self.train.select(self.train.client_ids[self._num_private() :]))

    @functools.cached_property
    def sha256(self) -> str:
        """16 hexadecimal digits of who holds which digits, in training and in test."""
        digest = hashlib.sha256()
        for splits in (self.train, self.test):
            for client_id in splits.client_ids:
                pixels, labels = splits.examples(client_id)
                digest.update(f"{client_id} {len(labels)} ".encode())
                digest.update(np.ascontiguousarray(pixels))
                digest.update(np.ascontiguousarray(labels))
        return digest.hexdigest()[:16]

    def participants(self, config: RunConfig) -> MemoryClientData:
        """Returns the training data of the writers that are not public in this run."""
        if not config.pretrained or self._public is not None:
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


def load_dataset(name: str | None = None) -> Dataset:
    """Loads a data set for a study.

    Args:
        name: "digits", "emnist" or the path of a file in Federated EMNIST's format. Default: what
            the variable `FEDLAB_DATASET` says, else "digits".

    Returns:
        The `Dataset`. Public are, beside a file's digits and EMNIST's, those of scikit-learn (UCI),
        all 1,797; beside "digits", which are made of them, the last fifth of the writers.

    Raises:
        ValueError: There is no such data set, or the file is damaged.
        FileNotFoundError: There is no such file.
    """
    name = name or os.environ.get(data.DATASET_VARIABLE) or "digits"
    if name == "digits":
        return Dataset(name, *data.load_digits())
    if name == "emnist":
        return Dataset(name, *data.load_emnist(), public=_uci_digits)
    if os.sep not in name and not Path(name).suffix:
        raise ValueError(
            f'There is no data set {name!r}. Choose "digits", "emnist" or the path of an .sqlite '
            "or .sqlite.lzma file."
        )
    splits = data.load_sqlite(name)
    return Dataset(dataset_name(name), *splits, public=_uci_digits, argument=name)


def dataset_name(argument: str) -> str:
    """Returns what results call a data set that `--dataset` names."""
    path = Path(argument)
    if argument in ("digits", "emnist"):
        return argument
    # The folder says so itself: its file has Federated EMNIST's name, and is not that.
    return "writer digits" if path.resolve().parent.name == "writer-digits" else path.name


def _uci_digits() -> Examples:
    parts = [pool(splits) for splits in data.load_digits()]
    return Examples(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def pool(client_data: MemoryClientData, max_examples: int | None = None) -> Examples:
    """Returns the examples of all clients (the first of each), in the order of the client ids."""
    every = [client_data.examples(client_id) for client_id in client_data.client_ids]
    return Examples(
        np.concatenate([examples.pixels[:max_examples] for examples in every]),
        np.concatenate([examples.labels[:max_examples] for examples in every]),
    )


def deal(config: RunConfig, client_data: MemoryClientData, seed: int) -> MemoryClientData:
    """Deals the digits of all clients anew, as `config.partition` says.

    Args:
        config: Whose `partition` and `alpha` hold.
        client_data: The writers' own.
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
        mine = rows[numbers[client_id]]
        return Examples(pooled.pixels[mine], pooled.labels[mine])

    return MemoryClientData(numbers, read, client_data.num_classes)


@cache_while_alive
def _pool_once(client_data: MemoryClientData) -> Examples:
    return pool(client_data)


@cache_while_alive
def _deal(
    client_data: MemoryClientData, kind: str, alpha: float | None, seed: int
) -> partition.Partition:
    labels, num_clients = _pool_once(client_data).labels, len(client_data.client_ids)
    if kind == "iid":
        return partition.iid(len(labels), num_clients, seed=seed)
    if kind == "shards":
        return partition.shards(labels, num_clients, seed=seed)
    return partition.dirichlet(labels, num_clients, alpha=alpha, seed=seed)
