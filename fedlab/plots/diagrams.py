"""Diagrams of federated learning, drawn from patches and arrows; all lengths are inches."""

import math
import textwrap
from collections.abc import Sequence
from itertools import chain, pairwise

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle

from fedlab.checks import check_choice, check_count, check_list, check_not_empty, describe
from fedlab.plots.style import COLORS, picture

_INK, _GRAY, _PAPER = "#222222", "#8A8A8A", "#F4F6F8"
_DATA = "#117733"
_CLIENTS = (  # device, the digits its owner wrote, their slant in degrees
    ("phone", "307", -12),
    ("laptop", "542", 12),
    ("tablet", "996", 6),
    ("phone", "118", 0),
    ("laptop", "604", -6),
)
_LAYERS = ((-1.0, (-0.5, 0.5)), (0.0, (-0.8, 0.0, 0.8)), (1.0, (0.0,)))  # of the model's icon
_STEPS = (
    ("1  select", "the server draws a cohort"),
    ("2  broadcast", "everyone gets the same model"),
    ("3  train locally", "all at the same time"),
    ("4  average", "weighted mean → new model"),
)


@picture
def architecture() -> Axes:
    """Draws the server above its clients: models go down, updates come up, data stays.

    Returns:
        The Axes of the picture.
    """
    pitch = 2.0
    width = pitch * len(_CLIENTS) + 0.2
    middle = width / 2
    ax = _canvas(width, 6.5, "The data stays, the model moves")
    ax.text(
        middle, 6.4, "all clients train at the same time", ha="center", va="center", fontsize=14
    )
    _box(ax, middle - 1.6, 5.0, 3.2, 1.1, COLORS["model"])
    ax.text(middle - 1.35, 5.55, "server", va="center", fontsize=15, weight="bold")
    _model(ax, middle + 0.75, 5.62, 0.33)
    ax.text(middle + 0.75, 5.06, "global model", ha="center", va="bottom", fontsize=12)
    left = middle - pitch * len(_CLIENTS) / 2
    for i, client in enumerate(_CLIENTS):
        x = left + pitch * (i + 0.5)
        _client(ax, x, *client)
        spread = (x - middle) * (3.0 / (pitch * len(_CLIENTS)))
        _arrow(ax, (middle + spread - 0.1, 4.95), (x - 0.22, 3.42), COLORS["model"])
        _arrow(ax, (x + 0.22, 3.42), (middle + spread + 0.1, 4.95), COLORS["update"])
    _legend(ax, width)
    return ax


@picture
def training_round(step: int | None = None) -> Axes:
    """Draws a round as a loop of four steps: select, broadcast, train locally, average.

    Args:
        step: Number of the step to highlight, 1 to 4; the others are drawn pale. None: all alike.

    Returns:
        The Axes of the picture.

    Raises:
        ValueError: `step` is another value.
    """
    if step is not None:
        check_count("step", step, at_most=len(_STEPS))
    ax = _canvas(10.2, 5.25, "One round of federated learning")
    corners = ((0.1, 2.95), (5.7, 2.95), (5.7, 0.1), (0.1, 0.1))
    for i, ((x, y), (name, text)) in enumerate(zip(corners, _STEPS, strict=True)):
        alpha = 1.0 if step in (None, i + 1) else 0.3
        _box(ax, x, y, 4.4, 2.15, COLORS["model"] if step == i + 1 else _GRAY, alpha)
        ax.text(x + 0.2, y + 1.83, name, va="center", fontsize=16, weight="bold", alpha=alpha)
        ax.text(x + 0.2, y + 0.22, text, va="center", fontsize=13, alpha=alpha)
        _pictogram(ax, i + 1, x + 2.2, y + 1.05, alpha)
    for start, end in (
        ((4.6, 4.02), (5.6, 4.02)),
        ((7.9, 2.85), (7.9, 2.35)),
        ((5.6, 1.18), (4.6, 1.18)),
        ((2.3, 2.35), (2.3, 2.85)),
    ):
        _arrow(ax, start, end, _INK, width=3.0, alpha=1.0 if step is None else 0.3)
    ax.text(2.5, 2.6, "next round", va="center", fontsize=13, alpha=1.0 if step is None else 0.5)
    return ax


