"""A study's tables: the CSV files, and Markdown made from them."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from fedlab import data, statistics
from fedlab.experiments import markdown
from fedlab.experiments.results import FIRST_LINE
from fedlab.experiments.settings import Config
from fedlab.experiments.store import Records
from fedlab.files import resolve_target, write_text

# Decimals that are kept of what a curve may have.
_CURVE_COLUMNS = {
    "eval_accuracy": 5,
    "eval_loss": 4,
    "accuracy": 5,
    "loss": 4,
    "bits": 4,
    "exposure": 2,
}
_WHOLE = ("max_examples", "diverged_in_round", "rounds_to_target")  # or empty
_CSV_FIRST_LINE = f"^name,(group|seed),|{FIRST_LINE}"
_SEPARATOR = " | "  # in the names of a study that holds methods against each other by setting


class ResultPaths(NamedTuple):
    """The files of a study: its runs and its curves (CSV), and its tables (Markdown)."""

    runs: Path
    curves: Path
    report: Path


def result_paths(
    folder: str | os.PathLike[str], study: str, dataset: str | None = None
) -> ResultPaths:
    """Returns the files of a study; their names have the data set's if the study has files for each."""
    stem = study if dataset is None else re.sub(r"[^\w.-]+", "_", f"{study}_{dataset}")
    runs, curves, tables = (Path(folder) / f"{stem}{end}" for end in (".csv", "_curves.csv", ".md"))
    return ResultPaths(runs, curves, tables)


def build_curve(config: Config, seed: int, records: Records) -> pd.DataFrame:
    """Returns a run's curve: name, seed, round_num, and the accuracies and losses, rounded.

    Args:
        config: The run's configuration.
        seed: The run's seed.
        records: The run's evaluations: eval_accuracy and eval_loss; or its rounds: accuracy and
            loss, the metrics of the training.
    """
    columns = ["round_num", *(name for name in _CURVE_COLUMNS if name in records[0])]
    curve = pd.DataFrame(records)[columns].round(_CURVE_COLUMNS)
    curve.insert(0, "name", config.label)
    curve.insert(1, "seed", seed)
    return curve


def write_csv(path: Path, rows: pd.DataFrame) -> None:
    """Writes a table; whole numbers stay whole where some are missing."""
    whole = {name: "Int64" for name in _WHOLE if name in rows}
    write_text(path, rows.astype(whole).to_csv(index=False), first_line=_CSV_FIRST_LINE)


def check_writable(path: Path) -> None:
    """Checks that a table may be written.

    Raises:
        ValueError: The path is not a regular file, or holds a file that is no study's table.
        PermissionError: The file belongs to another user or is read-only.
    """
    resolve_target(path, _CSV_FIRST_LINE)


def read_csv(path: Path) -> pd.DataFrame:
    """Reads a study's CSV file, each number to the last bit.

    Raises:
        FileNotFoundError: It is not there.
    """
    if not path.exists():
        raise FileNotFoundError(f"There is no file {str(path)!r}. Run the study first.")
    # A digest may look like a number: "12345678901234e5", or digits alone, with leading zeros.
    dtype = {"dataset_sha256": str}
    return pd.read_csv(path, dtype=dtype, float_precision="round_trip")


def accuracy_table(runs: pd.DataFrame) -> str:
    """Returns the table of a study as Markdown: each configuration against the first."""
    baseline = runs.name.iloc[0]
    accuracy = statistics.compare(runs, baseline)
    first = runs.groupby("name", sort=False).first()
    worst = runs.groupby("name", sort=False).worst_decile_accuracy.mean()
    lines = []
    for name, row in accuracy.iterrows():
        bounds = f"{100 * row.difference:+.2f} [{100 * row.low:+.2f}, {100 * row.high:+.2f}]"
        difference = "–" if name == baseline else bounds
        shown = [first.group[name], name, f"{row['mean']:.2%}", difference, f"{worst[name]:.2%}"]
        lines.append(shown)
    titles = ("group", "configuration", "accuracy", "difference in points", "worst decile")
    table = markdown.table(titles, lines, texts=("configuration",))
    return "\n".join([table, "", _explain(runs, baseline), *_failures(runs)])


