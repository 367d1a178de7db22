"""Pictures of studies: runs row by row, the effect of single changes, and of many after each other."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from fedlab.checks import (
    check_array,
    check_flag,
    check_list,
    check_mapping,
    check_number,
    check_table,
    describe,
)
from fedlab.plots.style import COLORS, LABELS, MARKERS, find_key, legend_name, new_axes, picture
from fedlab.statistics import Interval

_COLORS = ("#004488", "#BB5566", "#997700")  # Tol's high contrast: dark enough for text
_LINE_LENGTH = 24  # characters of a row's name
_WIDE_LINE = 34  # where nothing is written at the right
_COLUMNS = ("difference", "low", "high")
_TICKS = (0.1, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)  # accuracies that a ladder's axis names
_SMALLEST_ERROR = 1e-3  # the log of an error of 0 is infinite


@picture
def dots(
    rows: Mapping[str, Sequence[float] | Interval],
    *,
    xlabel: str,
    vline: Mapping[str, float] | None = None,
    highlight: Sequence[str] = (),
    log: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draws a row of marks for each name, the first on top: all values, or a mean with its interval.

    Args:
        rows: From a name to the values of some runs, one mark each, or to a
            `fedlab.statistics.Interval`, a mark at the mean and a line from low to high.
        xlabel: Text below: the quantity and its unit.
        vline: From a label to the place of a dashed line, such as {"guessing": 0.5}. None: no line.
        highlight: The names of the rows that are drawn as red squares; the others are blue discs.
        log: Whether the x axis is logarithmic; all values must be above 0 then.
        ax: Axes to draw on. None: those of a new figure.

    Returns:
        The Axes of the picture.

    Raises:
        ValueError: There are no rows, a row has no values, or a value is not finite, or is not above 0 on
            a logarithmic axis; the message names the row. Or `highlight` has a name that is no row's.
    """
    values = {
        name: check_array(f"rows[{name!r}]", row, (None,), above=0 if log else None)
        for name, row in check_mapping("rows", rows).items()
    }
    lines = {} if vline is None else check_mapping("vline", vline)
    red = check_list("highlight", highlight)
    if unknown := [name for name in red if name not in values]:
        raise ValueError(f"highlight must be names of rows. Found {describe(unknown[0])}.")
    check_flag("log", log)
    ax = ax or new_axes(10, 1.3 + 0.45 * len(values))
    for y, (name, row) in enumerate(values.items()):
        is_red = name in red
        color = _COLORS[is_red]
        style: dict[str, Any] = {"color": color, "marker": "os"[is_red], "ms": 12, "ls": "none"}
        if isinstance(rows[name], Interval):
            mean, low, high = row
            ax.plot([low, high], [y, y], color=color, lw=3)
            ax.plot(mean, y, **style)
        else:
            ax.plot(row, np.full(len(row), y), **style, alpha=0.6)
    for label, place in lines.items():
        at = check_number(f"vline[{label!r}]", place)
        ax.axvline(at, color="#444444", ls="--", label=legend_name(label))
        ax.annotate(label, (at, -0.85), (5, 0), textcoords="offset points", va="center")
    ax.set_yticks(range(len(values)), [textwrap.fill(name, _WIDE_LINE) for name in values])
    if log:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:,g}")
    ax.set(xlabel=xlabel, ylim=(len(values) - 0.5, -1.2 if lines else -0.5))
    ax.tick_params(axis="y", length=0)
    return ax


@picture
def effects(
    differences: Mapping[str, pd.DataFrame],
    *,
    xlabel: str = "difference in accuracy, in points",
    ax: Axes | None = None,
) -> Axes:
    """Draws a forest plot: the effect of each change, with its interval.

    A row is a change; a series, such as a data set, has a colour and a marker. A filled mark means
    that the interval does not contain 0, a hollow mark that it does. The numbers are written at the
    right.

    Args:
        differences: From the name of a series to a table like that of `fedlab.statistics.compare`:
            a row per change, with its name as the index, and the columns difference, low and high,
            in [-1, 1]. A series may lack rows. Rows are drawn in the order in which they first
            appear.
        xlabel: Label of the x axis.
        ax: Axes to draw on. None: those of a new figure.

    Returns:
        The Axes of the picture.

    Raises:
        ValueError: There are no series or no rows, a column is missing, a number is NaN or outside
            [-1, 1], or an interval does not contain its difference; the message names the row.
    """
    differences = check_mapping("differences", differences)
    for series, table in differences.items():
        _check_table(series, table)
    names = list(dict.fromkeys(name for table in differences.values() for name in table.index))
    ax = ax or new_axes(10, 1.4 + len(names) * (0.3 + 0.27 * len(differences)))
    ax.axvline(0, color="#444444", lw=1.2)
    for i, (series, table) in enumerate(differences.items()):
        offset = 0.24 * (i - (len(differences) - 1) / 2)
        color, marker = _COLORS[i % len(_COLORS)], MARKERS[i % len(MARKERS)]
        ax.plot([], [], color=color, marker=marker, ls="none", label=legend_name(series))
        for name, row in (100 * table[list(_COLUMNS)]).iterrows():
            _draw_effect(ax, names.index(name) + offset, row, color, marker)
    for y in range(1, len(names)):
        ax.axhline(y - 0.5, color="#E6E6E6", lw=0.8)
    labels = [textwrap.fill(LABELS.get(find_key(name), name), _LINE_LENGTH) for name in names]
    ax.set_yticks(range(len(names)), labels)
    ax.set(xlabel=xlabel, ylim=(len(names) - 0.5, -0.5))
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    if len(differences) > 1:
        ax.legend(
            ncols=len(differences), loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2
        )
    return ax


