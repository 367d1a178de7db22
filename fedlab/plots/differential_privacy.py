"""Pictures of differential privacy: what clipping cuts, what noise hides, what it costs."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter
from scipy.stats import norm

from fedlab.plots.checks import check_not_empty
from fedlab.plots.style import COLORS, colors_of, new_axes

_MARKERS = "os^DvPX*"
_PALE = "#B8B8B8"
_REACH = 4.0  # standard deviations of the bell curves that are drawn
_COLUMNS = ("target_epsilon", "accuracy")


def clipping(updates: np.ndarray, clip: float, *, ax: Axes | None = None) -> Axes:
    """Draws updates as arrows from one point, before (pale) and after clipping, and the circle.

    Args:
        updates: float (num_clients, 2), in the plane; finite.
        clip: Largest length that is left, above 0.
        ax: Axes to draw on; a figure of its own by default.

    Raises:
        ValueError: There are no updates, or they or the clip are not as above.
    """
    updates = _check_arrows(updates, "updates")
    _check_above_0(clip, "clip")
    lengths = np.linalg.norm(updates, axis=1, keepdims=True)
    clipped = updates * np.minimum(1, clip / np.maximum(lengths, 1e-12))
    ax = ax or new_axes(6.4, 5.6)
    _draw_arrows(ax, updates, _PALE, "as computed")
    _draw_arrows(ax, clipped, COLORS["model"], "as sent, clipped")
    ax.add_patch(Circle((0, 0), clip, fill=False, color=COLORS["update"], lw=2.2))
    ax.plot([], [], color=COLORS["update"], label=f"the clip: {clip:g}")
    _frame(ax, np.vstack([updates, [[clip, clip], [-clip, -clip]]]))
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax


def noisy_means(
    mean: np.ndarray, noisy: np.ndarray, stddev: float, *, ax: Axes | None = None
) -> Axes:
    """Draws one mean, what several draws of noise make of it, and how far the noise usually goes.

    Args:
        mean: float (2,): the true mean in the plane.
        noisy: float (num_draws, 2): mean plus noise.
        stddev: Of the noise in each direction, above 0; circles at one and two of them.
        ax: Axes to draw on; a figure of its own by default.

    Raises:
        ValueError: There are no draws, or a number is not as above.
    """
    (mean,) = _check_arrows(np.reshape(mean, (1, -1)), "mean")
    noisy = _check_arrows(noisy, "noisy")
    _check_above_0(stddev, "stddev")
    ax = ax or new_axes(6.4, 5.6)
    for times, name in ((1, "one standard deviation"), (2, "two")):
        style = {"color": COLORS["update"], "alpha": 0.16 / times, "lw": 0}
        ax.add_patch(Circle(mean, times * stddev, label=name, **style))
    _draw_arrows(ax, noisy, COLORS["update"], "published: with noise")
    _draw_arrows(ax, mean[np.newaxis], COLORS["model"], "the true mean")
    edges = [mean + 2.1 * stddev, mean - 2.1 * stddev]
    _frame(ax, np.vstack([noisy, mean, *edges]))
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax


def two_worlds(noise_multiplier: float, epsilon: float, *, ax: Axes | None = None) -> Axes:
    """Draws what one noised sum looks like with a client and without, along that client's update.

    The x axis is in units of the clip: without the client the sum lies at 0, with one that was
    clipped at 1. Filled: where the one is more than `exp(epsilon)` times as likely as the other, the
    part that is above that; its area is delta (Balle and Wang 2018).

    Args:
        noise_multiplier: Standard deviation over the clip, above 0.
        epsilon: At least 0.
        ax: Axes to draw on; a figure of its own by default.

    Raises:
        ValueError: A number is out of range.
    """
    _check_above_0(noise_multiplier, "noise_multiplier")
    if not 0 <= epsilon < np.inf:
        raise ValueError(f"epsilon must be a number of at least 0. Found {epsilon}.")
    ax = ax or new_axes(8, 4.2)
    places = np.linspace(-_REACH * noise_multiplier, 1 + _REACH * noise_multiplier, 400)
    without, with_one = (norm.pdf(places, center, noise_multiplier) for center in (0, 1))
    ceiling = np.exp(epsilon) * without
    ax.plot(places, without, color=COLORS["model"], label="without the client")
    ax.plot(places, with_one, color=COLORS["update"], label="with the client")
    ax.plot(places, ceiling, color=COLORS["model"], ls="--", lw=1.4, label="the left one × exp(ε)")
    is_above = with_one > ceiling
    style = {"color": COLORS["update"], "alpha": 0.35, "lw": 0}
    ax.fill_between(places, ceiling, with_one, where=is_above, label="δ: this area", **style)
    ax.set_ylim(0, 1.12 * with_one.max())
    ax.set(xlabel="the sum along the client's update, in clips", ylabel="probability density")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax


def accuracy_against_epsilon(
    runs_by_name: Mapping[str, pd.DataFrame], *, ax: Axes | None = None
) -> Axes:
    """Draws accuracy against epsilon: the mean of the seeds and the band from worst to best.

    Runs without noise, whose epsilon is infinite, are a dashed line with a band of its own.

    Args:
        runs_by_name: Name to a table with a row a run and the columns target_epsilon (above 0, or
            infinite) and accuracy (in [0, 1]).
        ax: Axes to draw on; a figure of its own by default.

    Raises:
        ValueError: There are no runs, none of a name has noise, a column is missing or a number is
            out of range (names the table).
    """
    check_not_empty(runs_by_name, "runs_by_name")
    for name, runs in runs_by_name.items():
        _check_runs(name, runs)
    colors = colors_of(runs_by_name)
    ax = ax or new_axes(8.5, 4.8)
    drawn = set()
    for number, (name, runs) in enumerate(runs_by_name.items()):
        color, marker = colors[name], _MARKERS[number % len(_MARKERS)]
        is_noisy = np.isfinite(runs.target_epsilon)
        seeds = runs[is_noisy].groupby("target_epsilon").accuracy
        drawn |= set(seeds.groups)
        ax.plot(seeds.mean(), color=color, marker=marker, label=name)
        ax.fill_between(seeds.mean().index, seeds.min(), seeds.max(), color=color, alpha=0.2, lw=0)
        without = runs[~is_noisy].accuracy
        if len(without):
            ax.axhspan(without.min(), without.max(), color=color, alpha=0.12, lw=0)
            ax.axhline(without.mean(), color=color, ls="--", lw=1.6, label=f"{name}, without noise")
    ax.set(xscale="log", xlabel="epsilon (nats): less is more private", ylabel="accuracy")
    ax.xaxis.set_major_locator(FixedLocator(sorted(drawn)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    ax.legend(loc="lower right")
    return ax


def _draw_arrows(ax: Axes, arrows: np.ndarray, color: str, label: str) -> None:
    start = np.zeros(len(arrows))
    style = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.007}
    ax.quiver(start, start, *arrows.T, color=color, label=label, **style)


def _frame(ax: Axes, points: np.ndarray) -> None:
    """Gives both directions one scale, and room for all the points and the origin."""
    points = np.vstack([points, [[0, 0]]])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.06 * (high - low).max()
    ax.set(xlim=(low[0] - margin, high[0] + margin), ylim=(low[1] - margin, high[1] + margin))
    ax.set_aspect("equal")


def _check_arrows(arrows: np.ndarray | Sequence, name: str) -> np.ndarray:
    arrows = np.asarray(arrows, float)
    if arrows.ndim != 2 or not len(arrows) or arrows.shape[1] != 2:
        raise ValueError(f"{name} must have two numbers each. Found shape {arrows.shape}.")
    if not np.isfinite(arrows).all():
        raise ValueError(f"{name} must be finite. Found NaN or infinity.")
    return arrows


def _check_above_0(value: float, name: str) -> None:
    if not 0 < value < np.inf:
        raise ValueError(f"{name} must be a number above 0. Found {value}.")


def _check_runs(name: str, runs: pd.DataFrame) -> None:
    if missing := [column for column in _COLUMNS if column not in runs]:
        raise ValueError(f"{name!r} must have the columns {', '.join(_COLUMNS)}. Lacks {missing}.")
    if not (runs.target_epsilon > 0).all():  # also for NaN
        raise ValueError(f"The target_epsilon of {name!r} must be above 0. Found others.")
    if not runs.accuracy.between(0, 1).all():
        raise ValueError(f"The accuracy of {name!r} must lie in [0, 1]. Divide percentages by 100.")
    if not np.isfinite(runs.target_epsilon).any():
        raise ValueError(f"{name!r} must hold at least one run with noise. Found none.")
