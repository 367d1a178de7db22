"""The style that all pictures share: colours, labels, cells, and checks of arrays."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import ParamSpec, TypeVar

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from fedlab.checks import (
    check_array,
    check_instance,
    check_mapping,
    check_number,
    check_text,
)
from fedlab.plots import alt_text

COLORS: dict[str, str] = {  # safe for colour-blind readers (Okabe and Ito; Tol)
    "fed_avg": "#0072B2",
    "fed_prox": "#D55E00",
    "fed_avgm": "#56B4E9",
    "fed_adam": "#009E73",
    "fed_yogi": "#E69F00",
    "mime_lite": "#882255",
    "fed_sgd": "#999933",
    "central": "#000000",
    "local": "#7F7F7F",
    "train": "#44AA99",
    "test": "#332288",
    "seen": "#AA4499",
    "unseen": "#DDAA33",
    "model": "#0072B2",
    "update": "#D55E00",
    "worst": "#D55E00",
    "neutral": "#5B7C99",
}

LABELS: dict[str, str] = {
    "fed_avg": "FedAvg",
    "fed_prox": "FedProx",
    "fed_avgm": "FedAvgM",
    "fed_adam": "FedAdam",
    "fed_yogi": "FedYogi",
    "mime_lite": "Mime Lite",
    "fed_sgd": "FedSGD",
    "round_num": "round",
    "seconds": "time (s)",
    "loss": "training loss (nats)",
    "accuracy": "training accuracy",
    "eval_loss": "evaluation loss (nats)",
    "eval_accuracy": "evaluation accuracy",
}

MARKERS = "os^DvPX*"
_SPARE_COLORS = ("#CC6677", "#661100", "#88CCEE", "#117733", "#DDCC77", "#6699CC", "#AA4466")


Parameters = ParamSpec("Parameters")
Picture = TypeVar("Picture", Axes, Figure)
_TEXTS = ("title", "xlabel", "label", "up", "sideways")
_SHOWN = "\u2060"  # an invisible character before a name that matplotlib would leave out


def picture(draw: Callable[Parameters, Picture]) -> Callable[Parameters, Picture]:
    """Decorates a function that draws: what a user calls things is drawn as it is.

    Matplotlib takes text with two dollar signs for a formula. This also checks the parameters that
    all pictures share: `ax`, the title and the labels of axes.

    Args:
        draw: The function. It passes names to a legend through `legend_name`.
    """
    signature = inspect.signature(draw)

    @functools.wraps(draw)
    def checked_draw(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Picture:
        arguments = signature.bind(*args, **kwargs).arguments
        for name in _TEXTS:
            if name in arguments and (name != "title" or arguments[name] is not None):
                check_text(name, arguments[name])
        if arguments.get("ax") is not None:
            check_instance("ax", arguments["ax"], Axes, "matplotlib Axes")
        drawn = draw(*args, **kwargs)
        parent: Axes | Figure = drawn
        if isinstance(parent, Axes) and arguments.get("ax") is None:
            parent = figure_of(parent)
        for text in parent.findobj(Text):
            text.set_parse_math(False)
            text.set_text(text.get_text().removeprefix(_SHOWN))
        return drawn

    return checked_draw


def legend_name(name: object) -> str:
    """Returns a user's name for something as a label; matplotlib hides labels that begin with "_"."""
    text = str(name)
    return f"{_SHOWN}{text}" if text.startswith("_") else text


def use_style() -> None:
    """Sets matplotlib's defaults to `fedlab.mplstyle`: large text, 100 dpi.

    It changes all figures that are made afterwards in this process. In a notebook, each is stored with
    its description as alt text, for those who cannot see it.
    """
    plt.style.use(Path(__file__).with_name("fedlab.mplstyle"))
    alt_text.tell_notebook()