@picture
def series_map(lessons: Sequence[tuple[str, str]], current: str | None = None) -> Axes:
    """Draws the lessons as numbered boxes, counted from 0, each row from left to right.

    Args:
        lessons: A pair (title, notebook) for each lesson, at least one; a title of up to 45 letters
            fits. A lesson with the notebook "" is not written yet and is drawn dashed.
        current: Notebook of the lesson to highlight. None: no lesson.

    Returns:
        The Axes of the picture.

    Raises:
        ValueError: There are no lessons, or `current` is not the notebook of one of them.
    """
    check_not_empty("lessons", lessons := check_list("lessons", lessons))
    for lesson in lessons:
        is_pair = isinstance(lesson, list | tuple) and len(lesson) == 2
        if not (is_pair and all(isinstance(text, str) for text in lesson)):
            raise TypeError(f"lessons must be pairs (title, notebook). Found {describe(lesson)}.")
    notebooks = [notebook for _, notebook in lessons if notebook]
    if current is not None:
        check_choice("current", current, notebooks)
    num_rows = math.ceil(len(lessons) / 5)
    num_columns = math.ceil(len(lessons) / num_rows)
    ax = _canvas(2.4 * num_columns, 1.75 * num_rows, None)
    places = [divmod(i, num_columns) for i in range(len(lessons))]
    centers = [(2.4 * column + 1.2, 1.75 * (num_rows - row) - 0.87) for row, column in places]
    for (x0, y0), (x1, y1) in pairwise(centers):
        if y0 == y1:
            _arrow(ax, (x0 + 1, y0), (x1 - 1, y1), _GRAY)
        else:  # through the gap between two rows, back to the left
            between = (y0 + y1) / 2
            ax.plot([x0, x0, x1], [y0 - 0.6, between, between], color=_GRAY, lw=2.2, zorder=0)
            _arrow(ax, (x1, between), (x1, y1 + 0.6), _GRAY)
    for i, ((title, notebook), (x, y)) in enumerate(zip(lessons, centers, strict=True)):
        _lesson(
            ax, x, y, f"{i}", title, notebook != "", current is not None and notebook == current
        )
    return ax


def _lesson(
    ax: Axes, x: float, y: float, number: str, title: str, is_written: bool, is_current: bool
) -> None:
    edge = COLORS["model"] if is_written else _GRAY
    face = COLORS["model"] if is_current else _PAPER if is_written else "white"
    ink = "white" if is_current else _INK if is_written else "#666666"
    box = _box(ax, x - 0.97, y - 0.6, 1.94, 1.2, edge, face=face)
    box.set_linestyle("-" if is_written else "--")
    ax.text(x - 0.83, y + 0.38, number, va="center", fontsize=14, weight="bold", color=ink)
    lines = textwrap.fill(title, 17)
    ax.text(x - 0.83, y - 0.17, lines, va="center", fontsize=12, color=ink, linespacing=1.15)
    if not is_written:
        ax.text(x + 0.83, y + 0.38, "to come", ha="right", va="center", fontsize=10, color=ink)


def _canvas(width: float, height: float, title: str | None) -> Axes:
    """Returns empty Axes on which one unit is one inch."""
    size = (width, height + (0.45 if title else 0.0))
    figure = plt.figure(figsize=size, layout="none")
    ax = figure.add_axes((0, 0, 1, height / size[1]), xlim=(0, width), ylim=(0, height))
    ax.axis("off")
    if title:
        ax.text(width / 2, height + 0.18, title, ha="center", va="center", fontsize=18)
    return ax


def _box(
    ax: Axes,
    x: float,
    y: float,
    width: float,
    height: float,
    edge: str,
    alpha: float = 1.0,
    face: str = _PAPER,
) -> FancyBboxPatch:
    style = "round,pad=0,rounding_size=0.12"
    box = FancyBboxPatch((x, y), width, height, boxstyle=style, ec=edge, fc=face, lw=2, alpha=alpha)
    ax.add_patch(box)
    return box


def _arrow(
    ax: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    color: str,
    width: float = 2.2,
    alpha: float = 1.0,
) -> None:
    ax.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=13 + width, color=color, lw=width,
            alpha=alpha, shrinkA=0, shrinkB=0,
        )
    )  # fmt: skip


def _model(ax: Axes, x: float, y: float, size: float, alpha: float = 1.0) -> None:
    """Draws a small neural network, `size` inches from its centre to its edge."""
    layers = [[(x + dx * size, y + dy * size) for dy in ys] for dx, ys in _LAYERS]
    for before, after in pairwise(layers):
        for a in before:
            for b in after:
                ax.plot(*zip(a, b, strict=True), color=COLORS["model"], lw=0.9, alpha=alpha)
    for point in chain(*layers):
        ax.add_patch(Circle(point, 0.2 * size, color=COLORS["model"], alpha=alpha, zorder=3))


