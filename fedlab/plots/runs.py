"""Pictures of what came out: curves, confusion, spread, bars."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

from fedlab.plots.checks import check_counts, check_not_empty
from fedlab.plots.style import (
    COLORS,
    LABELS,
    clean_cells,
    colors_of,
    key_of,
    new_axes,
    row_percent,
    write_cells,
)
from fedlab.statistics import count_worst

_MARKERS = "os^DvPX*"


Records = pd.DataFrame | Sequence[Mapping[str, Any]]


def curves(
    records_by_name: Mapping[str, Records | Sequence[Records]],
    metric: str = "accuracy",
    *,
    x: str = "round_num",
    band: str | tuple[float, float] | None = "minmax",
    hline: Mapping[str, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws a metric over the rounds, one line per name; several runs give a mean and a band.

    Rounds in which the metric is missing or NaN (evaluation every n rounds) are skipped.

    Args:
        records_by_name: Name (a key of `COLORS`, or free) to one run or to a list of runs. A run
            is a DataFrame or a list of flat records.
        metric: Record key to draw. Accuracies in [0, 1] are drawn in percent.
        x: Record key of the x axis; it must not fall. Runs are matched by `round_num`.
        band: "minmax", two quantiles such as (0.1, 0.9), or None for the mean line alone.
        hline: Label to value, for levels to compare with (chance, a published number).
        ax: Axes to draw on; a figure of its own by default.

    Raises:
        ValueError: For no records, an unknown metric or band, or an x that falls.
    """
    check_not_empty(records_by_name, "records_by_name")
    _check_band(band)
    points = {
        name: [_points(name, run, x, metric) for run in _as_runs(name, records)]
        for name, records in records_by_name.items()
    }
    colors = colors_of(records_by_name)
    ax = ax or new_axes(8, 4.5)
    for i, (name, runs) in enumerate(points.items()):
        rounds = pd.concat(runs).groupby(level=0)
        xs, values = rounds[x].mean(), rounds[metric]
        style = {"color": colors[name], "marker": _MARKERS[i % len(_MARKERS)]}
        style["markevery"] = max(1, len(xs) // 10)
        ax.plot(xs, values.mean(), label=LABELS.get(key_of(name), name), **style)
        if band is not None and len(runs) > 1:
            low, high = (0.0, 1.0) if band == "minmax" else band
            edges = values.quantile(low), values.quantile(high)
            ax.fill_between(xs, *edges, color=colors[name], alpha=0.2, lw=0)
    for i, (label, value) in enumerate((hline or {}).items()):
        ax.axhline(value, color="#444444", ls=("--", ":", "-.")[i % 3], lw=1.6, label=label)
    _format_axis(ax.xaxis, x)
    _format_axis(ax.yaxis, metric)
    num_entries = len(ax.get_legend_handles_labels()[1])
    if num_entries > 5:
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    elif num_entries > 1:
        ax.legend()
    return ax


def confusion_matrix(
    matrix: np.ndarray, *, normalize: bool = False, ax: Axes | None = None
) -> Axes:
    """Draws a confusion matrix: right answers in blue, mistakes in orange on a scale of their own.

    Args:
        matrix: int (num_classes, num_classes), counts >= 0, rows true label, columns predicted.
        normalize: Writes the percentage of the row instead of the count.
        ax: Axes to draw on; a figure of its own by default.

    Raises:
        ValueError: For a matrix that is not square, or counts below 0.
    """
    matrix = check_counts(np.asarray(matrix), "matrix")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        raise ValueError(f"matrix must be square, (10, 10) for digits. Found {matrix.shape}.")
    cells = row_percent(matrix) if normalize else matrix
    diagonal = np.eye(len(matrix), dtype=bool)
    ax = ax or new_axes(7, 6.2)
    ax.imshow(np.ma.array(cells, mask=~diagonal), cmap="Blues", vmin=0)
    mistakes = np.ma.array(cells, mask=diagonal)
    darkest = max(1.0, 1.4 * float(mistakes.max()))
    ax.imshow(mistakes, cmap="Oranges", vmin=0, vmax=darkest)
    ax.set_xticks(range(len(matrix)))
    ax.set_yticks(range(len(matrix)))
    ax.set(xlabel="predicted label", ylabel="true label")
    unit = "% of each row" if normalize else "examples"
    ax.set_title(f"{unit} (mistakes in orange)")
    clean_cells(ax)
    write_cells(ax, cells, np.where(diagonal, cells.diagonal().max(), darkest))
    return ax


def client_spread(
    values: pd.Series | Mapping[str, float], *, worst_fraction: float = 0.1, ax: Axes | None = None
) -> Axes:
    """Draws each client's accuracy, sorted, with the mean and the mean of the worst clients.

    Every client counts once, whatever it holds. At least one client is among the worst; a part
    of a client is rounded up.

    Args:
        values: Client id to accuracy in [0, 1].
        worst_fraction: Part of the clients called the worst, in (0, 1].
        ax: Axes to draw on; a figure of its own by default.

    Raises:
        ValueError: For no clients, an accuracy that is NaN or outside [0, 1] (names the client),
            or a worst_fraction outside (0, 1].
    """
    ordered = _check_accuracies(values).sort_values()
    num_clients = len(ordered)
    num_worst = count_worst(num_clients, worst_fraction)
    worst, mean = float(ordered.iloc[:num_worst].mean()), float(ordered.mean())
    ax = ax or new_axes(8, 4.5)
    colors = [COLORS["worst"] if i < num_worst else "#B8C7D4" for i in range(num_clients)]
    width = 0.85 if num_clients <= 50 else 1.0  # thin gaps turn into stripes
    ax.bar(range(1, num_clients + 1), ordered, color=colors, width=width, lw=0)
    ax.axhline(mean, color="#222222", ls="--", label=f"mean of all {num_clients}: {mean:.1%}")
    label = f"mean of the worst {num_worst}: {worst:.1%}"
    ax.axhline(worst, color="#222222", ls=":", label=label)
    ax.set(xlabel="clients, worst to best", ylabel="accuracy", ylim=(0, 1.02))
    ax.set_xlim(0.4, num_clients + 0.6)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    ax.grid(False, axis="x")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.2)
    return ax


