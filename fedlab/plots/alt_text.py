"""What a picture shows, in words: the text that stands for it where it cannot be seen."""

import importlib
from collections.abc import Iterable
from typing import Any

import matplotlib
import numpy as np
from IPython import get_ipython
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import PathCollection
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

_MOST_PARTS = 12  # bars or lines that are told one by one
_COLORBAR = "<colorbar>"  # matplotlib's own label


def describe_figure(figure: Figure) -> str:
    """Returns what a figure shows: titles, axes, and its bars, lines and points with their values.

    Axes that say the same, such as the digits of a table of images, are told once.

    Args:
        figure: The figure.

    Returns:
        Whole lines of plain text, joined by spaces; "A picture without words." for an empty figure.
    """
    told = [_sentence(figure.get_suptitle())]
    pictures = [ax for ax in figure.axes if ax.get_visible() and ax.get_label() != _COLORBAR]
    told += [_describe_axes(ax) for ax in pictures]
    return " ".join(part for part in dict.fromkeys(told) if part) or "A picture without words."


def tell_notebook() -> None:
    """Makes a notebook store each figure's description beside its image, as the alt text.

    Pages that are made from the notebook show it to screen readers. Outside of a notebook this does
    nothing.
    """
    shell = get_ipython()
    if shell is None or not matplotlib.get_backend().endswith("inline"):
        return
    # Sets up the drawing that is wrapped.
    importlib.import_module("matplotlib_inline.backend_inline")
    formatter = shell.display_formatter.formatters["image/png"]
    draw = formatter.type_printers.get(Figure)
    if draw is None or getattr(draw, "tells", False):
        return

    def draw_and_tell(figure: Figure) -> Any:
        drawn = draw(figure)
        if drawn is None:  # a figure without axes is not shown
            return None
        image, size = drawn if isinstance(drawn, tuple) else (drawn, {})
        return image, {**size, "alt": describe_figure(figure)}

    draw_and_tell.tells = True  # type: ignore[attr-defined]
    formatter.for_type(Figure, draw_and_tell)


def _describe_axes(ax: Axes) -> str:
    titles = [ax.get_title(loc=loc) for loc in ("left", "center", "right")]
    told = [_sentence(" ".join(filter(None, titles)))]
    sides = {"across": ax.get_xlabel(), "upwards": ax.get_ylabel()}
    told.append(_sentence(", ".join(f"{side}: {name}" for side, name in sides.items() if name)))
    bars = [one for one in ax.containers if isinstance(one, BarContainer)]
    values = [_describe_bars(ax, one) for one in bars]
    values += _first(_describe_line(ax, line) for line in ax.lines if line.get_visible())
    points = [one for one in ax.collections if isinstance(one, PathCollection)]
    values += _first(_describe_points(one) for one in points)
    values += [_describe_image(image, told) for image in ax.images]
    told += values
    words = [text.get_text() for text in ax.texts if text.get_visible() and text.get_text()]
    if words and not ax.images and not any(values):  # a drawing: its words say what there is
        told.append(_sentence("in it: " + "; ".join(dict.fromkeys(words))))
    return " ".join(part for part in dict.fromkeys(told) if part)


def _tick_names(axis: Axis) -> dict[float, str]:
    """Returns the words at an axis; numbers are none."""
    labels = (label.get_text() for label in axis.get_ticklabels())
    names = dict(zip(axis.get_ticklocs(), labels, strict=False))
    return {place: name for place, name in names.items() if any(map(str.isalpha, name))}


def _describe_bars(ax: Axes, bars: BarContainer) -> str:
    lying = bars.orientation == "horizontal"
    names = _tick_names(ax.yaxis if lying else ax.xaxis)
    told = []
    for bar in bars.patches:
        place = bar.get_y() + bar.get_height() / 2 if lying else bar.get_x() + bar.get_width() / 2
        value = bar.get_width() if lying else bar.get_height()
        words = (word for at, word in names.items() if abs(at - place) < 0.5)
        told.append((next(words, _number(place)), value))
    name = _name(bars.get_label()) or "bars"
    if len(told) > _MOST_PARTS:
        values = [value for _, value in told]
        return _sentence(
            f"{name}: {len(told)}, from {_number(min(values))} to {_number(max(values))}"
        )
    return _sentence(f"{name}: " + ", ".join(f"{what} {_number(value)}" for what, value in told))


def _describe_line(ax: Axes, line: Line2D) -> str:
    name = _name(line.get_label())
    points = np.ma.getdata(line.get_xydata())
    across, upwards = points[np.isfinite(points).all(axis=1)].T
    if line.get_linestyle() in ("None", "none", "") or len(across) < 2:
        return _describe_marks(ax, across, upwards, name)
    if len(across) == 2 and not name:  # an interval or a help to the eye
        return ""
    if len(set(across)) == 1:
        return _sentence(f"{name}: a line at {_number(across[0])}")
    if len(set(upwards)) == 1:
        return _sentence(f"{name or 'a level line'} at {_number(upwards[0])}")
    first, last = (f"{_number(upwards[i])} at {_number(across[i])}" for i in (0, -1))
    return _sentence(f"{name or 'a line'}: from {first} to {last}")


def _describe_marks(ax: Axes, across: np.ndarray, upwards: np.ndarray, name: str) -> str:
    """Describes marks without a line: those in one row by the row's name and their range."""
    if not len(across):
        return ""
    for axis, places, values in ((ax.yaxis, upwards, across), (ax.xaxis, across, upwards)):
        words = [word for at, word in _tick_names(axis).items() if abs(at - places.mean()) < 0.5]
        if words and np.ptp(places) < 0.5:
            low, high = _number(values.min()), _number(values.max())
            told = high if len(values) == 1 else f"{len(values)} marks from {low} to {high}"
            return _sentence(f"{' '.join(words[:1])}{f' ({name})' if name else ''}: {told}")
    return _sentence(f"{name or 'marks'}: {len(across)}") if len(across) > 1 or name else ""


def _describe_points(points: PathCollection) -> str:
    count = len(np.asarray(points.get_offsets()))
    return _sentence(f"{_name(points.get_label()) or 'points'}: {count} point{'s' * (count > 1)}")


def _describe_image(image: AxesImage, told: Iterable[str]) -> str:
    """Describes cells; of a picture that has a title, the title is enough."""
    cells = np.asarray(image.get_array())
    if any(told) and not (image.axes.get_xlabel() or image.axes.get_ylabel()):
        rows = "; ".join(_tick_names(image.axes.yaxis).values())
        return _sentence(f"an image{f', row by row: {rows}' if rows else ''}")
    size = f"{cells.shape[0]} by {cells.shape[1]} cells"
    if cells.ndim > 2 or not np.isfinite(cells).any():
        return _sentence(size)
    return _sentence(f"{size}, from {_number(np.nanmin(cells))} to {_number(np.nanmax(cells))}")


def _number(value: float) -> str:
    """Returns a number as people read it."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _name(label: object) -> str:
    """Returns a label that a legend would show, else nothing."""
    return "" if str(label).startswith("_") else str(label)


def _first(told: Iterable[str]) -> list[str]:
    parts = [part for part in dict.fromkeys(told) if part]
    left = len(parts) - _MOST_PARTS
    return parts if left <= 0 else [*parts[:_MOST_PARTS], f"And {left} more."]


def _sentence(text: str) -> str:
    """Returns text on one line, with a capital and a full stop; nothing of nothing."""
    text = " ".join(text.split())
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?。！？" else ".")