def _explain(runs: pd.DataFrame, baseline: str) -> str:
    return (
        f"Accuracy on all test digits of {runs.dataset.iloc[0]}, mean over {runs.seed.nunique()} "
        f"seeds. Difference to “{baseline}”, seed by seed; in brackets the 95% bootstrap interval "
        "over seeds, which is too narrow with few of them. Worst decile: the tenth of the writers "
        "for whom the model is worst."
    )


def _failures(runs: pd.DataFrame) -> list[str]:
    """One sentence per configuration some of whose runs diverged."""
    diverged = runs[runs.diverged_in_round.notna()]
    lines = []
    for name, rows in diverged.groupby("name", sort=False):
        rounds = ", ".join(f"{number:g}" for number in sorted(rows.diverged_in_round))
        num_seeds = (runs.name == name).sum()
        lines.append(
            f"\n“{name}” diverged in {len(rows)} of {num_seeds} seeds (round {rounds}); what counts "
            "there is the last good model."
        )
    return lines


def rounds_table(runs: pd.DataFrame) -> str:
    """Returns rounds to the target and speed-up, in the form of McMahan et al. 2017, table 2.

    Args:
        runs: Results whose names are `METHOD | SETTING`; the first method is the baseline.

    Raises:
        ValueError: The runs have no such names, or not all the same target and length.
    """
    if not runs.name.str.contains(_SEPARATOR, regex=False).all():
        raise ValueError("The names of the runs must be METHOD | SETTING. Found others.")
    target, num_rounds = (_common_value(runs, name) for name in ("target_accuracy", "num_rounds"))
    keys = runs.name.map(lambda name: tuple(name.split(_SEPARATOR, 1)))
    rounds = {key: rows.rounds_to_target.tolist() for key, rows in runs.groupby(keys, sort=False)}
    table = statistics.rounds_table(rounds, int(num_rounds), next(iter(rounds))[0])
    note = (
        f"Rounds until {target:.1%} of all test digits of {runs.dataset.iloc[0]} are right: median "
        f"over {runs.seed.nunique()} seeds, of which one that does not get there in {num_rounds:g} "
        f"rounds counts as later. In brackets: how many times fewer than {table.index[0]}."
    )
    lines = markdown.table(["method", *table.columns], table.itertuples())
    return f"{lines}\n\n{note}"


def _common_value(runs: pd.DataFrame, column: str) -> float:
    values = runs[column].unique()
    if len(values) != 1:
        raise ValueError(f"All runs of the table must have one {column}. Found {values.tolist()}.")
    return float(values[0])


def cite_data(runs: pd.DataFrame) -> str:
    """Returns a line for each data set that results are of; of a file nothing is known."""
    citations = [data.cite(name) for name in runs.dataset.unique()]
    return "\n".join(f"- Data: {citation}" for citation in citations if citation)


def write_page(
    path: Path, title: str, parts: Iterable[str], study: str, runs: pd.DataFrame, on: str = ""
) -> None:
    """Writes a study's page as Markdown: heading, parts, where the data and the page come from.

    Args:
        path: The Markdown file. A file that begins with another title is left as it is.
        title: The heading.
        parts: Tables, texts and smaller headings.
        study: What the command line calls the study.
        runs: The results, for the sources of their data.
        on: The data set's name, for the end of the heading, if there is a page for each.
    """
    made = f"Made by `python -m fedlab study {study} --report` from the CSV file beside it."
    page = [f"# {title} on {on}" if on else f"# {title}", *parts, cite_data(runs), made]
    text = "\n\n".join(filter(None, page)) + "\n"
    write_text(path, text, first_line=f"^# {re.escape(title)}")


def write_report(path: Path, study: str, runs: pd.DataFrame) -> None:
    """Writes a study's tables as Markdown."""
    parts = []
    if runs.name.str.contains(_SEPARATOR, regex=False).all():
        parts += ["## Rounds to the target", rounds_table(runs)]
        for group, rows in runs.groupby("group", sort=False):
            parts += [f"## Accuracy: {group}", accuracy_table(rows)]
    else:
        parts.append(accuracy_table(runs))
    write_page(path, f"The study “{study}”", parts, study, runs, on=runs.dataset.iloc[0])
