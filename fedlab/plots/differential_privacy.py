"""Pictures of differential privacy: clipping, noise, the meaning of epsilon, its cost."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter
from scipy.stats import norm

from fedlab.checks import check_array, check_mapping, check_number, check_table
from fedlab.plots.style import COLORS, MARKERS, choose_colors, legend_name, new_axes, picture

_PALE = "#B8B8B8"
_NUM_STDDEVS = 4.0  # how far the bell curves are drawn to either side
_COLUMNS = ("target_epsilon", "accuracy", "delta")


@picture
def clipping(updates: npt.ArrayLike, clip: float, *, ax: Axes | None = None) -> Axes:
    """Draws updates as arrows before (grey) and after clipping, and the clip as a circle.

    Args:
        updates: float (num_clients, 2): the clients' updates in a plane, finite.
        clip: Largest L2 norm of a clipped update, above 0.
        ax: Axes to draw on. None: those of a new figure.

    Returns:
        The Axes of the picture.

    Raises:
        TypeError: `clip` is not a number.
        ValueError: There are no updates, or an update or the clip is not as above.
    """
    updates = check_array("updates", updates, (None, 2)).astype(float)
    clip = check_number("clip", clip, above=0)
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


@picture
def noisy_means(
    mean: npt.ArrayLike, noisy: npt.ArrayLike, stddev: float, *, ax: Axes | None = None
) -> Axes:
    """Draws a mean, the same mean with several draws of noise, and the noise's spread.

    Circles around the mean have radii of one and two standard deviations.

    Args:
        mean: float (2,): the true mean in a plane.
        noisy: float (num_draws, 2): the mean plus noise.
        stddev: Standard deviation of the noise in each direction, above 0.
        ax: Axes to draw on. None: those of a new figure.

    Returns:
        The Axes of the picture.

    Raises:
        TypeError: `stddev` is not a number.
        ValueError: There are no draws, or a number is not as above.
    """
    true_mean = check_array("mean", mean, (2,)).astype(float)[np.newaxis]
    noisy = check_array("noisy", noisy, (None, 2)).astype(float)
    stddev = check_number("stddev", stddev, above=0)
    ax = ax or new_axes(6.4, 5.6)
    (x, y), color = true_mean[0].tolist(), COLORS["update"]
    for times, name in ((1, "one standard deviation"), (2, "two")):
        radius, alpha = times * stddev, 0.16 / times
        ax.add_patch(Circle((x, y), radius, label=name, color=color, alpha=alpha, lw=0))
    _draw_arrows(ax, noisy, COLORS["update"], "published: with noise")
    _draw_arrows(ax, true_mean, COLORS["model"], "the true mean")
    reach = 2.1 * stddev
    _frame(ax, np.vstack([noisy, true_mean, true_mean + reach, true_mean - reach]))
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax


@picture
def two_worlds(noise_multiplier: float, epsilon: float, *, ax: Axes | None = None) -> Axes:
    """Draws the densities of a noised sum with a client and without, along that client's update.

    The x axis is in units of the clip: the mean of the sum is 0 without the client, and 1 with a
    client whose update has the largest length. The filled area lies under the density with the
    client and above `exp(epsilon)` times the density without; it is delta (Balle and Wang 2018, theorem
    8), and the legend has its value.

    Args:
        noise_multiplier: Standard deviation of the noise divided by the clip, above 0.
        epsilon: Epsilon in nats, at least 0.
        ax: Axes to draw on. None: those of a new figure.

    Returns:
        The Axes of the picture.

    Raises:
        TypeError: An argument is not a number.
        ValueError: A number is out of range.
    """
    noise_multiplier = check_number("noise_multiplier", noise_multiplier, above=0)
    epsilon = check_number("epsilon", epsilon, at_least=0)
    ax = ax or new_axes(8, 4.2)
    places = np.linspace(-_NUM_STDDEVS * noise_multiplier, 1 + _NUM_STDDEVS * noise_multiplier, 400)
    without_client, with_client = (norm.pdf(places, center, noise_multiplier) for center in (0, 1))
    ceiling = np.exp(epsilon) * without_client
    ax.plot(places, without_client, color=COLORS["model"], label="without the client")
    ax.plot(places, with_client, color=COLORS["update"], label="with the client")
    ax.plot(places, ceiling, color=COLORS["model"], ls="--", lw=1.4, label="the left one × exp(ε)")
    near, far = norm.cdf(np.array([0.5, -0.5]) / noise_multiplier - epsilon * noise_multiplier)
    label = f"this area: δ = {near - np.exp(epsilon) * far:.2g}"
    is_above, color = with_client > ceiling, COLORS["update"]
    ax.fill_between(
        places, ceiling, with_client, is_above, color=color, alpha=0.35, lw=0, label=label
    )
    ax.set_ylim(0, 1.12 * with_client.max())
    ax.set(xlabel="the sum along the client's update, in clips", ylabel="probability density")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax


@picture
def accuracy_against_epsilon(
    runs_by_name: Mapping[str, pd.DataFrame], *, ax: Axes | None = None
) -> Axes:
    """Draws accuracy against epsilon: the mean over seeds and a band from the worst to the best.

    Runs without noise have an infinite epsilon and are drawn as a dashed line with a band.

    Args:
        runs_by_name: From a name to a table with a row per run and the columns target_epsilon, in
            nats, above 0 or infinite, accuracy, in [0, 1], and delta, in (0, 1), which the legend
            names: an epsilon says nothing without it.
        ax: Axes to draw on. None: those of a new figure.

    Returns:
        The Axes of the picture.

    Raises:
        ValueError: There are no runs, a table has no run with noise, a column is missing, or a
            number is out of range; the message names the table.
    """
    runs_by_name = check_mapping("runs_by_name", runs_by_name)
    for name, runs in runs_by_name.items():
        _check_runs(name, runs)
    colors = choose_colors(runs_by_name)
    ax = ax or new_axes(8.5, 4.8)
    epsilons: set[float] = set()
    for number, (name, runs) in enumerate(runs_by_name.items()):
        color, marker = colors[name], MARKERS[number % len(MARKERS)]
        is_noisy = np.isfinite(runs.target_epsilon)
        seeds = runs[is_noisy].groupby("target_epsilon").accuracy
        epsilons |= set(seeds.groups)
        deltas = " and ".join(f"{delta:.2g}" for delta in sorted(runs[is_noisy].delta.unique()))
        label = legend_name(f"{name}, delta {deltas}")
        ax.plot(seeds.mean(), color=color, marker=marker, label=label)
        ax.fill_between(seeds.mean().index, seeds.min(), seeds.max(), color=color, alpha=0.2, lw=0)
        without = runs[~is_noisy].accuracy
        if len(without):
            ax.axhspan(without.min(), without.max(), color=color, alpha=0.12, lw=0)
            ax.axhline(
                without.mean(),
                color=color,
                ls="--",
                lw=1.6,
                label=legend_name(f"{name}, without noise"),
            )
    ax.set(xscale="log", xlabel="epsilon (nats): less is more private", ylabel="accuracy")
    ax.xaxis.set_major_locator(FixedLocator(sorted(epsilons)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    ax.legend(loc="lower right")
    return ax


def _draw_arrows(ax: Axes, arrows: np.ndarray, color: str, label: str) -> None:
    start = np.zeros(len(arrows))
    ax.quiver(
        start, start, *arrows.T, color=color, label=label,
        angles="xy", scale_units="xy", scale=1, width=0.007,
    )  # fmt: skip


def _frame(ax: Axes, points: np.ndarray) -> None:
    """Sets equal scales in both directions, and limits that contain the points and the origin."""
    points = np.vstack([points, [[0, 0]]])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.06 * (high - low).max()
    ax.set(xlim=(low[0] - margin, high[0] + margin), ylim=(low[1] - margin, high[1] + margin))
    ax.set_aspect("equal")


def _check_runs(name: str, runs: pd.DataFrame) -> None:
    check_table(f"runs_by_name[{name!r}]", runs, _COLUMNS)
    epsilons, accuracies = f"The target_epsilon of {name!r}", f"The accuracy of {name!r}"
    check_array(epsilons, runs.target_epsilon, (None,), above=0, is_finite=False)
    hint = " Divide percentages by 100."
    check_array(accuracies, runs.accuracy, (None,), at_least=0, at_most=1, hint=hint)
    check_array(f"The delta of {name!r}", runs.delta, (None,), above=0, at_most=1)
    if not np.isfinite(runs.target_epsilon).any():
        raise ValueError(f"{name!r} must have at least one run with noise. Found none.")
