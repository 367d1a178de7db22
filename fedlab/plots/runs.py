"""Pictures of the results of runs: curves, confusion matrices, clients' accuracies, bars."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

from fedlab.checks import (
    check_callable,
    check_flag,
    check_list,
    check_mapping,
    check_number,
    check_text,
    describe,
)
from fedlab.plots.style import (
    COLORS,
    LABELS,
    MARKERS,
    check_by_client,
    check_counts,
    choose_colors,
    clean_cells,
    find_key,
    legend_name,
    new_axes,
    picture,
    row_percent,
    write_cells,
)
from fedlab.statistics import count_worst

Records: TypeAlias = pd.DataFrame | Sequence[Mapping[str, Any]]


@picture
def curves(
    records_by_name: Mapping[str, Records | Sequence[Records]],
    metric: str = "accuracy",
    *,
    x: str = "round_num",
    hline: Mapping[str, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws a metric over the rounds, with one line per name.

    Of several runs it draws the mean and a band from the smallest to the largest. Rounds in which the metric is missing or NaN, such
    as rounds without an evaluation, are left out.

    Args:
        records_by_name: From a name to one run, or to a list of runs. A run is a table with a row
            per round, or a list of flat records. A name may be a key of `COLORS`, or any text.
        metric: Column to draw. Accuracies in [0, 1] are drawn in percent.
        x: Column of the x axis; its values must not fall along a run. Several runs are matched by
            the column `round_num`.
        hline: From a label to a value that is drawn as a horizontal line, to compare with.
        ax: Axes to draw on. None: those of a new figure.

    Returns:
        The Axes of the picture.

    Raises:
        ValueError: There are no records, the metric has no values, or `x` falls along a run; the
            message says for which name.
    """
    records_by_name = check_mapping("records_by_name", records_by_name)
    metric, x = check_text("metric", metric), check_text("x", x)
    hline = {} if hline is None else check_mapping("hline", hline)
    hline = {label: check_number(f"hline[{label!r}]", value) for label, value in hline.items()}
    points = {
        name: [_points(name, run, x, metric) for run in _as_runs(name, records)]
        for name, records in records_by_name.items()
    }
    colors = choose_colors(records_by_name)
    ax = ax or new_axes(8, 4.5)
    for i, (name, runs) in enumerate(points.items()):
        rounds = pd.concat(runs).groupby(level=0)
        xs, values = rounds[x].mean(), rounds[metric]
        ax.plot(
            xs,
            values.mean(),
            color=colors[name],
            marker=MARKERS[i % len(MARKERS)],
            markevery=max(1, len(xs) // 10),
            label=legend_name(LABELS.get(find_key(name), name)),
        )
        if len(runs) > 1:
            ax.fill_between(xs, values.min(), values.max(), color=colors[name], alpha=0.2, lw=0)
    for i, (label, value) in enumerate(hline.items()):
        ax.axhline(
            value, color="#444444", ls=("--", ":", "-.")[i % 3], lw=1.6, label=legend_name(label)
        )
    _format_axis(ax.xaxis, x)
    _format_axis(ax.yaxis, metric)
    num_entries = len(ax.get_legend_handles_labels()[1])
    if num_entries > 5:
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    elif num_entries > 1:
        ax.legend()
    return ax


@picture
def confusion_matrix(
    matrix: npt.ArrayLike, *, normalize: bool = False, ax: Axes | None = None
) -> Axes:
    """Draws a confusion matrix, with right answers in blue and mistakes in orange; 0 is white.

    The two colours have different scales, so that a few mistakes are seen beside many right answers.

    Args:
        matrix: int (num_classes, num_classes): numbers of examples, with the true label as the row
            and the predicted label as the column; at least 2 classes.
        normalize: Whether to write percentages of the row instead of counts.
        ax: Axes to draw on. None: those of a new figure.

    Returns:
        The Axes of the picture.

    Raises:
        ValueError: The matrix is not square, or a count is negative.
    """
    matrix, normalize = check_counts("matrix", matrix), check_flag("normalize", normalize)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        raise ValueError(f"matrix must be square, (10, 10) for digits. Found {matrix.shape}.")
    cells = row_percent(matrix) if normalize else matrix
    diagonal = np.eye(len(matrix), dtype=bool)
    ax = ax or new_axes(7, 6.2)
    ax.imshow(np.ma.array(cells, mask=~diagonal), cmap="Blues", vmin=0)
    mistakes = np.ma.array(cells, mask=diagonal | (cells == 0))  # where there is none is white
    darkest = max(1.0, 1.4 * float(mistakes.filled(0).max()))
    ax.imshow(mistakes, cmap="Oranges", vmin=0, vmax=darkest)
    ax.set_xticks(range(len(matrix)))
    ax.set_yticks(range(len(matrix)))
    ax.set(xlabel="predicted label", ylabel="true label")
    unit = "% of each row" if normalize else "examples"
    ax.set_title(f"{unit} (mistakes in orange)")
    clean_cells(ax)
    write_cells(ax, cells, np.where(diagonal, cells.diagonal().max(), darkest))
    return ax


@picture
def client_spread(
    values: pd.Series | Mapping[str, float], *, worst_fraction: float = 0.1, ax: Axes | None = None
) -> Axes:
    """Draws each client's accuracy as a bar, sorted, with the mean of all and of the worst clients.

    In the means every client counts once, whatever its number of examples.

    Args:
        values: From a client's id to its accuracy, in [0, 1].
        worst_fraction: Fraction of the clients that counts as the worst, in (0, 1]; rounded up to
            whole clients.
        ax: Axes to draw on. None: those of a new figure.

    Returns:
        The Axes of the picture.

    Raises:
        TypeError: `worst_fraction` is not a number.
        ValueError: There are no clients, `worst_fraction` is out of range, or an accuracy is NaN or
            outside [0, 1]; the message names the client.
    """
    ordered = check_by_client("values", values, at_least=0).sort_values()
    num_clients = len(ordered)
    num_worst = count_worst(num_clients, worst_fraction)
    worst, mean = float(ordered.iloc[:num_worst].mean()), float(ordered.mean())
    ax = ax or new_axes(8, 4.5)
    colors = [COLORS["worst"] if i < num_worst else "#B8C7D4" for i in range(num_clients)]
    width = 0.85 if num_clients <= 50 else 1.0  # narrow gaps would look like stripes
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


@picture
def bars(
    values: Mapping[str, float],
    *,
    xlabel: str,
    value_format: str | Callable[[float], str] = "{:,.4g}",
    ax: Axes | None = None,
) -> Axes:
    """Draws horizontal bars, the first on top, each with its value written beside it.

    Args:
        values: From a name to a finite value of at least 0. A name may be a key of `COLORS`, or
            any text.
        xlabel: Text below the bars: the quantity and its unit.
        value_format: Format string of the values, such as "{:.1%}" for accuracies, or a function
            from a value to text, such as matplotlib's `EngFormatter(unit="B", places=1)` for bytes.
        ax: Axes to draw on. None: those of a new figure.

    Returns:
        The Axes of the picture.

    Raises:
        TypeError: A value is not a number.
        ValueError: There are no values, or one is negative or not finite; the message names it.
    """
    values = {
        name: check_number(f"values[{name!r}]", value, at_least=0)
        for name, value in check_mapping("values", values).items()
    }
    write = value_format.format if isinstance(value_format, str) else value_format
    check_callable("value_format", write)
    ax = ax or new_axes(8, 0.9 + 0.48 * len(values))
    colors = [COLORS.get(find_key(name), COLORS["neutral"]) for name in values]
    container = ax.barh(range(len(values)), list(values.values()), color=colors, height=0.7)
    ax.bar_label(container, [write(v) for v in values.values()], padding=5, fontsize=13)
    ax.set_yticks(range(len(values)), [LABELS.get(find_key(name), name) for name in values])
    ax.set_xticks([])  # each bar has its value beside it
    ax.set_xlabel(xlabel, loc="left")
    ax.invert_yaxis()
    ax.margins(x=0.16)
    clean_cells(ax)
    return ax


def _as_runs(name: str, records: Records | Sequence[Records]) -> list[pd.DataFrame]:
    """Returns a list of runs, whether one run or several were given."""
    entry = f"records_by_name[{name!r}]"
    given = [records] if isinstance(records, pd.DataFrame) else check_list(entry, records)
    if given and isinstance(given[0], Mapping):
        given = [given]
    for run in given:
        is_run = isinstance(run, list | tuple) and all(isinstance(each, Mapping) for each in run)
        if not (is_run or isinstance(run, pd.DataFrame)):
            raise TypeError(f"{entry} must be a table or a list of records. Found {describe(run)}.")
    runs = [pd.DataFrame(run) for run in given]
    if not runs or any(run.empty for run in runs):
        raise ValueError(f"{name!r} must have at least one record per run. Found none.")
    return runs


def _points(name: str, run: pd.DataFrame, x: str, metric: str) -> pd.DataFrame:
    """Returns the columns x and metric, indexed by round, where the metric was measured."""
    for column in (x, metric):
        if column not in run or run[column].isna().all():
            columns = ", ".join(sorted(str(c) for c in run.columns if run[c].notna().any()))
            which = "x" if column == x else "metric"
            raise ValueError(
                f"{which}: {name!r} has no values of {describe(column)}. Found {columns}."
            )
        if not pd.api.types.is_numeric_dtype(run[column]):
            raise TypeError(f"{column!r} of {name!r} must be numbers. Found {run[column].dtype}.")
    if "round_num" in run:
        run = run.set_index("round_num", drop=False).rename_axis(None)
    points = run.loc[run[metric].notna(), list(dict.fromkeys((x, metric)))].astype(float)
    if not points[x].is_monotonic_increasing:
        fix = "For a value per round, take its running sum: df[column].cumsum()."
        raise ValueError(
            f"{x!r} of {name!r} must not fall along the run. Found one that does. {fix}"
        )
    return points


def _format_axis(axis: Axis, key: str) -> None:
    """Labels an axis with its unit; accuracies in percent, bytes with a prefix, rounds whole."""
    axis.set_label_text(LABELS.get(key, key.replace("_", " ")))
    if "accuracy" in key:
        axis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    elif "bytes" in key:
        axis.set_major_formatter(EngFormatter(unit="B"))
    elif key == "round_num":
        axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
