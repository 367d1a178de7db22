"""The picture of a privacy ledger: the costs of defences, and the success of attacks on them."""

import textwrap
from collections.abc import Callable, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

from fedlab.checks import check_table
from fedlab.plots.style import COLORS, picture

_COST, _LEAK = COLORS["model"], COLORS["worst"]
_MARKERS = {_COST: "o", _LEAK: "D"}
_NOT_NEGATIVE = (0, np.inf)
_LINE_LENGTH = 24  # characters of a defence's name
_AUC, _BLANK = ("membership_low", "membership_auc", "membership_high"), "blank_ssim"
_DELTA = "delta"


class _Measure(NamedTuple):
    """A column of the table, and how it is drawn."""

    column: str
    title: str
    write: Callable[[float], str]
    color: str
    bounds: tuple[float, float] = (0, 1)
    scale: str = "linear"


_MEASURES = (
    _Measure("accuracy", "accuracy", "{:.1%}".format, _COST),
    _Measure(
        "seconds_per_round", "time, a round", EngFormatter("s", 1), _COST, _NOT_NEGATIVE, "log"
    ),
    _Measure(
        "bytes_up_per_client", "sent, a client", EngFormatter("B", 1), _COST, _NOT_NEGATIVE, "log"
    ),
    _Measure("epsilon", "epsilon (nats)", "{:.3g}".format, _LEAK, _NOT_NEGATIVE),
    _Measure("reconstruction_ssim", "SSIM, rebuilt", "{:.2f}".format, _LEAK, (-1, 1)),
    _Measure("membership_auc", "AUC, members", "{:.2f}".format, _LEAK),
)


@picture
def ledger(table: pd.DataFrame) -> Figure:
    """Draws a row per defence and a panel per measure: its costs, and what attacks still see.

    A hollow mark was not measured for this row: it is the value of another row. NaN is written as
    "?", infinity as "no bound".

    Args:
        table: A table with a row per defence and the columns of `results/privacy_ledger.csv`:
            defence (its name); accuracy, in [0, 1]; seconds_per_round; bytes_up_per_client;
            epsilon, in nats, and its delta, in (0, 1); reconstruction_ssim and blank_ssim, the similarity to the originals
            of reconstructed images and of white images, in [-1, 1]; membership_auc, membership_low
            and membership_high, an AUC and its interval, in [0, 1]; shared, the names of the
            columns whose values come from another row, with spaces between.

    Returns:
        The figure.

    Raises:
        ValueError: The table has no rows or lacks a column, a defence appears twice, or a value is
            out of range; the message names the defence and the column.
    """
    _check(table)
    figure, panels = plt.subplots(1, 6, sharey=True, layout="constrained")
    figure.set_size_inches(16, 1.6 + 0.56 * len(table))
    for ax, measure in zip(panels, _MEASURES, strict=True):
        _draw(ax, measure, table)
    guesses = {"blank paper": table[_BLANK].iloc[0], "a coin": 0.5}  # no use of the update
    for ax, (name, value) in zip(panels[-2:], guesses.items(), strict=True):
        ax.axvline(value, color="#444444", ls="--", lw=1.4)
        ax.set_xlabel(f"- - {name}")
    deltas = " and ".join(f"{delta:.2g}" for delta in sorted(table[_DELTA].unique()))
    panels[-3].set_xlabel(f"at delta {deltas}")
    panels[-1].hlines(range(len(table)), table[_AUC[0]], table[_AUC[2]], color=_LEAK, lw=2)
    panels[0].set_yticks(
        range(len(table)), [textwrap.fill(name, _LINE_LENGTH) for name in table.defence]
    )
    panels[0].set_ylim(len(table) - 0.5, -0.5)
    _draw_legend(figure, any(map(_split, table.shared)))
    return figure


def _draw_legend(figure: Figure, has_hollow: bool) -> None:
    kinds = [("what it costs", _COST, "o", _COST), ("what it leaves to see", _LEAK, "D", _LEAK)]
    if has_hollow:
        kinds.append(("hollow: as in another row", "#444444", "o", "white"))
    handles = [
        Line2D([], [], color=color, marker=marker, mfc=fill, label=label, ls="none", ms=8)
        for label, color, marker, fill in kinds
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles))


def _draw(ax: Axes, measure: _Measure, table: pd.DataFrame) -> None:
    values = table[measure.column].to_numpy(float)
    for y, (value, shared) in enumerate(zip(values, table.shared, strict=True)):
        ax.axhspan(y - 0.5, y + 0.5, color="#F4F6F8" if y % 2 else "white", lw=0, zorder=0)
        fill = "white" if measure.column in _split(shared) else measure.color
        if np.isfinite(value):
            ax.plot(value, y, _MARKERS[measure.color], c=measure.color, mfc=fill, ms=8, zorder=3)
        text = "?" if np.isnan(value) else "no bound" if np.isinf(value) else measure.write(value)
        ax.text(1.04, y, text, c=measure.color, va="center", transform=ax.get_yaxis_transform())
    ax.set_title(measure.title, fontsize=14, color=measure.color)
    ax.set(xscale=measure.scale, xmargin=0.15)
    locator = LogLocator(numticks=4) if measure.scale == "log" else MaxNLocator(2)
    ax.xaxis.set(major_locator=locator, minor_locator=NullLocator())
    ax.xaxis.set_major_formatter(lambda value, _: measure.write(value))
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")


def _split(shared: object) -> Sequence[str]:
    # An empty cell of a CSV file is read as NaN.
    return shared.split() if isinstance(shared, str) else ()


def _check(table: pd.DataFrame) -> None:
    ranges = {measure.column: measure.bounds for measure in _MEASURES}
    ranges |= dict.fromkeys(_AUC, (0, 1)) | {_BLANK: (-1, 1), _DELTA: (0, 1)}
    check_table("table", table, ("defence", *ranges, "shared"))
    for column in ranges:
        if not pd.api.types.is_numeric_dtype(table[column]):
            raise TypeError(f"table[{column!r}] must be numbers. Found {table[column].dtype}.")
    if twice := table.defence[table.defence.duplicated()].tolist():
        raise ValueError(f"table must have a defence once. Found {twice[0]!r} twice.")
    for name, row in table.set_index("defence").iterrows():
        for column, (low, high) in ranges.items():
            if row[column] < low or row[column] > high:
                where = f"{column} of {name!r} must lie in [{low}, {high}]"
                raise ValueError(f"{where}. Found {row[column]}.")
        if row[_AUC[1]] < row[_AUC[0]] or row[_AUC[1]] > row[_AUC[2]]:
            low, high = row[_AUC[0]], row[_AUC[2]]
            raise ValueError(
                f"membership_auc of {name!r} must lie in its interval. Found {row[_AUC[1]]} in "
                f"[{low}, {high}]."
            )
