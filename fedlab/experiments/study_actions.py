"""What `python -m fedlab study` does: run a study, run it again and compare, write its report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fedlab import data
from fedlab.data import FederatedDataset
from fedlab.experiments import report, results
from fedlab.experiments.settings import Config
from fedlab.experiments.store import (
    FinishedRun,
    NoticeFn,
    Part,
    Records,
    RememberFn,
    Store,
    default_folder,
)
from fedlab.experiments.study import Row, Study, run_all


def run_study(
    study: Study,
    dataset_argument: str | None,
    seeds: Sequence[int],
    *,
    folder: Path | None,
    out: Path,
    notice_fn: NoticeFn,
) -> None:
    """Runs all configurations that are not stored yet, and writes the results files to `out`.

    Finished runs are kept in `folder`, or in the user's cache.

    Raises:
        ValueError: The results would replace others, or the folder is not this study's.
    """
    dataset = data.load(dataset_argument)
    paths = study.result_paths(out, dataset.name)
    for path in (paths.runs, paths.curves) if study.has_curves else (paths.runs,):
        report.check_writable(path)
    others = _check_replaces(study, paths.runs, dataset, seeds)
    store = _open_store(study, study.configs, seeds, dataset, folder, notice_fn)
    rows = list(run_all(study, study.configs, seeds, dataset, store))
    table = pd.DataFrame([*others.to_dict("records"), *rows], columns=list(rows[0]))
    report.write_csv(paths.runs, table)
    notice_fn(f"Wrote {paths.runs}.")
    if study.has_curves:
        curves = [
            report.build_curve(config, seed, run.records)
            for config in study.configs
            for seed in seeds
            if (run := store.load(config, seed)) is not None
        ]
        report.write_csv(paths.curves, pd.concat(curves))
        notice_fn(f"Wrote {paths.curves}.")


def show_runs(
    study: Study,
    configs: Sequence[Config],
    dataset_argument: str | None,
    seeds: Sequence[int],
    *,
    folder: Path | None,
    notice_fn: NoticeFn,
) -> None:
    """Runs some configurations and shows their rows; no results file is written.

    Raises:
        ValueError: The folder is not this study's.
    """
    dataset = data.load(dataset_argument)
    store = _open_store(study, configs, seeds, dataset, folder, notice_fn)
    notice_fn(_show(study, list(run_all(study, configs, seeds, dataset, store))))


def _open_store(
    study: Study,
    configs: Sequence[Config],
    seeds: Sequence[int],
    dataset: FederatedDataset,
    folder: Path | None,
    notice_fn: NoticeFn,
) -> Store:
    store = Store(folder or default_folder(dataset.name), dataset, notice_fn)
    num_stored = sum(store.load(config, seed) is not None for config in configs for seed in seeds)
    num_runs = len(configs) * len(seeds)
    notice_fn(f"{num_stored} of {num_runs} runs on {dataset.name} are in {store.folder} already.")
    return store


def _check_replaces(
    study: Study, path: Path, dataset: FederatedDataset, seeds: Sequence[int]
) -> pd.DataFrame:
    """Returns the rows of other data sets, which stay in the file.

    A results file gives way to one of the same data with at least its seeds, to no other.
    """
    results.check_replaces(
        path, {dataset.name: dataset.sha256}, keeps_other_data=study.combines_datasets
    )
    if not path.exists():
        return pd.DataFrame()
    stored = report.read_csv(path)
    is_same = stored.dataset == dataset.name
    if lost := sorted(set(stored.seed[is_same]) - set(seeds)):
        raise ValueError(
            f"{path} also holds the seeds {', '.join(map(str, lost))}, and would lose them. Give "
            f"--seeds {max(stored.seed[is_same]) + 1} or another --out."
        )
    return stored[~is_same]


def _show(study: Study, rows: Sequence[Row]) -> str:
    name = study.configs[0].LABELS[0]
    return pd.DataFrame(rows)[[name, "seed", *study.shown]].to_string(index=False)


def run_again(
    study: Study,
    configs: Sequence[Config],
    dataset_argument: str | None,
    seeds: Sequence[int],
    *,
    out: Path,
    notice_fn: NoticeFn,
) -> bool:
    """Runs without a store and compares the numbers with those of the results file in `out`.

    Returns:
        Whether every row that the file has is the same, in the columns that must repeat.
    """
    dataset = data.load(dataset_argument)
    path = study.result_paths(out, dataset.name).runs
    stored = report.read_csv(path) if path.exists() else pd.DataFrame()
    remember_fns = {seed: _remember_in_memory() for seed in seeds}
    is_same = True
    for config in configs:
        for seed in seeds:
            records = study.run_fn(
                config,
                dataset,
                seed,
                remember_fn=remember_fns[seed],
                progress_fn=lambda share: None,
            )
            row = study.build_row(config, seed, dataset, FinishedRun.made_here(records))
            notice_fn(_show(study, [row]))
            old = _find_row(stored, config, row)
            message = _compare(path, old, row, config, study.repeated_fn(config))
            notice_fn(message or f"The same numbers as in {path}, to the last bit.")
            is_same &= not message or old is None
    return is_same


def _remember_in_memory() -> RememberFn:
    parts: dict[str, Records] = {}

    def remember(part: Part, compute_fn: Any) -> Records:
        if part.key not in parts:
            parts[part.key] = compute_fn()
        return parts[part.key]

    return remember


def _find_row(stored: pd.DataFrame, config: Config, row: Row) -> pd.Series | None:
    """Returns the line of a results file with the same name, seed and data set."""
    names = (config.LABELS[0], "seed", "dataset")
    if not set(names) <= set(stored):
        return None
    is_same = (stored[list(names)] == [row[name] for name in names]).all(axis=1)
    return stored[is_same].iloc[0] if is_same.any() else None


def _compare(
    path: Path, old: pd.Series | None, row: Row, config: Config, repeated: Sequence[str]
) -> str:
    """Returns how a row differs from that of the results file, in sentences; "" if it does not."""
    if old is None:
        return f"{path} does not have this row."
    if type(config).from_row(old) != config:
        return f"{path} has this row of another configuration: the study was changed since."
    lines = [
        f"{name}: {row[name]!r}; {path} has {old.get(name)!r}"
        for name in repeated
        if not _is_same(old.get(name), row[name])
    ]
    if lines and (old.machine != row["machine"] or old.versions != row["versions"]):
        lines.append(f"That was another machine or version: {old.machine}; {old.versions}.")
    return "\n".join(lines)


def _is_same(old: Any, new: Any) -> bool:
    return old == new or (_is_missing(old) and _is_missing(new))


def _is_missing(value: Any) -> bool:
    return pd.isna(value) or value == ""  # a CSV file writes both as nothing


def write_report(study: Study, dataset_name: str, out: Path) -> Path:
    """Writes the study's tables from its results file.

    Returns:
        The Markdown file.

    Raises:
        FileNotFoundError: There is no results file.
    """
    paths = study.result_paths(out, dataset_name)
    study.write_report_fn(paths.report, report.read_csv(paths.runs))
    return paths.report
