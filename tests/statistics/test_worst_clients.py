"""The number of clients that count as the worst."""

import pytest

from fedlab.statistics import count_worst


@pytest.mark.parametrize(
    "num_clients, worst_fraction, count",
    [(1, 0.1, 1), (9, 0.1, 1), (10, 0.1, 1), (11, 0.1, 2), (30, 0.1, 3), (7, 1.0, 7), (5, 1e-6, 1)],
)
def test_rounds_up_to_whole_clients(num_clients, worst_fraction, count):
    assert count_worst(num_clients, worst_fraction) == count


@pytest.mark.parametrize("worst_fraction", [0, 1.1])
def test_a_share_out_of_range_is_named(worst_fraction):
    with pytest.raises(ValueError, match=f"Found {worst_fraction}"):
        count_worst(10, worst_fraction)
