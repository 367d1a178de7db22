"""Federated data sets: digits by writer, as TFF `ClientData` in Federated EMNIST's convention."""

from fedlab.data.client_data import MemoryClientData, client_arrays, from_arrays, split_clients
from fedlab.data.digits import load_digits
from fedlab.data.emnist import load_emnist, load_sqlite
from fedlab.data.registry import DATASET_VARIABLE, describe, load, selected

__all__ = [
    "DATASET_VARIABLE",
    "MemoryClientData",
    "client_arrays",
    "describe",
    "from_arrays",
    "load",
    "load_digits",
    "load_emnist",
    "load_sqlite",
    "selected",
    "split_clients",
]
