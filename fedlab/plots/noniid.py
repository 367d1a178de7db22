"""Pictures of clients that differ: how they drift, what it costs in rounds, who gains."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from fedlab.plots.checks import check_at_least_one, check_not_empty
from fedlab.plots.style import COLORS, LABELS, clean_cells, colors_of, key_of, new_axes

Paths = Sequence[np.ndarray]
Rounds = int | float | None
_MARKERS = "os^DvPX*"
_LINE = {"color": "#E6E6E6", "lw": 0.8, "zorder": 0}


def client_drift(
    paths_by_setting: Mapping[str, Paths],
    *,
    up: str = "along central training",
    sideways: str = "sideways, by PCA",
) -> Figure:
    """Draws where a round's clients go from the server's weights, one panel per setting.

    All panels have one scale, the same in both directions. Grey: a client, with a dot at the end
    of each step. Blue: the mean of the clients, which is where the server goes. Dashed: straight
    up, the way of central training.

    Args:
        paths_by_setting: Setting to the paths of its clients, each float (num_points, 2):
            sideways, up; every path begins at the server's weights, (0, 0), and all are equally
            long.
        up: What the vertical axis is.
        sideways: What the horizontal axis is.

    Returns:
        The figure, a panel per setting.

    Raises:
        ValueError: There are no settings or no clients, or the paths are not finite, differ in
            shape or do not begin at (0, 0) (names the setting).
    """
    check_not_empty(paths_by_setting, "paths_by_setting")
    settings = {name: _check_paths(name, paths) for name, paths in paths_by_setting.items()}
    every = np.concatenate([paths.reshape(-1, 2) for paths in settings.values()])
    low, high = every.min(axis=0), every.max(axis=0)
    margin = 0.06 * max(high - low)
    across, tall = high - low + 2 * margin
    width, height = 5.0 * across / max(across, tall), 5.0 * tall / max(across, tall)
    figure, panels = plt.subplots(
        1,
        len(settings),
        figsize=(1.0 + max(2.5, width) * len(settings), 1.8 + height),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, (name, paths) in zip(panels.flat, settings.items(), strict=True):
        _draw_drift(ax, paths)
        ax.set_title(name)
        ax.set(xlim=(low[0] - margin, high[0] + margin), ylim=(low[1] - margin, high[1] + margin))
        ax.set_aspect("equal")
        ax.xaxis.set_major_locator(MaxNLocator(4))
    figure.supxlabel(sideways, fontsize=13)
    figure.supylabel(up, fontsize=13)
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure


def rounds_to_target(
    rounds: Mapping[tuple[str, str], Sequence[Rounds]],
    num_rounds: int,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draws rounds to a target: a row per setting, in it a line per method, the fewer the better.

    The large mark is the median over seeds, the small ones are seeds. What does not get there
    counts as later than all, and lies in the grey strip at the right.

    Args:
        rounds: (method, setting) to the rounds to the target, one per seed; `None` or NaN: not
            reached. A method with a number ("FedProx 0.1") has its family's colour.
        num_rounds: After so many the runs ended, at least 1.
        ax: Axes to draw on; a figure of its own by default.

    Raises:
        ValueError: There are no rounds or no seeds, or a number is not between 0 and `num_rounds`.
    """
    check_not_empty(rounds, "rounds")
    check_at_least_one(num_rounds, "num_rounds")
    late = num_rounds + num_rounds / 10
    places = {key: _check_rounds(key, one, num_rounds, late) for key, one in rounds.items()}
    methods, settings = (list(dict.fromkeys(names)) for names in zip(*places, strict=True))
    ax = ax or new_axes(9, 1.6 + len(settings) * (0.25 + 0.14 * len(methods)))
    ax.axvspan(1.05 * num_rounds, 1.15 * num_rounds, color="#EEEEEE", lw=0, zorder=0)
    families = colors_of({_family(method): None for method in methods})
    for i, method in enumerate(methods):
        color, marker = families[_family(method)], _MARKERS[i % len(_MARKERS)]
        ax.plot([], [], marker, color=color, label=LABELS.get(key_of(method), method))
        offset = 0.8 * (i - (len(methods) - 1) / 2) / len(methods)
        for j, setting in enumerate(settings):
            if (method, setting) in places:
                seeds, y = places[method, setting], j + offset
                ax.plot(seeds, [y] * len(seeds), marker, color=color, ms=3, alpha=0.6)
                ax.plot(_middle(seeds, late), y, marker, color=color, ms=8)
    for j in range(1, len(settings)):
        ax.axhline(j - 0.5, **_LINE)
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


