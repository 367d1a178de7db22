"""Integers that clients of a round add, and their plain sums: for the tests of secure sums."""

from collections.abc import Sequence

import numpy as np

from fedlab.secure.interface import IntegerSpec

CLIENTS = ["a", "b", "c", "d"]


def draw(specs: Sequence[IntegerSpec], seed: int) -> list[np.ndarray]:
    """One client's values, the bounds included."""
    rng = np.random.default_rng(seed)
    return [
        rng.integers(0, spec.max_value, spec.shape, spec.dtype, endpoint=True) for spec in specs
    ]


def plain_sums(
    values: Sequence[Sequence[np.ndarray]], specs: Sequence[IntegerSpec]
) -> list[np.ndarray]:
    """The sums, in Python's integers, which do not run over."""
    sums = []
    for index, spec in enumerate(specs):
        total = np.sum([client[index].astype(object) for client in values], axis=0)
        sums.append(np.asarray(total % (spec.modulus or 2**64)).astype(spec.dtype))
    return sums


def check_equal(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        np.testing.assert_array_equal(one, other)
