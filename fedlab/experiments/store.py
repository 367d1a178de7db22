"""Finished runs on disk, one file each: a study that was killed goes on with what is missing."""

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

import fedlab
from fedlab import files
from fedlab.data import FederatedDataset
from fedlab.experiments.central_training import CreateFn
from fedlab.experiments.config import RunConfig
from fedlab.experiments.execution import RESULTS_VERSION, estimate_cost, run
from fedlab.experiments.results import provenance

_FORMAT = 1  # of the files in the folder
_FOLDER_FILE = "study.json"
_PACKAGES = ("tensorflow", "tensorflow-federated", "numpy")
_REMEDY = "Choose another --folder, or remove this one if its runs are of no use any more."
NoticeFn = Callable[[str], None]


class Store:
    """A folder of finished runs of one data set, made by one version of everything.

    A run is found by what it computes (`RunConfig.key`) and its seed: two names for one
    configuration, in one study or two, are run once. The folder is made with the first run.

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
            found = json.loads(path.read_text(encoding="utf-8"))
            found = {name: found[name] for name in self._header}
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{str(self.folder)!r} is not a study's folder: {_FOLDER_FILE} is missing or "
                f"damaged. {_REMEDY}"
            ) from error
        for name, value in self._header.items():
            if found[name] != value:
                raise ValueError(
                    f"The study in {str(self.folder)!r} has {name} {found[name]!r}, and this is "
                    f"{value!r}. Nothing was changed. {_REMEDY}"
                )

    def load(self, config: RunConfig, seed: int) -> dict[str, Any] | None:
        """Returns a finished run, or `None` if there is none that can be trusted.

        Returns:
            records (a list of rows, see `run`), versions and machine. A damaged file gets the
            ending `.damaged`, with a notice.
        """
        path = self._path(config, seed)
        if not path.exists():
            return None
        try:
            return _unseal(path.read_text(encoding="utf-8"), config.key, seed)
        except (ValueError, TypeError, KeyError) as error:
            aside = files.find_unused(path.with_name(f"{path.name}.damaged"))
            path.rename(aside)
            self._notice_fn(
                f"{path} is damaged ({error}). It is {aside.name} now, and the run is done again."
            )
            return None

    def save(self, config: RunConfig, seed: int, records: pd.DataFrame) -> None:
        """Writes a finished run, as a whole or not at all.

        Raises:
            FileExistsError: The run is there already; it is left as it was.
        """
        path = self._path(config, seed)
        if path.exists():
            raise FileExistsError(f"{path} is there already. It was left as it is.")
        header = self.folder / _FOLDER_FILE
        if not header.exists():
            files.write_text(header, json.dumps(self._header, indent=1))
        origin = {name: provenance()[name] for name in ("versions", "machine")}
        rows = [  # Python writes a number to the last bit; pandas' JSON does not
            {name: None if value != value else value for name, value in row.items()}
            for row in records.to_dict("records")
        ]
        payload = {"key": config.key, "seed": seed, "config": config.to_row(), "records": rows}
        files.write_text(path, _seal(payload | origin))

    def _path(self, config: RunConfig, seed: int) -> Path:
        return self.folder / f"{config.key}_{seed}.json"


def default_folder(name: str) -> Path:
    """Returns where a data set's runs are kept if nothing else is said."""
    return files.cache_dir() / "study" / name.replace(" ", "_")


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


def _unseal(text: str, key: str, seed: int) -> dict[str, Any]:
    payload = json.loads(text)
    sha256 = payload.pop("sha256")
    found = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()
    if found != sha256:
        raise ValueError("its checksum is another")
    if (payload["key"], payload["seed"]) != (key, seed):
        raise ValueError(f"it is the run {payload['key']} with seed {payload['seed']}")
    return payload


def run_all(
    configs: Sequence[RunConfig],
    seeds: Iterable[int],
    dataset: FederatedDataset,
    store: Store,
    *,
    create_fn: CreateFn | None = None,
    progress: bool = True,
) -> Iterator[tuple[RunConfig, int, dict[str, Any]]]:
    """Runs what is missing and gives all, configuration by configuration.

    Args:
        configs: What to run.
        seeds: Each configuration's.
        dataset: What to run on.
        store: Where finished runs are, and go at once.
        create_fn: As in `run`.
        progress: Show a bar with the time left; a run counts by its estimated cost.

    Yields:
        (configuration, seed, what `Store.load` returns).
    """
    wanted = [(config, seed) for config in configs for seed in seeds]
    missing = {
        (config.key, seed): estimate_cost(config, dataset)
        for config, seed in wanted
        if store.load(config, seed) is None
    }
    bar = tqdm(
        total=sum(missing.values()),
        disable=not progress,
        smoothing=0,
        bar_format="{l_bar}{bar}| {elapsed}, left {remaining}{postfix}",
    )
    with bar:
        for config, seed in wanted:
            if (config.key, seed) in missing and store.load(config, seed) is None:
                bar.set_description(f"{config.name}, seed {seed}")
                cost = missing[config.key, seed]
                records = run(
                    config,
                    dataset,
                    seed,
                    create_fn=create_fn,
                    progress_fn=_Share(bar, cost),
                )
                store.save(config, seed, records)
            yield config, seed, store.load(config, seed)


class _Share:
    """Moves the bar on by a run's share that is done; an early end jumps to the run's end."""

    def __init__(self, bar: tqdm, cost: float):
        self._bar = bar
        self._end = bar.n + cost
        self._begin = bar.n
        self._cost = cost

    def __call__(self, share: float) -> None:
        self._bar.update(self._begin + share * self._cost - self._bar.n)
