"""The picture of a privacy ledger: the costs of defences, and the success of attacks on them."""

import textwrap
from collections.abc import Callable, Container, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from fedlab.checks import check_choice, check_list, check_not_empty, check_table
from fedlab.plots.style import COLORS, picture

_COST, _LEAK = COLORS["model"], COLORS["worst"]
_MARKERS = {_COST: "o", _LEAK: "D"}
_NOT_NEGATIVE = (0, np.inf)
_LINE_LENGTH = 24  # characters of a defence's name
_NO_BREAK = "\N{NO-BREAK SPACE}"


def _write_seconds(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:,.0f} s"


def _write_bytes(count: float) -> str:
    return f"{count / 1000:.0f} kB" if count < 1e6 else f"{count / 1e6:.1f} MB"


class _Measure(NamedTuple):
    """A column of the table, and how it is drawn."""

    column: str
    title: str
    write: Callable[[float], str]
    color: str
    bounds: tuple[float, float] = (0, 1)
    scale: str = "linear"
    ends: tuple[str, ...] = ()  # the columns of its interval
    guess: tuple[str, float | str] | None = None  # what an attacker reaches without the update


_MEASURES = (
    _Measure(
        "accuracy", "accuracy", "{:.1%}".format, _COST, ends=("accuracy_low", "accuracy_high")
    ),
    _Measure(
        "seconds_per_round",
        "time, a round",
        _write_seconds,
        _COST,
        _NOT_NEGATIVE,
        "log",
        ("seconds_low", "seconds_high"),
    ),
    _Measure("bytes_up_per_client", "sent, a client", _write_bytes, _COST, _NOT_NEGATIVE, "log"),
    _Measure("epsilon", "epsilon (nats)", "{:.3g}".format, _LEAK, _NOT_NEGATIVE),
    _Measure(
        "reconstruction_ssim",
        "SSIM, rebuilt",
        "{:.2f}".format,
        _LEAK,
        (-1, 1),
        guess=("blank paper", "blank_ssim"),
    ),
    _Measure(
        "membership_auc",
        "AUC, members",
        "{:.2f}".format,
        _LEAK,
        ends=("membership_low", "membership_high"),
        guess=("a coin", 0.5),
    ),
)


@picture
def ledger(table: pd.DataFrame, measures: Sequence[str] | None = None) -> Figure:
    """Draws a row per defence and a panel per measure: its costs, and what attacks still see.

    A hollow mark was not measured for this row: it is the value of another row. A line is a mark's
    interval. NaN is written as "?", infinity as "no bound".

    Args:
        table: From `fedlab.experiments.privacy.summary.summarize`: a row per defence and the columns
            defence (its name); server_learning_rate (text); accuracy, in [0, 1]; seconds_per_round;
            bytes_up_per_client; epsilon, in nats, and its delta, in (0, 1); reconstruction_ssim and
            blank_ssim, the similarity to the originals of reconstructed images and of white images,
            in [-1, 1]; membership_auc, in [0, 1]; accuracy_low, accuracy_high, seconds_low,
            seconds_high, membership_low and membership_high, the ends of intervals, or NaN; shared,
            the names of the columns whose values come from another row, with spaces between.
        measures: The columns that get a panel, among accuracy, seconds_per_round,
            bytes_up_per_client, epsilon, reconstruction_ssim and membership_auc. Default: all.

    Returns:
        The figure.

    Raises:
        ValueError: The table has no rows or lacks a column, a defence appears twice, a value is out
            of range, or a measure is unknown; the message names the defence and the column.
    """
    _check(table)
    shown = _choose(measures)
    figure, panels = plt.subplots(1, len(shown), sharey=True, layout="constrained", squeeze=False)
    figure.set_size_inches(3.4 + 2.1 * len(shown), 1.6 + 0.56 * len(table))
    for ax, measure in zip(panels[0], shown, strict=True):
        _draw(ax, measure, table)
    names = [
        f"{name}; " + f"server rate {rate}".replace(" ", _NO_BREAK)
        for name, rate in zip(table.defence, table.server_learning_rate, strict=True)
    ]
    first = panels[0, 0]
    first.set_yticks(range(len(table)), [textwrap.fill(name, _LINE_LENGTH) for name in names])
    first.set_ylim(len(table) - 0.5, -0.5)
    _draw_legend(figure, {each.color for each in shown}, any(map(_split, table.shared)))
    return figure


def _choose(names: Sequence[str] | None) -> list[_Measure]:
    if names is None:
        return list(_MEASURES)
    by_name = {measure.column: measure for measure in _MEASURES}
    names = check_list("measures", names)
    check_not_empty("measures", names)
    return [by_name[check_choice("measures", name, by_name)] for name in names]


def _draw_legend(figure: Figure, colors: Container[str], has_hollow: bool) -> None:
    kinds = [("what it costs", _COST, "o", _COST), ("what it leaves to see", _LEAK, "D", _LEAK)]
    kinds = [kind for kind in kinds if kind[1] in colors]
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
    if measure.ends:
        ax.hlines(
            range(len(table)), *(table[end] for end in measure.ends), color=measure.color, lw=2
        )
    if measure.guess is not None:  # no use of the update
        name, guess = measure.guess
        ax.axvline(
            table[guess].iloc[0] if isinstance(guess, str) else guess,
            color="#444444",
            ls="--",
            lw=1.4,
        )
        ax.set_xlabel(f"- - {name}")
    if measure.column == "epsilon":
        deltas = " and ".join(f"{delta:.2g}" for delta in sorted(table.delta.unique()))
        ax.set_xlabel(f"at delta {deltas}")
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
    ranges |= {end: measure.bounds for measure in _MEASURES for end in measure.ends}
    ranges |= {"blank_ssim": (-1, 1), "delta": (0, 1)}
    check_table("table", table, ("defence", "server_learning_rate", *ranges, "shared"))
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
        for measure in _MEASURES:
            low, high = (row[end] for end in measure.ends) if measure.ends else (np.nan, np.nan)
            if row[measure.column] < low or row[measure.column] > high:
                raise ValueError(
                    f"{measure.column} of {name!r} must lie in its interval. Found "
                    f"{row[measure.column]} in [{low}, {high}]."
                )
