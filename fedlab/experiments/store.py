"""Finished runs on disk, one file each: a study that was killed goes on with what is missing."""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias

import fedlab
from fedlab import files
from fedlab.data import FederatedDataset
from fedlab.experiments.results import provenance
from fedlab.experiments.settings import Config

# Raise it by one with every change that gives other numbers: old study folders are then refused.
RESULTS_VERSION = 2
_FORMAT = 1  # of the files in the folder
_FOLDER_FILE = "study.json"
_PACKAGES = ("tensorflow", "tensorflow-federated", "numpy")
_REMEDY = "Choose another --folder, or remove this one if its runs are of no use any more."
NoticeFn: TypeAlias = Callable[[str], None]
ProgressFn: TypeAlias = Callable[[float], None]  # takes the share that is done, in [0, 1]
Records: TypeAlias = list[dict[str, Any]]  # values that JSON can hold


class Keyed(Protocol):
    """A computation that can be stored: a `Config`, or a `Part` of its run."""

    @property
    def key(self) -> str:
        """16 hexadecimal digits of everything that is computed, but for the seed."""

    def to_row(self) -> dict[str, Any]:
        """Returns what is computed, for whoever reads the file."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a run that is expensive, or that several runs have in common.

    Attributes:
        label: What the part computes.
        config: The settings that it depends on.
    """

    label: str
    config: Config

    @property
    def key(self) -> str:
        """16 hexadecimal digits of the label and of all settings that differ from their defaults."""
        return hashlib.sha256(f"{self.label} {self.config.key}".encode()).hexdigest()[:16]

    def to_row(self) -> dict[str, Any]:
        """Returns label and settings."""
        return {"part": self.label, **self.config.to_row()}


# Takes a part and what computes it; returns its records, from an earlier computation if possible.
RememberFn: TypeAlias = Callable[[Part, Callable[[], Records]], Records]


class FinishedRun(NamedTuple):
    """The records of a run or of a part, and the versions and the machine that made them."""

    records: Records
    versions: str
    machine: str

    @classmethod
    def made_here(cls, records: Records) -> "FinishedRun":
        """Returns a run of this process."""
        origin = provenance()
        return cls(records, origin["versions"], origin["machine"])


class Store:
    """A folder of finished runs of one data set, made by one version of everything.

    A run is found by what it computes (its key) and its seed: two names for one configuration, in
    one study or two, are run once. The folder is made with the first run.

    Args:
        folder: Where the runs lie.
        dataset: The data set of the runs.
        notice_fn: Told, in a sentence, of a damaged file.

    Raises:
        ValueError: The folder is another data set's, of another version, or no study's.
    """

    def __init__(
        self, folder: str | os.PathLike[str], dataset: FederatedDataset, notice_fn: NoticeFn = print
    ):
        self.folder = Path(folder)
        self._notice_fn = notice_fn
        self._header = _describe(dataset)
        self._check_folder()

    def _check_folder(self) -> None:
        path = self.folder / _FOLDER_FILE
        if not self.folder.exists() or (self.folder.is_dir() and not any(self.folder.iterdir())):
            return
        try:
            header = json.loads(path.read_text(encoding="utf-8"))
            header = {name: header[name] for name in self._header}
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{str(self.folder)!r} is not a study's folder: {_FOLDER_FILE} is missing or "
                f"damaged. {_REMEDY}"
            ) from error
        for name, value in self._header.items():
            if header[name] != value:
                raise ValueError(
                    f"The study in {str(self.folder)!r} has {name} {header[name]!r}, and this is "
                    f"{value!r}. Nothing was changed. {_REMEDY}"
                )

    def load(self, computation: Keyed, seed: int) -> FinishedRun | None:
        """Returns a finished run, or `None` if there is none that can be trusted.

        A damaged file gets the ending `.damaged`, with a notice.

        Args:
            computation: The configuration of the run, or a part.
            seed: The run's seed.
        """
        path = self._path(computation, seed)
        if not path.exists():
            return None
        try:
            return _unseal(path.read_text(encoding="utf-8"), computation.key, seed)
        except (ValueError, TypeError, KeyError) as error:
            aside = files.find_unused(path.with_name(f"{path.name}.damaged"))
            path.rename(aside)
            self._notice_fn(
                f"{path} is damaged ({error}). It is {aside.name} now, and the run is done again."
            )
            return None

    def save(self, computation: Keyed, seed: int, records: Records) -> FinishedRun:
        """Writes a finished run, as a whole or not at all.

        Args:
            computation: The configuration of the run, or a part.
            seed: The run's seed.
            records: Its result. NaN is stored as `None`.

        Returns:
            What `load` returns from now on.

        Raises:
            FileExistsError: The run is there already; it is left as it was.
        """
        path = self._path(computation, seed)
        if path.exists():
            raise FileExistsError(f"{path} is there already. It was left as it is.")
        header = self.folder / _FOLDER_FILE
        if not header.exists():
            files.write_text(header, json.dumps(self._header, indent=1))
        rows = [
            {name: None if value != value else value for name, value in row.items()}
            for row in records
        ]
        run = FinishedRun.made_here(rows)
        payload = {"key": computation.key, "seed": seed, "config": computation.to_row()}
        files.write_text(path, _seal(payload | run._asdict()))
        return run

    def remember(self, part: Part, seed: int, compute_fn: Callable[[], Records]) -> Records:
        """Returns the records of a part, which is computed and stored if it is not there yet.

        Args:
            part: The part.
            seed: The seed of the run that it belongs to.
            compute_fn: Computes it.
        """
        run = self.load(part, seed) or self.save(part, seed, compute_fn())
        return run.records

    def _path(self, computation: Keyed, seed: int) -> Path:
        return self.folder / f"{computation.key}_{seed}.json"


def default_folder(name: str) -> Path:
    """Returns where a data set's runs are kept if nothing else is said: a folder of this user alone."""
    folder = files.cache_dir() / "study" / name.replace(" ", "_")
    files.make_private_folders(folder)
    return folder


def _describe(dataset: FederatedDataset) -> dict[str, Any]:
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        "format": _FORMAT,
        "results_version": f"fedlab {fedlab.__version__}, results {RESULTS_VERSION}",
        "dataset": dataset.name,
        "dataset_sha256": dataset.sha256,
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def _seal(payload: dict[str, Any]) -> str:
    text = json.dumps(payload, sort_keys=True)
    return json.dumps({"sha256": hashlib.sha256(text.encode()).hexdigest(), **payload}, indent=1)


def _unseal(text: str, key: str, seed: int) -> FinishedRun:
    payload = json.loads(text)
    sha256 = payload.pop("sha256")
    if hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest() != sha256:
        raise ValueError("its checksum is another")
    if (payload["key"], payload["seed"]) != (key, seed):
        raise ValueError(f"it is the run {payload['key']} with seed {payload['seed']}")
    return FinishedRun(payload["records"], payload["versions"], payload["machine"])