def bars(
    values: Mapping[str, float],
    *,
    xlabel: str,
    value_format: str | Callable[[float], str] = "{:,.4g}",
    ax: Axes | None = None,
) -> Axes:
    """Draws horizontal bars, the first on top, each with its value written beside it.

    Args:
        values: Name (a key of `COLORS`, or free) to a finite value >= 0.
        xlabel: What is measured, with its unit.
        value_format: Format of the written values, "{:.1%}" for accuracies, or a function such
            as matplotlib's `EngFormatter(unit="B", places=1)` for bytes.
        ax: Axes to draw on; a figure of its own by default.

    Raises:
        ValueError: For no values, or one that is negative or not finite (names the bar).
    """
    check_not_empty(values, "values")
    for name, value in values.items():
        if not (np.isfinite(value) and value >= 0):
            raise ValueError(f"values[{name!r}] must be finite and at least 0. Found {value}.")
    write = value_format.format if isinstance(value_format, str) else value_format
    ax = ax or new_axes(8, 0.9 + 0.48 * len(values))
    colors = [COLORS.get(key_of(name), COLORS["neutral"]) for name in values]
    drawn = ax.barh(range(len(values)), list(values.values()), color=colors, height=0.7)
    ax.bar_label(drawn, [write(v) for v in values.values()], padding=5, fontsize=13)
    ax.set_yticks(range(len(values)), [LABELS.get(key_of(name), name) for name in values])
    ax.set_xticks([])  # the values are written
    ax.set_xlabel(xlabel, loc="left")
    ax.invert_yaxis()
    ax.margins(x=0.16)
    clean_cells(ax)
    return ax


def _check_accuracies(values: pd.Series | Mapping[str, float]) -> pd.Series:
    accuracies = pd.Series(values, dtype=float)
    check_not_empty(accuracies, "values")
    for client_id, value in accuracies.items():
        if not 0 <= value <= 1:
            fix = "Leave out clients without examples; divide percentages by 100."
            raise ValueError(f"Client {client_id!r} has accuracy {value}, not in [0, 1]. {fix}")
    return accuracies


def _check_band(band: str | tuple[float, float] | None) -> None:
    if band is None or band == "minmax":
        return
    if isinstance(band, str) or len(band) != 2 or not 0 <= band[0] < band[1] <= 1:
        raise ValueError(f"band must be 'minmax', None or (0.1, 0.9), say. Found {band!r}.")


def _as_runs(name: str, records: Records | Sequence[Records]) -> list[pd.DataFrame]:
    """Returns a list of runs, whether one run or several were given."""
    one = isinstance(records, pd.DataFrame) or (len(records) and isinstance(records[0], Mapping))
    runs = [pd.DataFrame(run) for run in ([records] if one else records)]
    if not runs or any(run.empty for run in runs):
        raise ValueError(f"{name!r} must hold at least one record per run. Found none.")
    return runs


def _points(name: str, run: pd.DataFrame, x: str, metric: str) -> pd.DataFrame:
    """Returns the columns x and metric, indexed by round, where the metric was measured."""
    for column in (x, metric):
        if column not in run or run[column].isna().all():
            there = ", ".join(sorted(c for c in run.columns if run[c].notna().any()))
            raise ValueError(f"{name!r} has no values of {column!r}. Found {there}.")
    if "round_num" in run:
        run = run.set_index("round_num", drop=False).rename_axis(None)
    points = run.loc[run[metric].notna(), list(dict.fromkeys((x, metric)))].astype(float)
    if not points[x].is_monotonic_increasing:
        fix = "For a value per round, take its running sum: df[column].cumsum()."
        raise ValueError(f"{x!r} of {name!r} must not fall along the run. {fix}")
    return points


def _format_axis(axis: Any, key: str) -> None:
    """Labels an axis with its unit; accuracies in percent, bytes with a prefix, rounds whole."""
    axis.set_label_text(LABELS.get(key, key.replace("_", " ")))
    if "accuracy" in key:
        axis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    elif "bytes" in key:
        axis.set_major_formatter(EngFormatter(unit="B"))
    elif key == "round_num":
        axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
