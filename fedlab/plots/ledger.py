"""The picture of a privacy ledger: what each defence costs, and what it leaves to an attacker."""

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

from fedlab.plots.checks import check_not_empty
from fedlab.plots.style import COLORS

_COST, _LEAK = COLORS["model"], COLORS["worst"]
_MARKERS = {_COST: "o", _LEAK: "D"}
_ANY, _WIDTH = (0, np.inf), 24  # characters of a defence's name in one line
_AUC, _BLANK = ("membership_low", "membership_auc", "membership_high"), "blank_ssim"


class _Measure(NamedTuple):
    """A column of the table."""

    column: str
    title: str
    write: Callable[[float], str]
    color: str
    range: tuple[float, float] = (0, 1)
    scale: str = "linear"


_MEASURES = (
    _Measure("accuracy", "accuracy", "{:.1%}".format, _COST),
    _Measure("seconds_per_round", "time, a round", EngFormatter("s", 1), _COST, _ANY, "log"),
    _Measure("bytes_up_per_client", "sent, a client", EngFormatter("B", 1), _COST, _ANY, "log"),
    _Measure("epsilon", "epsilon (nats)", "{:.3g}".format, _LEAK, _ANY),
    _Measure("reconstruction_ssim", "SSIM, rebuilt", "{:.2f}".format, _LEAK, (-1, 1)),
    _Measure("membership_auc", "AUC, members", "{:.2f}".format, _LEAK),
)


def ledger(table: pd.DataFrame) -> Figure:
    """Draws a row per defence and a column per measure: what it costs, and what it leaves to see.

    Hollow: not measured again, for it is another row's. NaN is written "?", infinity "no bound".

    Args:
        table: As in `results/privacy_ledger.csv`: defence, accuracy, seconds_per_round,
            bytes_up_per_client, epsilon, reconstruction_ssim, blank_ssim (of blank paper),
            membership_auc, membership_low and _high, shared (the columns that are another row's).

    Raises:
        ValueError: No rows, no such column, a defence twice, or a value out of range (names both).
    """
    _check(table)
    figure, panels = plt.subplots(1, 6, sharey=True, layout="constrained")
    figure.set_size_inches(16, 1.6 + 0.56 * len(table))
    for ax, measure in zip(panels, _MEASURES, strict=True):
        _draw(ax, measure, table)
    nothing = {"blank paper": table[_BLANK].iloc[0], "a coin": 0.5}  # an attack that learns nothing
    for ax, (name, value) in zip(panels[-2:], nothing.items(), strict=True):
        ax.axvline(value, color="#444444", ls="--", lw=1.4)
        ax.set_xlabel(f"- - {name}")
    panels[-1].hlines(range(len(table)), table[_AUC[0]], table[_AUC[2]], color=_LEAK, lw=2)
    panels[0].set_yticks(range(len(table)), [textwrap.fill(one, _WIDTH) for one in table.defence])
    panels[0].set_ylim(len(table) - 0.5, -0.5)
    _draw_legend(figure, any(map(_split, table.shared)))
    return figure


def _draw_legend(figure: Figure, has_hollow: bool) -> None:
    kinds = {_COST: "what it costs", _LEAK: "what it leaves to see"}
    style = {"ls": "none", "ms": 8}
    handles = [Line2D([], [], c=c, marker=_MARKERS[c], label=s, **style) for c, s in kinds.items()]
    hollow = {"label": "hollow: as in another row", "mfc": "white", "marker": "o", "c": "#444444"}
    handles += [Line2D([], [], **hollow, **style)] if has_hollow else []
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
    return shared.split() if isinstance(shared, str) else ()  # an empty cell of a CSV file is NaN


def _check(table: pd.DataFrame) -> None:
    check_not_empty(table, "table")
    ranges = {one.column: one.range for one in _MEASURES}
    ranges |= dict.fromkeys(_AUC, (0, 1)) | {_BLANK: (-1, 1)}
    if missing := [name for name in ("defence", *ranges, "shared") if name not in table]:
        raise ValueError(f"table lacks the columns {', '.join(missing)}. See the docstring.")
    if twice := table.defence[table.defence.duplicated()].tolist():
        raise ValueError(f"table must have a defence once. Found {twice[0]!r} twice.")
    for name, row in table.set_index("defence").iterrows():
        for column, (low, high) in ranges.items():
            if row[column] < low or row[column] > high:
                where = f"{column} of {name!r} must lie in [{low}, {high}]"
                raise ValueError(f"{where}. Found {row[column]}.")
        if row[_AUC[1]] < row[_AUC[0]] or row[_AUC[1]] > row[_AUC[2]]:
            raise ValueError(f"membership_auc of {name!r} must lie in its interval.")
