"""Pictures of clients with different data: drift, rounds to a target, gains and losses."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from fedlab.checks import (
    check_count,
    check_instance,
    check_list,
    check_mapping,
    check_not_empty,
    check_text,
    describe,
)
from fedlab.plots.style import (
    COLORS,
    LABELS,
    MARKERS,
    check_by_client,
    choose_colors,
    clean_cells,
    find_key,
    legend_name,
    new_axes,
    picture,
)
from fedlab.statistics.rounds import check_rounds

Paths: TypeAlias = Sequence[npt.ArrayLike]


@picture
def client_drift(
    paths_by_setting: Mapping[str, Paths],
    *,
    up: str = "along central training",
    sideways: str = "sideways, by PCA",
) -> Figure:
    """Draws how the weights of a round's clients move, with one panel per setting.

    All panels have the same two scales. The vertical one may be stretched against the horizontal
    one, for clients often go further sideways than upwards. A grey line is a client, with a dot at
    its end. The blue line is the mean of the clients, to which the server moves. The dashed line is
    the direction of central training.

    Args:
        paths_by_setting: From the name of a setting to the paths of its clients. A path is float
            (num_points, 2): sideways, up. It begins at the server's weights, (0, 0), and all paths
            of a setting have the same number of points, at least 2.
        up: Label of the vertical axis.
        sideways: Label of the horizontal axis.

    Returns:
        The figure.

    Raises:
        ValueError: There are no settings or no clients, or paths are not as above; the message
            names the setting.
    """
    paths_by_setting = check_mapping("paths_by_setting", paths_by_setting)
    settings = {name: _check_paths(name, paths) for name, paths in paths_by_setting.items()}
    points = np.concatenate([paths.reshape(-1, 2) for paths in settings.values()])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.06 * np.maximum(high - low, 1e-9)  # all paths may stand still
    figure, panels = plt.subplots(
        1,
        len(settings),
        figsize=(1.0 + 5.5 * len(settings), 5.2),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, (name, paths) in zip(panels.flat, settings.items(), strict=True):
        _draw_drift(ax, paths)
        ax.set_title(name)
        ax.set_xlim(low[0] - margin[0], high[0] + margin[0])
        ax.set_ylim(low[1] - margin[1], high[1] + margin[1])
        ax.xaxis.set_major_locator(MaxNLocator(4))
    figure.supxlabel(sideways, fontsize=13)
    figure.supylabel(up, fontsize=13)
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure


@picture
def rounds_to_target(
    rounds: Mapping[tuple[str, str], Sequence[float | None]],
    num_rounds: int,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draws the rounds to a target, with a row per setting and a line per method in it.

    A small mark is a seed, a large one the median over the seeds. A seed that does not reach the
    target counts as later than all others and is drawn in the grey strip at the right.

    Args:
        rounds: From (method, setting) to the rounds to the target, one number per seed. None or
            NaN: the target was not reached. "FedProx 0.1" has the colour of "FedProx".
        num_rounds: Number of rounds of each run, at least 1.
        ax: Axes to draw on. None: those of a new figure.

    Returns:
        The Axes of the picture.

    Raises:
        TypeError: `num_rounds` is not a whole number.
        ValueError: There are no rounds or no seeds, or a number is not between 0 and `num_rounds`.
    """
    rounds, num_rounds = check_mapping("rounds", rounds), check_count("num_rounds", num_rounds)
    late = num_rounds + num_rounds / 10
    places = {key: _check_rounds(key, seeds, num_rounds, late) for key, seeds in rounds.items()}
    methods, settings = (list(dict.fromkeys(names)) for names in zip(*places, strict=True))
    ax = ax or new_axes(9, 1.6 + len(settings) * (0.25 + 0.14 * len(methods)))
    ax.axvspan(1.05 * num_rounds, 1.15 * num_rounds, color="#EEEEEE", lw=0, zorder=0)
    families = choose_colors(dict.fromkeys(map(_family, methods)))
    for i, method in enumerate(methods):
        color, marker = families[_family(method)], MARKERS[i % len(MARKERS)]
        ax.plot(
            [], [], marker, color=color, label=legend_name(LABELS.get(find_key(method), method))
        )
        offset = 0.8 * (i - (len(methods) - 1) / 2) / len(methods)
        for j, setting in enumerate(settings):
            if (method, setting) in places:
                seeds, y = places[method, setting], j + offset
                ax.plot(seeds, [y] * len(seeds), marker, color=color, ms=5, alpha=0.5)
                ax.plot(_middle(seeds, late), y, marker, color=color, ms=9)
    for j in range(1, len(settings)):
        ax.axhline(j - 0.5, color="#E6E6E6", lw=0.8, zorder=0)
    ax.set_yticks(range(len(settings)), settings)
    ax.set_ylim(len(settings) - 0.4, -0.6)
    ax.set_xlim(-0.01 * num_rounds, 1.15 * num_rounds)
    ticks = MaxNLocator(6, integer=True).tick_values(0, num_rounds)
    ticks = [tick for tick in ticks if 0 <= tick <= num_rounds]
    ax.set_xticks([*ticks, late], [*(f"{tick:g}" for tick in ticks), "later"])
    ax.set_xlabel("rounds to the target")
    ax.grid(False, axis="y")
    ax.tick_params(axis="y", length=0)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax


