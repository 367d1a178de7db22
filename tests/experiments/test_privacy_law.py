"""The thresholds of China's provisions of 2024, at every edge."""

import itertools

import pytest

from fedlab.experiments.privacy_law import SOURCE, ExportRoute, export_route

EXEMPT, CONTRACT, ASSESSMENT = ExportRoute


@pytest.mark.parametrize(
    "num_people, num_sensitive, route",
    [
        (0, 0, EXEMPT),
        (1, 0, EXEMPT),
        (9_999, 0, EXEMPT),
        (10_000, 0, EXEMPT),
        (99_999, 0, EXEMPT),
        (100_000, 0, CONTRACT),
        (100_001, 0, CONTRACT),
        (999_999, 0, CONTRACT),
        (1_000_000, 0, ASSESSMENT),
        (1_000_001, 0, ASSESSMENT),
        (0, 1, CONTRACT),
        (0, 9_999, CONTRACT),
        (0, 10_000, ASSESSMENT),
        (0, 10_001, ASSESSMENT),
        (1, 1, CONTRACT),
        (99_999, 1, CONTRACT),
        (99_999, 9_999, CONTRACT),
        (100_000, 9_999, CONTRACT),
        (999_999, 9_999, CONTRACT),
        (999_999, 10_000, ASSESSMENT),
        (1_000_000, 1, ASSESSMENT),
    ],
)
def test_each_edge(num_people, num_sensitive, route):
    assert export_route(num_people, num_sensitive) is route


EDGES = 0, 1, 9_999, 10_000, 99_999, 100_000, 999_999, 1_000_000


@pytest.mark.parametrize("counts", itertools.product(EDGES, EDGES))
def test_important_data_and_critical_operators_always_need_an_assessment(counts):
    assert export_route(*counts, has_important_data=True) is ASSESSMENT
    expected = ASSESSMENT if any(counts) else EXEMPT
    assert export_route(*counts, is_critical_operator=True) is expected


def test_more_people_never_need_less():
    order = list(ExportRoute)
    for sensitive in EDGES:
        ranks = [order.index(export_route(people, sensitive)) for people in EDGES]
        assert ranks == sorted(ranks)
        ranks = [order.index(export_route(sensitive, each)) for each in EDGES]
        assert ranks == sorted(ranks)


def test_a_route_reads_as_a_phrase():
    assert f"{export_route(100_000, 0)}" == "standard contract or certification"
    assert "Order No. 16" in SOURCE and "2026-11-25" in SOURCE


@pytest.mark.parametrize("bad", [-1, 2.5, "5", True, None, float("nan"), 2**31])
def test_bad_counts_are_refused(bad):
    for arguments, name in (((bad, 0), "num_people"), ((0, bad), "num_sensitive")):
        with pytest.raises((TypeError, ValueError), match=name):
            export_route(*arguments)
