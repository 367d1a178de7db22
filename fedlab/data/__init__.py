"""What a client holds: federated data sets as TFF `ClientData`, cohorts, batches."""

from fedlab.data.arrays import from_arrays
from fedlab.data.byte_pairs import (
    Tokenizer,
    create_character_tokenizer,
    learn_byte_pairs,
    load_byte_pairs,
)
from fedlab.data.client_data import (
    MemoryClientData,
    client_arrays,
)
from fedlab.data.digits import load_digits
from fedlab.data.emnist import load_emnist, load_sqlite
from fedlab.data.federated_dataset import FederatedDataset
from fedlab.data.plays import load_plays, load_unseen_roles
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
from fedlab.data.splitting import split_clients
from fedlab.data.text import TokenClientData, from_texts, read_texts, to_windows
from fedlab.data.writer_digits import load_writer_digits
from fedlab.dataset_names import DATASET_VARIABLE

__all__ = [
    "DATASET_VARIABLE",
    "DatasetEntry",
    "FederatedDataset",
    "MemoryClientData",
    "TokenClientData",
    "Tokenizer",
    "cite",
    "client_arrays",
    "create_character_tokenizer",
    "describe",
    "from_arrays",
    "from_texts",
    "learn_byte_pairs",
    "load",
    "load_byte_pairs",
    "load_digits",
    "load_emnist",
    "load_plays",
    "load_sqlite",
    "load_unseen_roles",
    "load_writer_digits",
    "names",
    "pool",
    "read_texts",
    "register",
    "selected",
    "show_name",
    "split_clients",
    "take",
    "to_windows",
]
