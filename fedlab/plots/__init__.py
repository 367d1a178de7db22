"""Pictures of data, runs, attacks and studies: arrays and records in, matplotlib Axes out.

Nothing here shows or saves a figure. In a notebook, end the line with ``;`` so that the picture
appears without the text of the returned object.
"""

from fedlab.plots.attacks import audit, reconstructions, roc
from fedlab.plots.data import (
    digits,
    digits_by_client,
    examples_per_client,
    label_mix,
)
from fedlab.plots.differential_privacy import (
    accuracy_against_epsilon,
    clipping,
    noisy_means,
    two_worlds,
)
from fedlab.plots.ledger import ledger
from fedlab.plots.noniid import client_changes, client_drift, rounds_to_target, settings_heatmap
from fedlab.plots.participation import participation
from fedlab.plots.runs import bars, client_spread, confusion_matrix, curves
from fedlab.plots.secure_sums import pairwise_masks, received_values, secure_aggregation
from fedlab.plots.studies import dots, effects, ladder
from fedlab.plots.style import COLORS, LABELS, use_style

__all__ = [
    "COLORS",
    "LABELS",
    "accuracy_against_epsilon",
    "audit",
    "bars",
    "client_changes",
    "client_drift",
    "client_spread",
    "clipping",
    "confusion_matrix",
    "curves",
    "digits",
    "digits_by_client",
    "dots",
    "effects",
    "examples_per_client",
    "label_mix",
    "ladder",
    "ledger",
    "noisy_means",
    "pairwise_masks",
    "participation",
    "received_values",
    "reconstructions",
    "roc",
    "rounds_to_target",
    "secure_aggregation",
    "settings_heatmap",
    "two_worlds",
    "use_style",
]
