"""Checks of what the pictures are given."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def check_not_empty(values: Mapping[str, Any], name: str) -> None:
    if len(values) == 0:
        raise ValueError(f"{name} must hold at least one entry. Found none.")


def check_at_least_one(value: int, name: str) -> None:
    if value < 1:
        raise ValueError(f"{name} must be at least 1. Found {value}.")


def check_counts(counts: np.ndarray, name: str) -> np.ndarray:
    """Returns counts that are there and all finite and >= 0."""
    if counts.size == 0:
        raise ValueError(f"{name} must hold at least one number. Found none.")
    wrong = counts[~(np.isfinite(counts) & (counts >= 0))]
    if wrong.size:
        raise ValueError(f"{name} must hold counts of at least 0. Found {wrong.flat[0]}.")
    return counts
