"""What claims are judged by: the stored results, and the cells of the lessons."""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from fedlab import statistics

SIMULATED, REAL = "digits", "writer_digits"  # as the files of studies name the data
# They name a configuration or say when it is looked at; the rate of dropout belongs to the model.
_NO_SETTINGS = ("name", "group", "evaluate_every", "dropout_rate")


class Evidence:
    """Stored results and lessons, read when they are asked for.

    Args:
        results: The folder of the CSV files.
        notebooks: The folder of the lessons.
    """

    def __init__(self, results: Path, notebooks: Path):
        self._results = results
        self._notebooks = notebooks
        self._tables: dict[str, pd.DataFrame] = {}

    def has(self, name: str) -> bool:
        """Returns whether there is a results file of this name, without ".csv"."""
        return (self._results / f"{name}.csv").exists()

    def table(self, name: str) -> pd.DataFrame:
        """Returns the results file of this name, without ".csv".

        Raises:
            FileNotFoundError: It is not there.
        """
        if name not in self._tables:
            path = self._results / f"{name}.csv"
            if not path.exists():
                raise FileNotFoundError(
                    f"There is no file {str(path)!r}. Run what writes it first."
                )
            self._tables[name] = pd.read_csv(path, float_precision="round_trip")
        return self._tables[name]

    def best_dataset(self, study: str) -> str:
        """Returns the data of real writers, if the study was run on them, else the simulated ones."""
        return REAL if self.has(f"{study}_{REAL}") else SIMULATED

    def check_lesson(self, lesson: str, cell: str = "", shown: str = "") -> None:
        """Checks that a lesson is there, and that a cell of it asserts something and ran without error.

        Args:
            lesson: The notebook's name without its ending.
            cell: The id of the cell. "": no cell is asked for.
            shown: What it asserts: a part of a line that begins with "assert".

        Raises:
            FileNotFoundError: There is no such lesson.
            ValueError: The cell is missing, does not assert this, or was not run to its end.
        """
        path = self._notebooks / f"{lesson}.ipynb"
        if not path.exists():
            raise FileNotFoundError(f"There is no lesson {str(path)!r}.")
        if not cell:
            return
        cells = _read_cells(path)
        if cell not in cells:
            raise ValueError(
                f"{path.name} has no cell {cell!r}. Name one of its cells with an assert."
            )
        lines = [line.strip() for line in "".join(cells[cell]["source"]).splitlines()]
        if not shown or not any(line.startswith("assert ") and shown in line for line in lines):
            raise ValueError(
                f"The cell {cell!r} of {path.name} has no line that asserts {shown!r}: it decides nothing."
            )
        outputs = cells[cell].get("outputs", [])
        failed = any(output["output_type"] == "error" for output in outputs)
        if failed or not cells[cell].get("execution_count"):
            raise ValueError(
                f"The cell {cell!r} of {path.name} was not run to its end. Run the lesson."
            )


@functools.lru_cache(maxsize=32)
def _read_cells(path: Path) -> Mapping[str, Mapping[str, Any]]:
    return {cell["id"]: cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]}


def find_name(table: pd.DataFrame, changes: Mapping[str, object]) -> str | None:
    """Returns the name of the configuration that differs from the first by these settings alone.

    Names of configurations may change; what they do decides.
    """
    settings = [name for name in table.loc[:, :"seed"] if name not in (*_NO_SETTINGS, "seed")]
    first = table.iloc[0]
    for _, row in table.drop_duplicates("name").iterrows():
        differing = {name for name in settings if not _same(row[name], first[name])}
        if differing == set(changes) and all(_same(row[k], v) for k, v in changes.items()):
            return str(row["name"])
    return None


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) or (pd.isna(one) and pd.isna(other))


def difference(table: pd.DataFrame, name: str, baseline: str) -> pd.Series:
    """Returns difference, low and high of the accuracy to the baseline's, seed by seed."""
    rows = table[table.name.isin([name, baseline])]
    return statistics.compare(rows, baseline).loc[name]
