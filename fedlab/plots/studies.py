"""Pictures of studies: what a change is worth, and how far many of them lead."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from fedlab.plots.checks import check_not_empty
from fedlab.plots.style import COLORS, LABELS, key_of, new_axes

_MARKERS = "os^DvPX"
_COLORS = ("#004488", "#BB5566", "#997700")  # Tol's high contrast: dark enough for text
_WIDTH = 24  # characters of a row's name in one line
_COLUMNS = ("difference", "low", "high")
_TICKS = (0.1, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)  # accuracies that a ladder's axis names
_LEAST_ERROR = 1e-3  # the log of no error at all is infinite


def effects(
    differences: Mapping[str, pd.DataFrame],
    *,
    xlabel: str = "difference in accuracy, in points",
    ax: Axes | None = None,
) -> Axes:
    """Draws a forest plot: what each change is worth, with its interval.

    A row is a change, a series (a data set, say) has a colour and a marker. Filled: the interval
    leaves out 0; hollow: it holds 0. To the right stand the numbers.

    Args:
        differences: Series to a table, as from `fedlab.statistics.compare`: index name; columns
            difference, low and high, in [-1, 1]. Not every series must have every row. The rows
            stand in the order of the first series that has them.
        xlabel: What is drawn.
        ax: Axes to draw on; a figure of its own by default.

    Raises:
        ValueError: No series or rows, a column is missing, a number is not finite or outside
            [-1, 1], or an interval does not hold its difference (names the row).
    """
    check_not_empty(differences, "differences")
    for series, table in differences.items():
        _check_table(series, table)
    names = list(dict.fromkeys(name for table in differences.values() for name in table.index))
    ax = ax or new_axes(10, 1.4 + len(names) * (0.3 + 0.27 * len(differences)))
    ax.axvline(0, color="#444444", lw=1.2)
    for i, (series, table) in enumerate(differences.items()):
        offset = 0.24 * (i - (len(differences) - 1) / 2)
        style = {
            "color": _COLORS[i % len(_COLORS)],
            "marker": _MARKERS[i % len(_MARKERS)],
            "ls": "none",
        }
        ax.plot([], [], label=series, **style)
        for name, row in (100 * table[list(_COLUMNS)]).iterrows():
            _draw_effect(ax, names.index(name) + offset, row, style)
    for y in range(1, len(names)):
        ax.axhline(y - 0.5, color="#E6E6E6", lw=0.8)
    labels = [textwrap.fill(LABELS.get(key_of(name), name), _WIDTH) for name in names]
    ax.set_yticks(range(len(names)), labels)
    ax.set(xlabel=xlabel, ylim=(len(names) - 0.5, -0.5))
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    if len(differences) > 1:
        legend_at = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2}
        ax.legend(ncols=len(differences), **legend_at)
    return ax


def ladder(
    steps: Mapping[str, Sequence[float]],
    *,
    ceiling: Mapping[str, Sequence[float]] | None = None,
    beside: Mapping[str, Sequence[float]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws accuracy step by step, the first on top: the mean of the seeds, and from worst to best.

    The axis counts mistakes, on a log scale: equal ways to the right divide them by equal factors.
    So the way from 98% to 99% can be seen: it is as long as that from 50% to 75%. Fewer mistakes
    than 1 in 1,000 are drawn as that many.

    Args:
        steps: Step to accuracies in [0, 1], one a seed.
        ceiling: Label to accuracies of what the steps are held against: a line and a band.
        beside: Name to accuracies of what is no step; drawn below the steps.
        ax: Axes to draw on; a figure of its own by default.

    Raises:
        ValueError: No steps, no seeds, or an accuracy that is NaN or outside [0, 1] (names it).
    """
    check_not_empty(steps, "steps")
    rows, ceiling = {**steps, **(beside or {})}, ceiling or {}
    if both := sorted(set(steps) & set(beside or {})):
        raise ValueError(f"A name must be a step or beside them. Found both: {', '.join(both)}.")
    for name, values in [*rows.items(), *ceiling.items()]:
        _check_accuracies(name, values)
    ax = ax or new_axes(10, 1.6 + 0.46 * len(rows))
    for label, values in ceiling.items():
        style = {"color": COLORS["central"], "lw": 1.6, "ls": "--"}
        ax.axvspan(min(values), max(values), color=COLORS["central"], alpha=0.12, lw=0)
        ax.axvline(np.mean(values), label=f"{label}: {np.mean(values):.1%}", **style)
    means = [float(np.mean(values)) for values in steps.values()]
    ax.plot(means, range(len(steps)), color=COLORS["model"], alpha=0.4, label="_climb")
    for y, (name, values) in enumerate(rows.items()):
        _draw_step(ax, y, values, COLORS["model" if name in steps else "worst"])
    ax.set_yticks(range(len(rows)), [textwrap.fill(name, _WIDTH) for name in rows])
    ax.set(xlabel="accuracy (an equal way to the right: half the mistakes)")
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    drawn = np.concatenate([*rows.values(), *ceiling.values()])
    _count_mistakes(ax, drawn.min(), drawn.max())
    if ceiling:
        ax.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2)
    return ax


