"""How every picture of the series looks: colours, names, cells."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

COLORS: dict[str, str] = {  # colour-blind safe (Okabe and Ito; Tol), one for each name
    "fed_avg": "#0072B2",
    "fed_prox": "#D55E00",
    "fed_avgm": "#56B4E9",
    "fed_adam": "#009E73",
    "fed_yogi": "#E69F00",
    "fed_adagrad": "#CC79A7",
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
    "fed_adagrad": "FedAdagrad",
    "mime_lite": "MimeLite",
    "fed_sgd": "FedSGD",
    "round_num": "round",
    "seconds": "time (s)",
    "loss": "training loss (nats)",
    "accuracy": "training accuracy",
    "eval_loss": "evaluation loss (nats)",
    "eval_accuracy": "evaluation accuracy",
}


_SPARE_COLORS = ("#CC6677", "#661100", "#88CCEE", "#117733", "#DDCC77", "#6699CC", "#AA4466")


def use_style() -> None:
    """Applies `fedlab.mplstyle` to every figure made from here on (large text, 100 dpi)."""
    plt.style.use(Path(__file__).with_name("fedlab.mplstyle"))


def new_axes(width: float, height: float) -> Axes:
    """Returns the Axes of a new figure of this size in inches."""
    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def clean_cells(ax: Axes) -> None:
    ax.grid(False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def write_cells(ax: Axes, cells: np.ndarray, darkest: np.ndarray | None = None) -> None:
    """Writes each value into its cell, in white where the cell is dark.

    Args:
        ax: Axes that show `cells`, one unit a cell.
        cells: Values, (rows, columns).
        darkest: The value at the dark end of each cell's color scale. Default: the largest.
    """
    darkest = np.full(cells.shape, cells.max()) if darkest is None else darkest
    for (row, column), value in np.ndenumerate(cells):
        dark = value > 0.6 * darkest[row, column]
        color = "#AAAAAA" if value == 0 else "white" if dark else "#222222"
        ax.text(column, row, f"{value:.0f}", ha="center", va="center", color=color, fontsize=12)


def row_percent(counts: np.ndarray) -> np.ndarray:
    """Returns each row in percent of its sum; a row of zeros stays zeros."""
    return 100.0 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def key_of(name: str) -> str:
    """Returns the key of `COLORS` that a name such as "FedAvg" or "Fed Avg" stands for."""
    plain = "".join(c for c in name.lower() if c.isalnum())
    return next((key for key in COLORS if key.replace("_", "") == plain), name)


def colors_of(names: Mapping[str, Any]) -> dict[str, str]:
    """Returns name -> colour: the series' own where it has one, else spare ones in turn."""
    spare = [name for name in names if key_of(name) not in COLORS]
    spares = {name: _SPARE_COLORS[i % len(_SPARE_COLORS)] for i, name in enumerate(spare)}
    return {name: COLORS.get(key_of(name)) or spares[name] for name in names}