def _client(ax: Axes, x: float, device: str, digits: str, slant: int) -> None:
    """Draws a client around x: its copy of the model above, its data in a dashed box below."""
    _box(ax, x - 0.88, 0.62, 1.76, 2.75, _GRAY)
    _device(ax, x - 0.59, 3.1, device)
    ax.text(x - 0.34, 3.1, device, va="center", fontsize=13, weight="bold")
    _model(ax, x, 2.55, 0.25)
    ax.text(x, 2.16, "trains its copy", ha="center", va="center", fontsize=12)
    _box(ax, x - 0.76, 0.74, 1.52, 1.22, _DATA, face="white").set_linestyle("--")
    for left, digit, turn in zip((-0.62, -0.18, 0.26), digits, (5, -5, 0), strict=True):
        ax.add_patch(Rectangle((x + left, 1.42), 0.36, 0.4, ec=_GRAY, fc="white", lw=1))
        angle = turn + slant
        ax.text(x + left + 0.18, 1.61, digit, ha="center", va="center", fontsize=15, rotation=angle)
    text = "private data\nstays here"
    ax.text(x, 1.08, text, ha="center", va="center", fontsize=12, color=_DATA)


def _device(ax: Axes, x: float, y: float, device: str) -> None:
    """Draws a device's icon, 0.3 inches high."""
    width, bottom = {"phone": (0.16, 0.15), "tablet": (0.24, 0.15)}.get(device, (0.3, 0.1))
    outline = Rectangle(
        (x - width / 2, y - bottom), width, 0.15 + bottom, ec=_INK, fc="white", lw=2
    )
    ax.add_patch(outline)
    if device == "laptop":
        ax.plot([x - 0.19, x + 0.19], [y - 0.13, y - 0.13], color=_INK, lw=3)
    else:
        ax.plot([x - 0.02, x + 0.02], [y - 0.1, y - 0.1], color=_INK, lw=2)


def _legend(ax: Axes, width: float) -> None:
    """Draws the legend of the arrows and the dashed box, in the middle of the bottom."""
    x, y = width / 2 - 3.3, 0.27
    _arrow(ax, (x, y + 0.16), (x, y - 0.16), COLORS["model"])
    ax.text(x + 0.15, y, "model goes down", va="center", fontsize=12)
    _arrow(ax, (x + 1.95, y - 0.16), (x + 1.95, y + 0.16), COLORS["update"])
    ax.text(x + 2.1, y, "update comes up", va="center", fontsize=12)
    _box(ax, x + 3.85, y - 0.13, 0.36, 0.26, _DATA, face="white").set_linestyle("--")
    ax.text(x + 4.35, y, "no arrow leaves the data", va="center", fontsize=12)


def _pictogram(ax: Axes, step: int, x: float, y: float, alpha: float) -> None:
    """Draws what happens in a step, around (x, y), about 3.4 by 1.1 inches."""
    rows = [y + dy for dy in (0.42, 0.14, -0.14, -0.42)]
    if step == 1:
        for i in range(18):
            chosen = i in (2, 7, 9, 15)
            center = (x - 1.6 + 0.4 * (i % 9), y + 0.2 - 0.4 * (i // 9))
            color = COLORS["update"] if chosen else "#C4CBD2"
            ax.add_patch(Circle(center, 0.13, color=color, alpha=alpha))
    elif step == 3:
        for row, length in zip(rows, (1.9, 2.6, 1.4, 2.2), strict=True):
            ax.add_patch(Circle((x - 1.6, row), 0.11, color=COLORS["update"], alpha=alpha))
            bar = Rectangle((x - 1.3, row - 0.08), length, 0.16, color=COLORS["fed_avgm"])
            ax.add_patch(bar).set_alpha(alpha)
        _arrow(ax, (x - 1.3, y - 0.62), (x + 1.6, y - 0.62), _GRAY, 1.4, alpha)
        ax.text(x + 1.68, y - 0.62, "time", va="center", fontsize=11, alpha=alpha)
    else:
        side = -1 if step == 2 else 1
        _model(ax, x + side * 1.1, y, 0.38, alpha)
        for row, weight in zip(rows, (1.5, 5.0, 2.5, 3.5), strict=True):
            ax.add_patch(Circle((x - side * 1.3, row), 0.11, color=COLORS["update"], alpha=alpha))
            near, far = (x + side * 0.55, y + 0.4 * (row - y)), (x - side * 1.1, row)
            if step == 2:
                _arrow(ax, near, far, COLORS["model"], 2.0, alpha)
            else:
                _arrow(ax, far, near, COLORS["update"], weight, alpha)