def client_changes(
    changes: pd.Series | Mapping[str, float], *, ax: Axes | None = None, title: str | None = None
) -> Axes:
    """Draws what each client gains or loses, sorted: who wins, who loses, for whom nothing changes.

    Args:
        changes: Client id to change of its accuracy, in [-1, 1].
        ax: Axes to draw on; a figure of its own by default.
        title: Title above the bars.

    Raises:
        ValueError: There are no clients, or a change is NaN or outside [-1, 1] (names the client).
    """
    ordered = pd.Series(changes, dtype=float).sort_values()
    check_not_empty(ordered, "changes")
    for client_id, value in ordered.items():
        if not -1 <= value <= 1:
            raise ValueError(
                f"Client {client_id!r} has the change {value}, not in [-1, 1]. Divide points by 100."
            )
    ax = ax or new_axes(8, 4.2)
    places = np.arange(1, len(ordered) + 1)
    width = 0.85 if len(ordered) <= 50 else 1.0  # thin gaps turn into stripes
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
    ax.legend(loc="lower right")  # where no bar is, unless all lose
    return ax


def settings_heatmap(
    values: pd.DataFrame, *, label: str, value_format: str = "{:.0%}", ax: Axes | None = None
) -> Axes:
    """Draws a number per method (rows) and setting (columns), each written into its cell.

    Args:
        values: Finite numbers, the larger the darker, from 0 on; index method, columns setting.
        label: What the numbers are.
        value_format: How they are written.
        ax: Axes to draw on; a figure of its own by default.

    Raises:
        ValueError: The table is empty or holds a number that is not finite.
    """
    check_not_empty(values, "values")
    cells = values.to_numpy(dtype=float)
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
        ax.plot(*path[1:].T, "o", color="#8A8A8A", ms=3)
    mean = paths.mean(axis=0)
    ax.plot(*mean.T, color=COLORS["fed_avg"], lw=3.5, label="their mean: the server")
    ax.plot(*mean[-1], "o", color=COLORS["fed_avg"], ms=10)
    ax.plot(0, 0, "o", color="black", ms=7)


def _check_paths(name: str, paths: Paths) -> np.ndarray:
    """Returns the paths as one array, (num_clients, num_points, 2)."""
    check_not_empty(paths, f"paths_by_setting[{name!r}]")
    arrays = [np.asarray(path, float) for path in paths]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1 or arrays[0].ndim != 2 or arrays[0].shape[1] != 2 or len(arrays[0]) < 2:
        raise ValueError(f"The paths of {name!r} must all be (num_points, 2). Found {shapes}.")
    found = np.stack(arrays)
    if not np.isfinite(found).all():
        raise ValueError(f"The paths of {name!r} must be finite. Found NaN or infinity.")
    if np.any(found[:, 0]):
        raise ValueError(
            f"The paths of {name!r} must begin at (0, 0): subtract the server's weights."
        )
    return found


def _check_rounds(
    key: tuple[str, str], rounds: Sequence[Rounds], num_rounds: int, late: float
) -> list[float]:
    """Returns where the seeds lie on the axis."""
    if not len(rounds):
        raise ValueError(f"rounds[{key!r}] must hold at least one seed. Found none.")
    places = [late if one is None or np.isnan(one) else float(one) for one in rounds]
    for place in places:
        if place != late and not 0 <= place <= num_rounds:
            raise ValueError(
                f"rounds[{key!r}] must lie between 0 and {num_rounds}. Found {place:g}."
            )
    return places


def _middle(places: list[float], late: float) -> float:
    """The median, as `fedlab.statistics.summarize_rounds` takes it: half of a late one is late."""
    ordered, middle = sorted(places), len(places) // 2
    pair = ordered[middle - 1 + len(places) % 2 : middle + 1]
    return late if late in pair else sum(pair) / len(pair)


def _family(method: str) -> str:
    """Returns a method's name without its number: "FedProx 0.1" is a "FedProx"."""
    return method.rstrip("0123456789. ") or method
