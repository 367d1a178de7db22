"""Pictures of secure sums: the protocol, masks that cancel, what arrives at a server."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter

from fedlab.plots.checks import check_not_empty
from fedlab.plots.style import COLORS, clean_cells, new_axes

_STEPS = (  # step, what goes up, what comes down
    ("1  advertise keys", "two public keys", "everybody's public keys"),
    ("2  share keys", "shares of two secrets,\nencrypted", "the shares that are\nfor this client"),
    ("3  masked input", "the vector\nbehind its masks", "who has survived"),
    ("4  unmask", "one share\nof each client", ""),
)
_NUM_BINS = 50
_MOST_MASKS = 12


def secure_aggregation(step: int | None = None) -> Axes:
    """Draws the four steps of secure aggregation: what the clients send up and are sent down.

    Args:
        step: 1 to 4 to highlight one step (the others turn pale), or None.

    Raises:
        ValueError: For another step.
    """
    if step not in (None, 1, 2, 3, 4):
        raise ValueError(f"step must be 1, 2, 3, 4 or None. Found {step}.")
    ax = new_axes(11, 3.8)
    ax.set(xlim=(0, 11), ylim=(0, 3.8))
    ax.axis("off")
    for bottom, who in ((2.75, "the clients"), (0.05, "the server")):
        ax.add_patch(Rectangle((0.05, bottom), 10.9, 0.55, color="#F4F6F8"))
        ax.text(0.2, bottom + 0.27, who, va="center", fontsize=13, weight="bold")
    for number, (name, up, down) in enumerate(_STEPS, start=1):
        left, alpha = 2.65 * number - 2.45, 1.0 if step in (None, number) else 0.25
        ax.text(left, 3.52, name, va="center", fontsize=13.5, weight="bold", alpha=alpha)
        _arrow(ax, left + 0.1, (2.7, 0.65), COLORS["update"], alpha)
        _write(ax, left + 0.5, 2.15, up, COLORS["update"], alpha)
        if down:
            _arrow(ax, left + 0.35, (0.65, 2.7), COLORS["model"], alpha)
            _write(ax, left + 0.5, 1.2, down, COLORS["model"], alpha)
    return ax


def _arrow(ax: Axes, x: float, ends: tuple[float, float], color: str, alpha: float) -> None:
    style = {"arrowstyle": "-|>", "color": color, "lw": 2, "alpha": alpha}
    ax.annotate("", xy=(x, ends[1]), xytext=(x, ends[0]), arrowprops=style)


def _write(ax: Axes, x: float, y: float, text: str, color: str, alpha: float) -> None:
    ax.text(x, y, text, va="center", fontsize=11.5, color=color, alpha=alpha)


def pairwise_masks(masks: pd.DataFrame, *, title: str | None = None) -> Axes:
    """Draws the mask that each client (a row) has in common with each other (a column), signed.

    Args:
        masks: int (n, n), n from 2 to 12, the same names down and across; what the row's client
            adds. Zeros on the diagonal are left blank.
        title: Title above the map.

    Raises:
        ValueError: The names down and across differ, there are too few or too many, or a value is
            not finite.
    """
    if list(masks.index) != list(masks.columns):
        raise ValueError("masks must have the same names down and across. Found others.")
    if not 2 <= len(masks) <= _MOST_MASKS:
        raise ValueError(f"masks must be of 2 to {_MOST_MASKS} clients. Found {len(masks)}.")
    cells = masks.to_numpy(dtype=float)
    if not np.isfinite(cells).all():
        raise ValueError("masks must be finite. Found some that are not.")
    largest = max(1.0, float(np.abs(cells).max()))
    ax = new_axes(2.0 + 0.95 * len(masks), 1.4 + 0.6 * len(masks))
    ax.imshow(cells, cmap="RdBu", vmin=-1.5 * largest, vmax=1.5 * largest, aspect="auto")
    for (row, column), value in np.ndenumerate(cells):
        if row != column:
            ax.text(column, row, f"{value:+.0f}", ha="center", va="center", fontsize=13)
    ax.set_xticks(range(len(masks)), masks.columns)
    ax.set_yticks(range(len(masks)), masks.index)
    ax.set(xlabel="in common with", ylabel="who adds it")
    ax.set_title(title or "")
    clean_cells(ax)
    return ax


def what_arrives(
    images: Mapping[str, np.ndarray],
    shares: Mapping[str, np.ndarray] | None = None,
    *,
    xlabel: str = "value, as a share of the modulus",
) -> Figure:
    """Draws a part of what a receiver gets as an image, above a histogram of all of it.

    Args:
        images: Name to numbers (rows, columns); each is drawn from its own smallest value, white,
            to its largest, black.
        shares: The same names to all numbers, in [0, 1]. Default: no histograms.
        xlabel: Of the histograms.

    Returns:
        The figure, a column per name.

    Raises:
        ValueError: There are no images, an image has no two dimensions, the names differ, or a
            number is not in [0, 1].
    """
    check_not_empty(images, "images")
    for name, image in images.items():
        if np.ndim(image) != 2:
            raise ValueError(f"images[{name!r}] must have 2 dimensions. Found {np.ndim(image)}.")
    if shares is not None and list(shares) != list(images):
        raise ValueError(f"shares must be of {list(images)}. Found {list(shares)}.")
    heights = [2.6] if shares is None else [2.6, 1.6]
    figure, panels = plt.subplots(
        len(heights),
        len(images),
        figsize=(max(4.0, 3.1 * len(images)), sum(heights) + 0.6),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    for ax, (name, image) in zip(panels[0], images.items(), strict=True):
        ax.imshow(image, cmap="gray_r", interpolation="nearest")
        ax.set_title(name, fontsize=13)
        ax.axis("off")
    if shares is not None:
        for ax, (name, numbers) in zip(panels[1], shares.items(), strict=True):
            _draw_histogram(ax, name, np.ravel(numbers))
        figure.supxlabel(xlabel, fontsize=13)
        panels[1, 0].set_ylabel("of the numbers")
    return figure


def _draw_histogram(ax: Axes, name: str, numbers: np.ndarray) -> None:
    if not (numbers.size and numbers.min() >= 0 and numbers.max() <= 1):  # also for NaN
        raise ValueError(f"shares[{name!r}] must be numbers in [0, 1]. Found others.")
    weights = np.full(numbers.size, 1 / numbers.size)
    ax.hist(numbers, np.linspace(0, 1, _NUM_BINS + 1), weights=weights, color=COLORS["neutral"])
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.yaxis.set_major_locator(MaxNLocator(3))
    ax.set(xlim=(0, 1), xticks=[0, 0.5, 1])
    ax.grid(False, axis="x")
