"""Loads a data set by name; the variable `FEDLAB_DATASET` switches the whole course."""

import os

from fedlab.data.client_data import MemoryClientData
from fedlab.data.digits import load_digits
from fedlab.data.emnist import load_emnist, load_sqlite

DATASET_VARIABLE = "FEDLAB_DATASET"
_DESCRIPTIONS = {
    "digits": "digits (real digits of scikit-learn, simulated writers)",
    "emnist": "Federated EMNIST, digits only (real writers)",
    "file": "digits by real writers, from the file in FEDLAB_DATASET",
}


def selected() -> str:
    """Returns what `FEDLAB_DATASET` names: "digits" (also when it is not set), "emnist" or "file"."""
    value = os.environ.get(DATASET_VARIABLE) or "digits"
    return value if value in ("digits", "emnist") else "file"


def describe(name: str | None = None) -> str:
    """Returns the data set's name as it may stand under a result.

    Args:
        name: "digits" or "emnist". Default: what `FEDLAB_DATASET` names.

    Raises:
        ValueError: There is no such data set.
    """
    name = name or selected()
    if name not in _DESCRIPTIONS:
        raise _unknown(name)
    return _DESCRIPTIONS[name]


def load(name: str | None = None, **options) -> tuple[MemoryClientData, MemoryClientData]:
    """Loads a federated data set.

    Args:
        name: "digits" (embedded, the default) or "emnist". `None`: what the variable
            `FEDLAB_DATASET` names, which may also be the path of a file in Federated EMNIST's
            format (`.sqlite` or `.sqlite.lzma`).
        **options: Passed to `load_digits`, `load_emnist` or `load_sqlite`.

    Returns:
        `(train, test)` as TFF `ClientData`, every client in both, held in memory once read.

    Raises:
        ValueError: There is no such data set.
        FileNotFoundError: `FEDLAB_DATASET` names a file that is not there.
    """
    loaders = {"digits": load_digits, "emnist": load_emnist}
    if name is None and selected() == "file":
        path = os.path.expanduser(os.environ[DATASET_VARIABLE])
        if not os.path.exists(path):
            raise FileNotFoundError(
                f'{DATASET_VARIABLE} must be "digits", "emnist" or the full path of a file. '
                f"There is no file {os.path.abspath(path)!r}."
            )
        return load_sqlite(path, **options)
    name = name or selected()
    if name not in loaders:
        raise _unknown(name)
    return loaders[name](**options)


def _unknown(name: str) -> ValueError:
    return ValueError(
        f'There is no data set {name!r}. Choose "digits" or "emnist", or read a file of your own '
        "with load_sqlite(path)."
    )
