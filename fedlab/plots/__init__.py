"""Pictures of data, runs and clients: arrays and records in, matplotlib Axes out.

Nothing here shows or saves a figure. In a notebook, end the line with ``;`` so that the picture
appears without the text of the returned object.
"""

from fedlab.plots.data import (
    digits,
    digits_by_client,
    examples_per_client,
    label_histograms,
    label_mix,
)
from fedlab.plots.runs import bars, client_spread, confusion_matrix, curves
from fedlab.plots.style import COLORS, LABELS, use_style

__all__ = [
    "COLORS",
    "LABELS",
    "bars",
    "client_spread",
    "confusion_matrix",
    "curves",
    "digits",
    "digits_by_client",
    "examples_per_client",
    "label_histograms",
    "label_mix",
    "use_style",
]
