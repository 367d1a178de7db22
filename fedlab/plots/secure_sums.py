"""Pictures of secure sums: the protocol, masks that cancel, the values that a server receives."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter

from fedlab.checks import check_array, check_instance, check_mapping, describe
from fedlab.plots.style import COLORS, clean_cells, new_axes, picture

_STEPS = (  # step, message of a client, message of the server, what the server has then
    ("1  advertise keys", "two public keys,\nsigned", "everybody's\npublic keys", "public keys"),
    (
        "2  share keys",
        "shares of two secrets,\nencrypted",
        "the shares that are\nfor this client",
        "shares that\nit cannot read",
    ),
    (
        "3  masked input",
        "the vector\nbehind its masks",
        "who has survived",
        "four vectors\nof noise",
    ),
    (
        "4  consistency check",
        "a signature\nof this list",
        "everybody's\nsignatures",
        "proof of one list\nfor all",
    ),
    ("5  unmask", "one share\nof each client", "", "the sum\nof the four"),
)
_NUM_PEOPLE, _LOST, _LOSES_AT = 5, 3, 3  # clients drawn; the one that drops out, in which step
_NUM_BINS = 50
_MOST_MASKS = 12


@picture
def secure_aggregation() -> Axes:
    """Draws the five steps of secure aggregation for five clients, of which one drops out.

    Returns:
        The Axes of the picture.
    """
    ax = new_axes(13.6, 5.0)
    ax.set(xlim=(0, 13.6), ylim=(0, 5.0), aspect="equal")
    ax.axis("off")
    ax.set_title("One client of five drops out; the server has the sum of the others")
    for bottom, who in ((3.65, "the\nclients"), (0.05, "the\nserver\nhas")):
        ax.add_patch(Rectangle((0.05, bottom), 13.5, 0.85, color="#F4F6F8"))
        ax.text(0.2, bottom + 0.42, who, va="center", fontsize=13, weight="bold")
    for number, (name, up, down, has) in enumerate(_STEPS, start=1):
        left = 2.48 * number - 1.3
        ax.text(left, 4.75, name, va="center", fontsize=13, weight="bold")
        _draw_people(ax, left, number)
        _arrow(ax, left + 0.1, (3.6, 0.95), COLORS["update"])
        _write(ax, left + 0.5, 2.95, up, COLORS["update"])
        if down:
            _arrow(ax, left + 0.35, (0.95, 3.6), COLORS["model"])
            _write(ax, left + 0.5, 1.6, down, COLORS["model"])
        _write(ax, left, 0.47, has, "#222222")
    return ax


def _draw_people(ax: Axes, left: float, step: int) -> None:
    """Draws a row of clients; from its step on the one that drops out is crossed out."""
    for i in range(_NUM_PEOPLE):
        x, y, is_lost = left + 0.17 + 0.42 * i, 4.1, i == _LOST and step >= _LOSES_AT
        line, face = ("--", "white") if is_lost else ("-", COLORS["update"])
        edge = "#8A8A8A" if is_lost else COLORS["update"]
        ax.add_patch(Circle((x, y), 0.15, fc=face, ec=edge, ls=line, lw=1.6))
        if is_lost:
            ax.plot(x, y, "x", color="#222222", ms=9, mew=2)
            if step == _LOSES_AT:
                ax.text(x, 3.78, "drops out", ha="center", va="center", fontsize=11)


def _arrow(ax: Axes, x: float, ends: tuple[float, float], color: str) -> None:
    arrow = {"arrowstyle": "-|>", "color": color, "lw": 2}
    ax.annotate("", xy=(x, ends[1]), xytext=(x, ends[0]), arrowprops=arrow)


def _write(ax: Axes, x: float, y: float, text: str, color: str) -> None:
    ax.text(x, y, text, va="center", fontsize=12.5, color=color)


@picture
def pairwise_masks(masks: pd.DataFrame, *, title: str | None = None) -> Axes:
    """Draws the masks that pairs of clients share, with the sign with which each adds them.

    Args:
        masks: int (n, n), n from 2 to 12, with the same names as rows and as columns: the mask that
            the row's client shares with the column's client, as the row's client adds it. The
            diagonal is not drawn.
        title: Title above the map.

    Returns:
        The Axes of the picture.

    Raises:
        ValueError: The names of rows and columns differ, there are too few or too many, or a value
            is not finite.
    """
    check_instance("masks", masks, pd.DataFrame, "a pandas DataFrame")
    if list(masks.index) != list(masks.columns):
        names = f"{list(masks.index)} and {list(masks.columns)}"
        raise ValueError(f"masks must have the same names as rows and as columns. Found {names}.")
    if not 2 <= len(masks) <= _MOST_MASKS:
        raise ValueError(f"masks must be of 2 to {_MOST_MASKS} clients. Found {len(masks)}.")
    cells = check_array("masks", masks.to_numpy(), masks.shape).astype(float)
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


@picture
def received_values(
    images: Mapping[str, npt.ArrayLike],
    shares: Mapping[str, npt.ArrayLike] | None = None,
) -> Figure:
    """Draws some of the values that a server receives as an image, and all as a histogram.

    Args:
        images: From a name to numbers (num_rows, num_columns), drawn from the smallest, white, to
            the largest, black.
        shares: From the same names to all values, each divided by the modulus, in [0, 1] and of
            any shape. None: no histograms.

    Returns:
        The figure, with a column per name.

    Raises:
        ValueError: There are no images, an image does not have two dimensions, the names differ, or
            a share is not in [0, 1].
    """
    images = {
        name: check_array(f"images[{name!r}]", image, (None, None))
        for name, image in check_mapping("images", images).items()
    }
    if shares is not None:
        shares = check_mapping("shares", shares)
        if list(shares) != list(images):
            names = f"{describe(list(images))}. Found {describe(list(shares))}"
            raise ValueError(f"shares must have the names {names}.")
        shares = {
            name: check_array(f"shares[{name!r}]", np.ravel(each), (None,), at_least=0, at_most=1)
            for name, each in shares.items()
        }
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
        for ax, numbers in zip(panels[1], shares.values(), strict=True):
            _draw_histogram(ax, np.ravel(numbers))
        figure.supxlabel("value, as a share of the modulus", fontsize=13)
        panels[1, 0].set_ylabel("of the numbers")
    return figure


def _draw_histogram(ax: Axes, numbers: np.ndarray) -> None:
    weights = np.full(numbers.size, 1 / numbers.size)
    edges = list(np.linspace(0, 1, _NUM_BINS + 1))
    ax.hist(numbers, edges, weights=weights, color=COLORS["neutral"])
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.yaxis.set_major_locator(MaxNLocator(3))
    ax.set(xlim=(0, 1), xticks=[0, 0.5, 1])
    ax.grid(False, axis="x")
