"""Statistics over a few seeds, over the rounds of a run, and over clients."""

from fedlab.statistics.intervals import (
    Interval,
    bootstrap_interval,
    compare,
    mean_interval,
    paired_differences,
)
from fedlab.statistics.rounds import rounds_table, rounds_to_target
from fedlab.statistics.worst_clients import count_worst

__all__ = [
    "Interval",
    "bootstrap_interval",
    "compare",
    "count_worst",
    "mean_interval",
    "paired_differences",
    "rounds_table",
    "rounds_to_target",
]
