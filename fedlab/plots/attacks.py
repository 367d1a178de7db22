"""Pictures of attacks: what was rebuilt, who was found, what an audit has shown."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from fedlab.plots.checks import check_not_empty
from fedlab.plots.data import digits_by_client
from fedlab.plots.style import COLORS, colors_of, new_axes

_ROW_HEIGHT, _IMAGE_MIDDLE = 32, 17.5  # pixels, as `digits_by_client` draws its rows


def reconstructions(
    rows: Mapping[str, np.ndarray],
    scores: Mapping[str, float] | None = None,
    *,
    score_format: str = "{:.2f}",
    score_name: str = "SSIM",
) -> Axes:
    """Draws one row of images per attack, the originals' row first, with a score on the right.

    Args:
        rows: Name to float (n, 28, 28) in [0, 1].
        scores: Name of a row to its score; the others have none.
        score_format: Format of the written scores.
        score_name: Written above the scores.

    Raises:
        ValueError: There are no rows, a score is of no row, or images have another shape or range
            (names the row).
    """
    check_not_empty(rows, "rows")
    scores = scores or {}
    if unknown := sorted(set(scores) - set(rows)):
        raise ValueError(f"There is no row {unknown[0]!r} to score. Rows: {', '.join(rows)}.")
    ax = digits_by_client(rows, num_columns=max(len(images) for images in rows.values()))
    width, height = ax.figure.get_size_inches()
    ax.figure.set_size_inches(width + 0.1 * max(map(len, rows)) + 0.8, height + 0.3)  # for the text
    right = ax.get_xlim()[1] + 6
    for name, value in scores.items():
        y = _ROW_HEIGHT * list(rows).index(name) + _IMAGE_MIDDLE
        ax.text(right, y, score_format.format(value), va="center", fontsize=13)
    if scores:
        ax.text(right, 0, score_name, va="bottom", fontsize=13)
    return ax


def roc(
    rates: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws ROC curves: who was found, against who was accused for nothing; the diagonal is a coin.

    Args:
        rates: Name to (fpr, tpr), each float (num_points,) in [0, 1] and not falling, as in
            `fedlab.attacks.membership.AttackResult`.
        title: Title above the curves.
        ax: Axes to draw on; a figure of its own by default.

    Raises:
        ValueError: There are no curves, or rates that are none (names the curve).
    """
    check_not_empty(rates, "rates")
    for name, pair in rates.items():
        _check_rates(name, *pair)
    ax = ax or new_axes(5.6, 5.2)
    ax.plot([0, 1], [0, 1], color="#444444", ls="--", lw=1.4, label="a coin")
    colors = colors_of(rates)
    for name, (fpr, tpr) in rates.items():
        ax.plot(fpr, tpr, color=colors[name], label=name, drawstyle="steps-post")
    ax.set(xlabel="false positives (share of non-members)", xlim=(-0.01, 1.01))
    ax.set(ylabel="true positives (share of members)", ylim=(-0.01, 1.01))
    ax.set(aspect="equal", title=title or "")
    ax.legend(loc="lower right")
    return ax


def audit(
    noise_multipliers: Sequence[float],
    upper: Sequence[float],
    lower: Sequence[float],
    *,
    most: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws the accountant's epsilon above the one that an audit has shown, on log scales.

    The true one lies between. A lower bound of 0, which shows nothing, is drawn at the bottom.

    Args:
        noise_multipliers: Of the runs, each above 0.
        upper: The accountant's epsilons, each above 0.
        lower: The audit's, each at least 0.
        most: What an audit of this size can show if every guess is right.
        ax: Axes to draw on; a figure of its own by default.

    Raises:
        ValueError: There are no runs, the lengths differ, or a number is out of range.
    """
    noise, high, low = (np.asarray(one, float) for one in (noise_multipliers, upper, lower))
    if noise.ndim != 1 or not len(noise) or not noise.shape == high.shape == low.shape:
        shapes = f"{noise.shape}, {high.shape} and {low.shape}"
        raise ValueError(f"There must be one upper and one lower per run. Found {shapes}.")
    if not ((noise > 0).all() and (high > 0).all() and (low >= 0).all()):
        raise ValueError("Noise and upper must be above 0, and lower at least 0.")
    ax = ax or new_axes(8, 4.5)
    bottom = 0.1
    ax.fill_between(noise, np.maximum(low, bottom), high, color=COLORS["neutral"], alpha=0.15, lw=0)
    style = {"color": COLORS["model"], "marker": "v"}
    ax.plot(noise, high, label="accountant: at most this", **style)
    style = {"color": COLORS["update"], "marker": "^"}
    ax.plot(noise, np.maximum(low, bottom), label="audit: at least this", **style)
    if most is not None:
        label = "the most that this audit can show"
        ax.axhline(most, color="#444444", ls=":", lw=1.6, label=label)
    ax.set(xscale="log", yscale="log", xlabel="noise multiplier", ylabel="epsilon (nats)")
    ax.set_xticks(noise, [f"{one:g}" for one in noise])
    ax.minorticks_off()
    ax.set_ylim(bottom=0.9 * bottom)
    ax.yaxis.set_major_formatter("{x:g}")
    ax.legend(loc="upper right")
    return ax


def _check_rates(name: str, fpr: np.ndarray, tpr: np.ndarray) -> None:
    pair = [np.asarray(one, float) for one in (fpr, tpr)]
    if pair[0].ndim != 1 or not len(pair[0]) or pair[0].shape != pair[1].shape:
        shapes = " and ".join(str(one.shape) for one in pair)
        raise ValueError(f"{name!r} needs one tpr per fpr, as vectors. Found {shapes}.")
    for one in pair:
        if not ((one >= 0).all() and (one <= 1).all() and (np.diff(one) >= 0).all()):
            raise ValueError(f"The rates of {name!r} must lie in [0, 1] and must not fall.")
