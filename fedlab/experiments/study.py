"""A study as data: configurations, what runs them, and how their results are made and shown."""

import dataclasses
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
from tqdm.auto import tqdm

from fedlab.data import FederatedDataset
from fedlab.data.writer_digits import is_writer_digits
from fedlab.experiments.report import ResultPaths, result_paths
from fedlab.experiments.settings import Config
from fedlab.experiments.store import FinishedRun, ProgressFn, Records, RememberFn, Store

Row = dict[str, Any]


class RunFn(Protocol):
    """Runs a configuration. The same arguments give the same numbers but for timings."""

    def __call__(
        self,
        config: Any,
        dataset: FederatedDataset,
        seed: int,
        *,
        remember_fn: RememberFn,
        progress_fn: ProgressFn,
    ) -> Records:
        """Returns what the run has measured.

        Args:
            config: A configuration of the study.
            dataset: The data set to run on.
            seed: Of everything random, at least 0.
            remember_fn: Keeps an expensive part as soon as it is done, for this run and others.
            progress_fn: Called with the share of the run that is done.
        """


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """Configurations times seeds, and how their results are made, compared and shown.

    Attributes:
        name: What the command line calls it.
        configs: Its configurations; tables compare the others with the first.
        run_fn: Runs one of them.
        summarize_fn: Makes the columns `Config.RESULTS` of a row from configuration and records.
        repeated_fn: Returns the columns of a configuration that must repeat to the last bit. Default:
            all results but durations, whose names begin with "seconds".
        shown: The columns that the terminal shows besides name and seed.
        write_report_fn: Writes the tables from the results file; takes the Markdown file's path.
        estimate_cost_fn: Says how long a run takes, in any unit, for the bar.
        num_seeds: How many seeds are run if nothing else is said.
        has_curves: Whether records are evaluations, of which a second file has the curves.
        has_file_per_dataset: Whether the names of the files name the data set.
        default_dataset: The data set that is used if no other is named. Default: that of
            `fedlab.data.load`.
        combines_datasets: Whether one file holds all data sets: a run then replaces the rows of its
            own data set and leaves the others.
    """

    name: str
    configs: Sequence[Config]
    run_fn: RunFn
    summarize_fn: Callable[[Any, Records], Row]
    repeated_fn: Callable[[Any], Sequence[str]] = lambda config: [
        name for name in config.RESULTS if not name.startswith("seconds")
    ]
    shown: Sequence[str]
    write_report_fn: Callable[[Path, pd.DataFrame], None]
    estimate_cost_fn: Callable[[Any, FederatedDataset], float] = lambda config, dataset: 1.0
    num_seeds: int
    has_curves: bool = False
    has_file_per_dataset: bool = False
    default_dataset: str | None = None
    combines_datasets: bool = False

    def result_paths(self, folder: Path, dataset_name: str) -> ResultPaths:
        """Returns the study's files.

        Args:
            folder: Where they lie.
            dataset_name: What results call the data set.
        """
        name = dataset_name if self.has_file_per_dataset else None
        return result_paths(folder, self.name, name)

    def select(self, only: str | None) -> list[Config]:
        """Returns the configurations whose name the regular expression finds; all if `None`.

        Args:
            only: The regular expression.

        Raises:
            ValueError: It finds none, or is no regular expression.
        """
        try:
            configs = [config for config in self.configs if re.search(only or "", config.label)]
        except re.error as error:
            raise ValueError(
                f"--only must be a regular expression ({error}). Found {only!r}."
            ) from None
        if not configs:
            names = ", ".join(repr(config.label) for config in self.configs)
            raise ValueError(f"--only {only!r} finds none of the study's configurations: {names}.")
        return configs

    def command(self, config: Config, seed: int, dataset: FederatedDataset) -> str:
        """Returns the command that does one run again and compares it with the results file.

        Args:
            config: The configuration.
            seed: The run's seed.
            dataset: The data set of the run.
        """
        pattern = "^" + re.escape(config.label).replace(r"\ ", " ") + "$"
        # Whoever has no such file can have the same digits by their name.
        argument = "writer_digits" if is_writer_digits(dataset.sha256) else dataset.argument
        parts = ["--dataset", argument, "--only", pattern, "--seed", str(seed), "--again"]
        return shlex.join(["python", "-m", "fedlab", "study", self.name, *parts])

    def build_row(
        self, config: Config, seed: int, dataset: FederatedDataset, run: FinishedRun
    ) -> Row:
        """Returns one line of a results file: configuration, results, where they come from.

        Args:
            config: The configuration.
            seed: The run's seed.
            dataset: The data set of the run.
            run: What the run has measured.
        """
        data = {"seed": seed, "dataset": dataset.name, "dataset_sha256": dataset.sha256}
        origin = {"versions": run.versions, "machine": run.machine}
        results = self.summarize_fn(config, run.records)
        command = {"command": self.command(config, seed, dataset)}
        return config.to_row() | data | results | origin | command


def run_all(
    study: Study,
    configs: Sequence[Config],
    seeds: Iterable[int],
    dataset: FederatedDataset,
    store: Store,
    *,
    progress: bool = True,
) -> Iterator[Row]:
    """Runs what is missing and gives all, configuration by configuration.

    Args:
        study: How the configurations are run.
        configs: Which of the study's configurations.
        seeds: Of each configuration.
        dataset: The data set to run on.
        store: Where finished runs are, and go at once.
        progress: Show a bar with the time left; a run counts by its estimated cost.

    Yields:
        The line of the results file of each run, see `Study.build_row`.
    """
    wanted = [(config, seed) for config in configs for seed in seeds]
    missing = {
        (config.key, seed): study.estimate_cost_fn(config, dataset)
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
            run = store.load(config, seed)
            if run is None:
                bar.set_description(f"{config.label}, seed {seed}")
                records = study.run_fn(
                    config,
                    dataset,
                    seed,
                    remember_fn=_remember_fn(store, seed),
                    progress_fn=_Share(bar, missing.get((config.key, seed), 0.0)),
                )
                run = store.save(config, seed, records)
            yield study.build_row(config, seed, dataset, run)


def _remember_fn(store: Store, seed: int) -> RememberFn:
    return lambda part, compute_fn: store.remember(part, seed, compute_fn)


class _Share:
    """Moves the bar on by a run's share that is done; an early end jumps to the run's end."""

    def __init__(self, bar: tqdm, cost: float):
        self._bar = bar
        self._begin = bar.n
        self._cost = cost

    def __call__(self, share: float) -> None:
        self._bar.update(self._begin + share * self._cost - self._bar.n)
