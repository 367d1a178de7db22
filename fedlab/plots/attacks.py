"""Pictures of attacks: rebuilt images, ROC curves, the audit of a promise of privacy."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from fedlab.checks import (
    check_array,
    check_instance,
    check_list,
    check_mapping,
    check_number,
    describe,
)
from fedlab.plots.data import digits_by_client
from fedlab.plots.style import (
    COLORS,
    check_vector,
    choose_colors,
    figure_of,
    legend_name,
    new_axes,
    picture,
)

_LEAST_SHOWN = 0.1  # the lowest epsilon of an audit's picture, whose axis is logarithmic


@picture
def reconstructions(
    rows: Mapping[str, npt.ArrayLike],
    scores: Mapping[str, float] | None = None,
) -> Axes:
    """Draws one row of images per attack, with its SSIM at the right of the row.

    Args:
        rows: From the name of a row to its images, float (n, 28, 28) in [0, 1]. Put the originals
            first.
        scores: From the name of a row to its score. Rows without a score are allowed.

    Returns:
        The Axes of the picture.

    Raises:
        ValueError: There are no rows, a score belongs to no row, or images have another shape or
            range; the message names the row.
    """
    rows = check_mapping("rows", rows)
    scores = {} if scores is None else check_instance("scores", scores, Mapping, "a dictionary")
    if unknown := [name for name in scores if name not in rows]:
        raise ValueError(
            f"scores: There is no row {describe(unknown[0])} to score. Found {', '.join(map(str, rows))}."
        )
    scores = {name: check_number(f"scores[{name!r}]", value) for name, value in scores.items()}
    ax = digits_by_client(
        rows, num_columns=max(len(np.atleast_1d(images)) for images in rows.values())
    )
    figure = figure_of(ax)
    width, height = figure.get_size_inches()
    # Room for the names at the left, the scores at the right and their title above.
    figure.set_size_inches(width + 0.1 * max(map(len, rows)) + 0.8, height + 0.3)
    right = ax.get_xlim()[1] + 6
    for name, value in scores.items():
        y = ax.get_yticks()[list(rows).index(name)]
        ax.text(right, y, f"{value:.2f}", va="center", fontsize=13)
    if scores:
        ax.text(right, 0, "SSIM", va="bottom", fontsize=13)
    return ax


@picture
def roc(
    rates: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]],
    *,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws ROC curves of membership attacks, and the diagonal of an attack that guesses.

    Args:
        rates: From the name of an attack to its false and its true positive rates, each float
            (num_points,) in [0, 1] and not falling, as in
            `fedlab.attacks.membership.AttackResult`.
        title: Title above the curves.
        ax: Axes to draw on. None: those of a new figure.

    Returns:
        The Axes of the picture.

    Raises:
        ValueError: There are no curves, or the rates of a curve are not as above; the message
            names the curve.
    """
    rates = check_mapping("rates", rates)
    curves = {name: _check_rates(name, pair) for name, pair in rates.items()}
    ax = ax or new_axes(5.6, 5.2)
    ax.plot([0, 1], [0, 1], color="#444444", ls="--", lw=1.4, label="a coin")
    colors = choose_colors(rates)
    for name, (fpr, tpr) in curves.items():
        ax.plot(fpr, tpr, color=colors[name], label=legend_name(name), drawstyle="steps-post")
    ax.set(xlabel="false positives (share of non-members)", xlim=(-0.01, 1.01))
    ax.set(ylabel="true positives (share of members)", ylim=(-0.01, 1.01))
    ax.set(aspect="equal", title=title or "")
    ax.legend(loc="lower right")
    return ax


@picture
def audit(
    noise_multipliers: npt.ArrayLike,
    upper: npt.ArrayLike,
    lower: npt.ArrayLike,
    *,
    delta: float,
    largest: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws an upper and a lower bound of epsilon against the noise, on log scales.

    The true epsilon lies between the bounds. A lower bound of 0 says nothing; it is drawn at 0.1, then
    the bottom of the picture.

    Args:
        noise_multipliers: float (num_runs,): noise multipliers, each above 0.
        upper: float (num_runs,): the accountant's epsilons in nats, each above 0.
        lower: float (num_runs,): the audit's epsilons in nats, each at least 0.
        delta: Delta of all epsilons, in (0, 1); the label of the axis names it.
        largest: The epsilon in nats, above 0, that an audit of this size shows if every guess is
            right; drawn as a line. None: no line.
        ax: Axes to draw on. None: those of a new figure.

    Returns:
        The Axes of the picture.

    Raises:
        TypeError: `delta` or `largest` is not a number.
        ValueError: There are no runs, the lengths differ, or a number is out of range.
    """
    noise = check_array("noise_multipliers", noise_multipliers, (None,), above=0).astype(float)
    high = check_array("upper", upper, (None,), above=0).astype(float)
    low = check_array("lower", lower, (None,), at_least=0).astype(float)
    delta = check_number("delta", delta, above=0, below=1)
    if largest is not None:
        largest = check_number("largest", largest, above=0)
    if not noise.shape == high.shape == low.shape:
        sizes = f"{len(noise)}, {len(high)} and {len(low)}"
        raise ValueError(
            f"noise_multipliers, upper and lower must have equal lengths. Found {sizes}."
        )
    ax = ax or new_axes(8, 4.5)
    bottom = 0.5 * low.min() if low.min() >= _LEAST_SHOWN else _LEAST_SHOWN
    ax.fill_between(noise, np.maximum(low, bottom), high, color=COLORS["neutral"], alpha=0.15, lw=0)
    ax.plot(noise, high, color=COLORS["model"], marker="v", label="accountant: at most this")
    low = np.maximum(low, bottom)
    ax.plot(noise, low, color=COLORS["update"], marker="^", label="audit: at least this")
    if largest is not None:
        label = "the most that this audit can show"
        ax.axhline(largest, color="#444444", ls=":", lw=1.6, label=label)
    ax.set(xscale="log", yscale="log", xlabel="noise multiplier")
    ax.set_ylabel(f"epsilon (nats) at delta {delta:.2g}")
    ax.set_xticks(noise, [f"{value:g}" for value in noise])
    ax.minorticks_off()
    ax.set_ylim(bottom=0.9 * bottom)
    ax.yaxis.set_major_formatter("{x:g}")
    ax.legend(loc="upper right")
    return ax


def _check_rates(
    name: str, pair: tuple[npt.ArrayLike, npt.ArrayLike]
) -> tuple[np.ndarray, np.ndarray]:
    rates_of_both = check_list(f"rates[{name!r}]", pair)
    if len(rates_of_both) != 2:
        raise ValueError(
            f"rates[{name!r}] must be false and true positive rates. Found {describe(pair)}."
        )
    fpr, tpr = rates_of_both
    false_rates = check_vector(f"The false positive rates of {name!r}", fpr)
    true_rates = check_vector(f"The true positive rates of {name!r}", tpr)
    if len(false_rates) != len(true_rates):
        sizes = f"{len(false_rates)} and {len(true_rates)}"
        raise ValueError(f"{name!r} needs one true for each false positive rate. Found {sizes}.")
    for rates in (false_rates, true_rates):
        if not ((rates >= 0).all() and (rates <= 1).all() and (np.diff(rates) >= 0).all()):
            raise ValueError(
                f"The rates of {name!r} must lie in [0, 1] and must not fall. Found {describe(rates)}."
            )
    return false_rates, true_rates