def _draw_effect(ax: Axes, y: float, row: pd.Series, style: Mapping[str, str]) -> None:
    """Draws one interval with its difference, and writes both at the right of the Axes."""
    color = style["color"]
    holds_zero = row.low <= 0 <= row.high
    ax.plot([row.low, row.high], [y, y], color=color, lw=2.2, solid_capstyle="butt")
    ax.plot(row.difference, y, markerfacecolor="white" if holds_zero else color, ms=8, **style)
    text = f"{row.difference:+.1f} [{row.low:+.1f}, {row.high:+.1f}]".replace("-", "−")
    where = {"transform": ax.get_yaxis_transform(), "va": "center", "fontsize": 11}
    ax.text(1.02, y, text, color=color, **where)


def _draw_step(ax: Axes, y: float, values: Sequence[float], color: str) -> None:
    """Draws the range of the seeds and their mean, and writes that at the right of the Axes."""
    mean = float(np.mean(values))
    ax.plot([min(values), max(values)], [y, y], color=color, lw=9, alpha=0.3, solid_capstyle="butt")
    ax.plot(mean, y, "o", color=color, ms=8)
    where = {"transform": ax.get_yaxis_transform(), "va": "center"}
    ax.text(1.02, y, f"{mean:.1%}", color=color, **where)


def _check_table(series: str, table: pd.DataFrame) -> None:
    if missing := [column for column in _COLUMNS if column not in table]:
        raise ValueError(
            f"{series!r} must have the columns {', '.join(_COLUMNS)}. Lacks {', '.join(missing)}."
        )
    check_not_empty(table, f"differences[{series!r}]")
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


def _check_accuracies(name: str, values: Sequence[float]) -> None:
    if len(values) == 0:
        raise ValueError(f"{name!r} must hold an accuracy of at least one seed. Found none.")
    for value in values:
        if not 0 <= value <= 1:
            raise ValueError(f"{name!r} must hold accuracies in [0, 1]. Found {value}.")


def _count_mistakes(ax: Axes, lowest: float, highest: float) -> None:
    """Makes the x axis one of accuracies, by the log of the share of mistakes."""

    def to_place(accuracy):
        return -np.log2(np.maximum(1 - np.asarray(accuracy, float), _LEAST_ERROR))

    def to_accuracy(place):
        return 1 - 2.0 ** -np.asarray(place)

    ax.set_xscale("function", functions=(to_place, to_accuracy))
    ax.set_xlim(to_accuracy(max(0, to_place(lowest) - 0.2)), to_accuracy(to_place(highest) + 0.4))
    ax.xaxis.set_major_locator(FixedLocator(_TICKS))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))