def new_axes(width: float, height: float) -> Axes:
    """Returns the Axes of a new figure, whose size is in inches."""
    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def figure_of(ax: Axes) -> Figure:
    """Returns the figure that contains the Axes, the outermost one if figures are nested."""
    figure = ax.get_figure(root=True)
    assert isinstance(figure, Figure)  # Axes without a figure cannot be made with pyplot
    return figure


def clean_cells(ax: Axes) -> None:
    """Removes grid, ticks and frame, which would disturb a picture of cells."""
    ax.grid(False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def write_cells(ax: Axes, cells: np.ndarray, darkest: np.ndarray) -> None:
    """Writes each value into its cell, in white where the cell is dark.

    Args:
        ax: Axes that show `cells`, in which a cell is one unit wide and high.
        cells: float (num_rows, num_columns): the values; written as whole numbers.
        darkest: float (num_rows, num_columns): the value that has the darkest colour on the scale
            of each cell.
    """
    for (row, column), value in np.ndenumerate(cells):
        dark = value > 0.6 * darkest[row, column]
        color = "#AAAAAA" if value == 0 else "white" if dark else "#222222"
        ax.text(column, row, f"{value:.0f}", ha="center", va="center", color=color, fontsize=12)


def row_percent(counts: np.ndarray) -> np.ndarray:
    """Returns each row in percent of its sum; a row of zeros gives zeros.

    Args:
        counts: float or int (num_rows, num_columns), at least 0.
    """
    return 100.0 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def find_key(name: str) -> str:
    """Returns the key of `COLORS` for a name such as "FedAvg" or "Fed Avg", else the name."""
    plain = "".join(c for c in str(name).lower() if c.isalnum())
    return next((key for key in COLORS if key.replace("_", "") == plain), name)


def choose_colors(names: Iterable[str]) -> dict[str, str]:
    """Returns a colour for each name: that of `COLORS`, else one of some others in turn."""
    names = list(names)
    others = [name for name in names if find_key(name) not in COLORS]
    spares = {name: _SPARE_COLORS[i % len(_SPARE_COLORS)] for i, name in enumerate(others)}
    return {name: COLORS.get(find_key(name)) or spares[name] for name in names}


def check_vector(name: str, values: npt.ArrayLike) -> np.ndarray:
    """Returns numbers as a float vector.

    Args:
        name: The parameter's name, for the error.
        values: At least one finite number.

    Raises:
        TypeError: The values are no numbers.
        ValueError: There are no numbers, they are not in one dimension, or one is not finite.
    """
    return check_array(name, values, (None,)).astype(float)


def check_by_client(
    name: str, values: pd.Series | Mapping[str, float], *, at_least: float
) -> pd.Series:
    """Returns one number for each client.

    Args:
        name: The parameter's name, for the error.
        values: From a client's id to its number, at most 1.
        at_least: The smallest number that is allowed.

    Raises:
        TypeError: The values are no numbers.
        ValueError: There are no clients, or a number is NaN or out of range.
    """
    numbers = {}
    for client_id, value in check_mapping(name, values).items():
        try:
            entry = f"{name}[{client_id!r}]"
            numbers[client_id] = check_number(entry, value, at_least=at_least, at_most=1)
        except ValueError as error:
            fix = "Leave out clients without examples; divide percentages by 100."
            raise ValueError(f"{error} {fix}") from None
    return pd.Series(numbers, dtype=float)


def check_counts(name: str, counts: npt.ArrayLike) -> np.ndarray:
    """Returns counts as an array.

    Args:
        name: The parameter's name, for the error.
        counts: At least one whole number, none below 0.

    Raises:
        TypeError: The counts are no numbers.
        ValueError: There are no counts, or one is negative or not whole.
    """
    if np.size(counts) == 0:
        raise ValueError(f"{name} must have at least one count. Found none.")
    array = check_array(name, counts, np.shape(counts), at_least=0)
    if (wrong := array[array != np.floor(array)]).size:
        raise ValueError(f"{name} must be whole numbers. Found {wrong[0]}.")
    return array
