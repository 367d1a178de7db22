"""What a smaller delta costs, and which deltas a guarantee may have."""

import pytest

from fedlab.dp import accounting
from fedlab.dp.delta_cost import compare_deltas
from fedlab.dp.plan_checks import check_delta, largest_delta


def test_a_smaller_delta_has_a_larger_epsilon():
    table = compare_deltas(2.0, [90, 640], num_rounds=10)
    assert table.index.tolist() == [90, 640]
    assert table.delta.tolist() == [1 / 900, 1 / 6400]
    assert table.other_delta.tolist() == [90**-1.1, 640**-1.1]
    assert (table.epsilon > 1.05 * table.other_epsilon).all()
    for population, row in table.iterrows():
        run = {"num_clients": population, "population": population, "num_rounds": 10}
        assert row.epsilon == accounting.epsilon(2.0, **run)
        assert row.other_epsilon == accounting.epsilon(2.0, delta=population**-1.1, **run)


def test_a_guarantee_has_at_most_a_tenth_of_one_in_the_population():
    assert largest_delta(640) == 1 / 6400 == accounting.default_delta(640)
    for population in (2, 3, 7, 90, 256, 640, 836, 3383):
        assert check_delta(0.1 / population, population) == 0.1 / population
        with pytest.raises(ValueError, match=r"at most 1 / \(10 \* population\), .* Found "):
            check_delta(0.101 / population, population)


@pytest.mark.parametrize(
    "populations, message",
    [
        ([], "populations must have at least one"),
        ([90, 1], "populations must be at least 2. Found 1"),
    ],
)
def test_bad_numbers_are_refused(populations, message):
    with pytest.raises(ValueError, match=message):
        compare_deltas(2.0, populations, num_rounds=10)
