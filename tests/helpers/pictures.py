"""What a picture shows, read back from its Axes, and a table to draw."""

import numpy as np
import pandas as pd

LEDGER = pd.DataFrame(
    {
        "defence": ["none", "masks", "noise at the clients"],
        "server_learning_rate": ["2", "2", "0.5, 1"],
        "accuracy": [0.98, 0.98, 0.91],
        "accuracy_low": [0.97, 0.97, 0.90],
        "accuracy_high": [0.99, 0.99, 0.93],
        "epsilon": [np.inf, np.inf, np.nan],
        "delta": 0.0004,
        "seconds_per_round": [0.05, 0.8, 12.0],
        "seconds_low": np.nan,
        "seconds_high": np.nan,
        "bytes_up_per_client": [138_408, 170_000, 200_000],
        "reconstruction_ssim": [0.9, 0.45, 0.1],
        "blank_ssim": 0.25,
        "membership_auc": [0.8, 0.8, 0.52],
        "membership_low": [0.75, 0.75, 0.47],
        "membership_high": [0.85, 0.85, 0.57],
        "shared": ["", "accuracy membership_auc", ""],
    }
)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def rows(ax):
    return [label.get_text().replace("\n", " ") for label in ax.get_yticklabels()]


def points(ax, label):
    """The points of the line or arrows of a label in the legend."""
    artist = next(a for a in (*ax.lines, *ax.collections) if a.get_label() == label)
    return artist.get_xydata() if hasattr(artist, "get_xydata") else np.c_[artist.U, artist.V]


def dots(ax):
    """The positions of single marks, from the top row to the bottom."""
    marks = {tuple(line.get_xydata()[0]) for line in ax.lines if len(line.get_xdata()) == 1}
    return sorted(marks, key=lambda mark: mark[1])


def band(artist):
    """The values between which an area lies, at its left and its right edge."""
    x, y = artist.get_paths()[0].vertices.T
    return [(y[x == edge].min(), y[x == edge].max()) for edge in (x.min(), x.max())]