@picture
def ladder(
    steps: Mapping[str, Sequence[float]],
    *,
    ceiling: Mapping[str, Sequence[float]] | None = None,
    beside: Mapping[str, Sequence[float]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws the accuracy after each of several steps: the seeds' mean, and their range.

    The x axis is the log of the share of mistakes: equal distances divide the mistakes by equal
    factors. So the distance from 98% to 99% is as long as that from 50% to 75%, since both halve
    the mistakes. An accuracy above 99.9% is drawn at 99.9%.

    Args:
        steps: From the name of a step to the accuracies of its seeds, in [0, 1]. The first step is
            drawn on top.
        ceiling: From a label to the accuracies of a training to compare with, drawn as a line at
            the mean and a band. None: no such line.
        beside: From a name to the accuracies of a training that is not one of the steps, drawn in
            a row below them. None: no such rows.
        ax: Axes to draw on. None: those of a new figure.

    Returns:
        The Axes of the picture.

    Raises:
        ValueError: There are no steps or no seeds, a name is in both `steps` and `beside`, or an
            accuracy is NaN or outside [0, 1]; the message names it.
    """
    climbed = _check_accuracies("steps", steps)
    others = {} if beside is None else _check_accuracies("beside", beside)
    tops = {} if ceiling is None else _check_accuracies("ceiling", ceiling)
    rows = {**climbed, **others}
    if both := [name for name in others if name in climbed]:
        raise ValueError(f"steps and beside must have different names. Found {', '.join(both)}.")
    ax = ax or new_axes(10, 1.6 + 0.46 * len(rows))
    for label, values in tops.items():
        color, mean = COLORS["central"], float(np.mean(values))
        ax.axvspan(min(values), max(values), color=color, alpha=0.12, lw=0)
        ax.axvline(mean, color=color, lw=1.6, ls="--", label=legend_name(f"{label}: {mean:.1%}"))
    means = [float(np.mean(values)) for values in climbed.values()]
    ax.plot(means, range(len(climbed)), color=COLORS["model"], alpha=0.4, label="_climb")
    for y, (name, values) in enumerate(rows.items()):
        _draw_step(ax, y, values, COLORS["model" if name in climbed else "worst"])
    ax.set_yticks(range(len(rows)), [textwrap.fill(name, _LINE_LENGTH) for name in rows])
    ax.set(xlabel="accuracy (an equal way to the right: half the mistakes)")
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    accuracies = np.concatenate([*rows.values(), *tops.values()])
    _scale_by_mistakes(ax, accuracies.min(), accuracies.max())
    if tops:
        ax.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2)
    return ax


def _draw_effect(ax: Axes, y: float, row: pd.Series, color: str, marker: str) -> None:
    """Draws one interval with its difference, and writes both at the right of the Axes."""
    fill = "white" if row.low <= 0 <= row.high else color
    ax.plot([row.low, row.high], [y, y], color=color, lw=2.2, solid_capstyle="butt")
    ax.plot(row.difference, y, marker=marker, color=color, mfc=fill, ms=8, ls="none")
    text = f"{row.difference:+.1f} [{row.low:+.1f}, {row.high:+.1f}]".replace("-", "−")
    ax.text(1.02, y, text, color=color, transform=ax.get_yaxis_transform(), va="center", size=11)


def _draw_step(ax: Axes, y: float, values: np.ndarray, color: str) -> None:
    """Draws the range of the seeds and their mean, and writes that at the right of the Axes."""
    mean = float(np.mean(values))
    ax.plot([min(values), max(values)], [y, y], color=color, lw=9, alpha=0.3, solid_capstyle="butt")
    ax.plot(mean, y, "o", color=color, ms=8)
    text, transform = f"{mean:.1%}", ax.get_yaxis_transform()
    ax.text(1.02, y, text, color=color, transform=transform, va="center")


def _check_table(series: str, table: pd.DataFrame) -> None:
    check_table(f"differences[{series!r}]", table, _COLUMNS)
    check_array(f"differences[{series!r}]", table[list(_COLUMNS)], (None, 3), is_finite=False)
    for name, row in table[list(_COLUMNS)].iterrows():
        if not (row.abs() <= 1).all():
            raise ValueError(
                f"{name!r} of {series!r} must lie in [-1, 1]; divide points by 100. Found "
                f"{row.tolist()}."
            )
        if not row.low <= row.difference <= row.high:
            raise ValueError(
                f"{name!r} of {series!r} must lie in its interval. Found {row.difference} in "
                f"[{row.low}, {row.high}]."
            )


def _check_accuracies(name: str, rows: Mapping[str, Sequence[float]]) -> dict[str, np.ndarray]:
    hint = " Divide percentages by 100."
    return {
        key: check_array(f"{name}[{key!r}]", values, (None,), at_least=0, at_most=1, hint=hint)
        for key, values in check_mapping(name, rows).items()
    }


def _scale_by_mistakes(ax: Axes, lowest: float, highest: float) -> None:
    """Makes the x axis an axis of accuracies, scaled by the log of the share of mistakes."""

    def to_place(accuracy: npt.ArrayLike) -> np.ndarray:
        return -np.log2(np.maximum(1 - np.asarray(accuracy, float), _SMALLEST_ERROR))

    def to_accuracy(place: npt.ArrayLike) -> np.ndarray:
        return 1 - 2.0 ** -np.asarray(place)

    ax.set_xscale("function", functions=(to_place, to_accuracy))
    left, right = max(0.0, float(to_place(lowest)) - 0.2), to_place(highest) + 0.4
    ax.set_xlim(float(to_accuracy(left)), float(to_accuracy(right)))
    ax.xaxis.set_major_locator(FixedLocator(_TICKS))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))
