"""The article's two drawings, redrawn, with what is wrong in them marked; all lengths are inches."""

from itertools import pairwise

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from fedlab.plots.style import COLORS

_INK, _PAPER = "#222222", "#F4F6F8"
_MARK = "#AA3377"  # of a mistake; the colour of updates is near that of the worst clients
_ARROW = COLORS["neutral"]


def architecture_of_the_article() -> Axes:
    """Draws the article's architecture: arrows up to the server, and the way down that it lacks.

    Returns:
        The Axes of the picture.
    """
    ax = _canvas(10.0, 4.9, "The article's drawing: no model goes back to the clients")
    _box(ax, 3.2, 3.9, 3.6, 0.8, "central server:\naggregates the parameters")
    _box(ax, 7.6, 3.9, 2.2, 0.8, "global model,\nupdated")
    _arrow(ax, (6.85, 4.3), (7.55, 4.3))
    for x, side, name in ((2.2, 1, "client 1"), (7.0, -1, "client 2")):
        _box(ax, x - 1.3, 0.2, 2.6, 0.8, f"{name}:\ndata stays local")
        _box(ax, x - 1.3, 1.7, 2.6, 0.7, "model training")
        _arrow(ax, (x, 1.05), (x, 1.65))
        _arrow(ax, (x, 2.45), (x + side * 1.6, 3.85))
        start, end = (x + side * 1.15, 3.85), (x - side * 0.45, 2.45)
        _arrow(ax, start, end, _MARK, dashed=True)
    ax.text(
        4.6, 2.85, "missing: the new model\ngoes down to the clients,\nround after round",
        ha="center", va="center", color=_MARK, fontsize=14, weight="bold",
    )  # fmt: skip
    return ax


def training_of_the_article() -> Axes:
    """Draws the article's training: a chain of clients; and, below it, what FedAvg does.

    Returns:
        The Axes of the picture.
    """
    ax = _canvas(11.0, 5.3, "The article's clients train one after the other")
    texts = (
        "initial\nmodel",
        "client 1\ntrains",
        "client 2\ntrains",
        "…",
        "upload",
        "server\naggregates",
    )
    boxes = [(0.1 + 1.85 * i, text) for i, text in enumerate(texts)]
    for x, text in boxes:
        _box(ax, x, 3.75, 1.4, 0.9, text)
    for (x, _), (after, _) in pairwise(boxes):
        is_wrong = boxes[1][0] <= x < boxes[3][0]
        _arrow(ax, (x + 1.43, 4.2), (after - 0.03, 4.2), _MARK if is_wrong else _ARROW)
    ax.text(
        boxes[2][0] + 0.7, 3.42, "wrong: no client gets another client's model",
        ha="center", va="center", color=_MARK, fontsize=14, weight="bold",
    )  # fmt: skip
    ax.text(0.1, 4.95, "as drawn in the article", va="center", fontsize=13)
    ax.plot([0.1, 10.9], [3.05, 3.05], color="#C4CBD2", lw=1)
    ax.text(0.1, 2.75, "FedAvg: the same model to all, at the same time", va="center", fontsize=13)
    _box(ax, 0.1, 0.95, 1.6, 0.9, "global\nmodel")
    _box(ax, 8.0, 0.95, 1.9, 0.9, "server:\nweighted mean")
    for y, name in ((1.95, "client 1 trains"), (1.05, "client 2 trains"), (0.15, "… trains")):
        _box(ax, 3.6, y, 2.6, 0.65, name)
        _arrow(ax, (1.75, 1.4), (3.55, y + 0.32), COLORS["model"])
        _arrow(ax, (6.25, y + 0.32), (7.95, 1.4), COLORS["update"])
    ax.text(9.95, 1.4, " next\n round", va="center", fontsize=13)
    return ax


def _canvas(width: float, height: float, title: str) -> Axes:
    """Returns empty Axes on which one unit is one inch."""
    figure = plt.figure(figsize=(width, height + 0.5), layout="none")
    ax = figure.add_axes((0, 0, 1, height / (height + 0.5)), xlim=(0, width), ylim=(0, height))
    ax.axis("off")
    ax.text(width / 2, height + 0.2, title, ha="center", va="center", fontsize=18)
    return ax


def _box(ax: Axes, x: float, y: float, width: float, height: float, text: str) -> None:
    style = "round,pad=0,rounding_size=0.1"
    ax.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=style, ec=_ARROW, fc=_PAPER, lw=2))
    ax.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=13, color=_INK)


def _arrow(
    ax: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    color: str = _ARROW,
    *,
    dashed: bool = False,
) -> None:
    style = "--" if dashed else "-"
    ax.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=16, color=color, lw=2.4, ls=style,
            shrinkA=0, shrinkB=0,
        )
    )  # fmt: skip