@picture
def client_changes(
    changes: pd.Series | Mapping[str, float], *, ax: Axes | None = None, title: str | None = None
) -> Axes:
    """Draws each client's change in accuracy as a bar, sorted from loss to gain.

    Args:
        changes: From a client's id to the change of its accuracy, in [-1, 1].
        ax: Axes to draw on. None: those of a new figure.
        title: Title above the bars.

    Returns:
        The Axes of the picture.

    Raises:
        ValueError: There are no clients, or a change is NaN or outside [-1, 1]; the message names
            the client.
    """
    ordered = check_by_client("changes", changes, at_least=-1).sort_values()
    ax = ax or new_axes(8, 4.2)
    places = np.arange(1, len(ordered) + 1)
    width = 0.85 if len(ordered) <= 50 else 1.0  # narrow gaps would look like stripes
    for color, is_kind, label in (
        (COLORS["worst"], ordered < 0, "lose"),
        (COLORS["neutral"], ordered == 0, "as before"),
        (COLORS["model"], ordered > 0, "gain"),
    ):
        label = f"{int(is_kind.sum())} {label}"
        ax.bar(places[is_kind], 100 * ordered[is_kind], width, color=color, lw=0, label=label)
    ax.axhline(0, color="#444444", lw=1.2)
    ax.set(xlabel="clients, from loss to gain", ylabel="change in accuracy, in points")
    ax.set_title(title or "")
    ax.set_xlim(0.4, len(ordered) + 0.6)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+g}" if value else "0"))
    ax.grid(False, axis="x")
    ax.legend(loc="lower right")  # free of bars, unless every client loses
    return ax


@picture
def settings_heatmap(
    values: pd.DataFrame, *, label: str, value_format: str = "{:.0%}", ax: Axes | None = None
) -> Axes:
    """Draws a table of numbers as cells that are darker the larger the number.

    Args:
        values: A table of finite numbers, with a row per method and a column per setting. White
            stands for 0, or for the smallest number if that is negative.
        label: Title above the cells: what the numbers mean.
        value_format: Format string of the numbers.
        ax: Axes to draw on. None: those of a new figure.

    Returns:
        The Axes of the picture.

    Raises:
        ValueError: The table is empty or has a number that is not finite.
    """
    check_instance("values", values, pd.DataFrame, "a pandas DataFrame")
    check_text("value_format", value_format)
    check_not_empty("values", values)
    cells = values.to_numpy()
    if cells.dtype.kind not in "iuf":
        raise TypeError(f"values must be numbers. Found {describe(cells)}.")
    if not np.isfinite(cells).all():
        row, column = np.argwhere(~np.isfinite(cells))[0]
        where = f"{values.index[row]!r}, {values.columns[column]!r}"
        raise ValueError(f"values must be finite. Found {cells[row, column]} at {where}.")
    ax = ax or new_axes(2.4 + 1.15 * values.shape[1], 1.4 + 0.42 * len(values))
    low, high = min(0.0, cells.min()), cells.max()
    ax.imshow(cells, cmap="Blues", aspect="auto", vmin=low, vmax=high)
    for (row, column), value in np.ndenumerate(cells):
        color = "white" if value > low + 0.6 * (high - low) else "#222222"
        text = value_format.format(value)
        ax.text(column, row, text, ha="center", va="center", color=color, fontsize=12)
    ax.set_xticks(range(values.shape[1]), values.columns)
    ax.set_yticks(range(len(values)), values.index)
    ax.set_title(label)
    clean_cells(ax)
    return ax


def _draw_drift(ax: Axes, paths: np.ndarray) -> None:
    ax.axvline(0, color=COLORS["central"], ls="--", lw=1.4, label="central training goes up")
    for k, path in enumerate(paths):
        label = "a client" if k == 0 else None
        ax.plot(*path.T, "-", color="#8A8A8A", lw=1.2, label=label)
        ax.plot(*path[-1], "o", color="#8A8A8A", ms=6)
    mean = paths.mean(axis=0)
    ax.plot(*mean.T, color=COLORS["fed_avg"], lw=3.5, label="their mean: the server")
    ax.plot(*mean[-1], "o", color=COLORS["fed_avg"], ms=10)
    ax.plot(0, 0, "o", color="black", ms=7)


def _check_paths(name: str, paths: Paths) -> np.ndarray:
    """Returns the paths as one array, (num_clients, num_points, 2)."""
    entry = f"paths_by_setting[{name!r}]"
    check_not_empty(entry, paths := check_list(entry, paths))
    arrays = [np.asarray(path) for path in paths]
    if any(array.dtype.kind not in "iuf" for array in arrays):
        raise TypeError(f"{entry} must be numbers. Found {describe(paths)}.")
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1 or arrays[0].ndim != 2 or arrays[0].shape[1] != 2 or len(arrays[0]) < 2:
        raise ValueError(f"The paths of {name!r} must all be (num_points, 2). Found {shapes}.")
    stacked = np.stack(arrays)
    if not np.isfinite(stacked).all():
        raise ValueError(f"The paths of {name!r} must be finite. Found NaN or infinity.")
    if np.any(stacked[:, 0]):
        raise ValueError(
            f"The paths of {name!r} must begin at (0, 0): subtract the server's weights. Found "
            f"{stacked[0, 0]}."
        )
    return stacked


def _check_rounds(
    key: tuple[str, str], rounds: Sequence[float | None], num_rounds: int, late: float
) -> list[float]:
    """Returns the seeds' positions on the axis; `late` is that of a target that was not reached."""
    values = check_rounds(f"rounds[{key!r}]", rounds, num_rounds)
    return [late if np.isinf(value) else value for value in values]


def _middle(places: list[float], late: float) -> float:
    """Returns the median; it is `late` if one of the two middle values of an even number is."""
    ordered, middle = sorted(places), len(places) // 2
    pair = ordered[middle - 1 + len(places) % 2 : middle + 1]
    return late if late in pair else sum(pair) / len(pair)


def _family(method: str) -> str:
    """Returns a method's name without its number: "FedProx 0.1" is a "FedProx"."""
    return method.rstrip("0123456789. ") or method
