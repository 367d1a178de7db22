"""What a client holds: federated data sets as TFF `ClientData`, cohorts, batches."""

from fedlab.data.arrays import from_arrays
from fedlab.data.client_data import (
    MemoryClientData,
    client_arrays,
    split_clients,
)
from fedlab.data.digits import load_digits
from fedlab.data.emnist import load_emnist, load_sqlite
from fedlab.data.federated_dataset import FederatedDataset
from fedlab.data.pooling import pool, take
from fedlab.data.registry import (
    DatasetEntry,
    cite,
    describe,
    load,
    names,
    register,
    selected,
    show_name,
)
from fedlab.data.writer_digits import load_writer_digits
from fedlab.dataset_names import DATASET_VARIABLE

__all__ = [
    "DATASET_VARIABLE",
    "DatasetEntry",
    "FederatedDataset",
    "MemoryClientData",
    "cite",
    "client_arrays",
    "describe",
    "from_arrays",
    "load",
    "load_digits",
    "load_emnist",
    "load_sqlite",
    "load_writer_digits",
    "names",
    "pool",
    "register",
    "selected",
    "show_name",
    "split_clients",
    "take",
]
