"""Statistics over seeds, against examples worked out by hand."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from fedlab import statistics
from fedlab.statistics import count_worst

RUNS = pd.DataFrame(
    [
        ("base", 0, 0.50),
        ("base", 1, 0.60),
        ("base", 2, 0.40),
        ("better", 2, 0.45),  # in another order: it is the seed that pairs
        ("better", 0, 0.52),
        ("better", 1, 0.68),
    ],
    columns=["name", "seed", "accuracy"],
)


def test_differences_are_taken_seed_by_seed():
    found = statistics.paired_differences(RUNS, "base")
    assert list(found) == ["base", "better"]
    np.testing.assert_allclose(found["better"].loc[[0, 1, 2]], [0.02, 0.08, 0.05])
    assert (found["base"] == 0).all()


def test_the_table_holds_means_and_differences():
    table = statistics.compare(RUNS, "base")
    assert table.index.tolist() == ["base", "better"]
    assert table.num_seeds.tolist() == [3, 3]
    np.testing.assert_allclose(table["mean"], [0.5, 0.55])
    np.testing.assert_allclose(table.difference, [0.0, 0.05])
    assert table.loc["base", ["low", "high"]].tolist() == [0.0, 0.0]
    assert 0.0199 < table.low["better"] < 0.05 < table.high["better"] < 0.0801
    wide = RUNS.assign(accuracy=RUNS.accuracy + 10 * RUNS.seed)  # luck that both share
    np.testing.assert_allclose(
        statistics.compare(wide, "base").loc["better", "low":], table.loc["better", "low":]
    )


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda runs: runs[runs.seed == 0], "at least two seeds. 'base' has 1"),
        (lambda runs: runs.iloc[:5], "must have the same seeds, to be paired. .* has 1$|has 1\\."),
        (lambda runs: pd.concat([runs, runs.iloc[:1]]), "'base' has seed 0 twice"),
        (lambda runs: runs.assign(accuracy=np.nan), r"'base' has no accuracy \(NaN\) for seed 0"),
        (lambda runs: runs.drop(columns="seed"), "must have a column 'seed'. Found name, accuracy"),
        (lambda runs: runs[runs.name != "base"], "baseline must be one of better. Found 'base'"),
    ],
)
def test_what_cannot_be_paired_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        statistics.paired_differences(change(RUNS), "base")


def test_the_percentile_interval_is_that_of_all_resamples():
    values = [0.1, 0.2, 0.6]
    means = sorted(np.mean(drawn) for drawn in itertools.product(values, repeat=3))  # all 27
    found = statistics.bootstrap_interval(values, confidence=0.8, num_resamples=100_000)
    assert found.mean == pytest.approx(0.3)
    np.testing.assert_allclose(found[1:], np.percentile(means, [10, 90], method="nearest"))


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_an_interval_moves_and_grows_with_the_values(method):
    values = np.array([0.1, 0.15, 0.2, 0.4, 0.3])
    found = statistics.bootstrap_interval(values, method=method)
    moved = statistics.bootstrap_interval(2 * values + 1, method=method)
    np.testing.assert_allclose(moved, 2 * np.array(found) + 1)
    assert values.min() <= found.low < found.mean < found.high <= values.max()
    assert statistics.bootstrap_interval(values, method=method) == found  # of the seed alone
    inner = statistics.bootstrap_interval(values, method=method, confidence=0.5)
    assert found.low < inner.low < inner.high < found.high


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_values_without_spread_have_an_interval_without_width(method):
    assert statistics.bootstrap_interval([0.3] * 4, method=method) == pytest.approx((0.3,) * 3)


def test_five_seeds_cover_84_of_100_as_the_docstring_says():
    # The percentile interval of a mean is nearly that of a normal with the spread of the sample.
    spread = scipy.stats.norm.ppf(0.975) * math.sqrt(4 / 5)
    assert 1 - 2 * scipy.stats.t.sf(spread, df=4) == pytest.approx(0.845, abs=0.005)
    draws = np.random.default_rng(0).normal(size=(400, 5))
    intervals = [statistics.bootstrap_interval(values, num_resamples=500) for values in draws]
    covered = np.mean([one.low <= 0 <= one.high for one in intervals])
    assert 0.78 < covered < 0.88  # 0.84, up to three times its own error of 0.018


@pytest.mark.parametrize(
    "values, options, message",
    [
        ([0.1], {}, r"at least two values, one per seed. Found shape \(1,\)"),
        ([], {}, "at least two values"),
        ([0.1, np.nan], {}, "must be finite numbers. Found nan"),
        ([0.1, 0.2], {"confidence": 95}, r"confidence must be a number in \(0, 1\). Found 95"),
        ([0.1, 0.2], {"method": "t"}, "method must be one of percentile, bca. Found 't'"),
        ([0.1, 0.2], {"num_resamples": 0}, "num_resamples must be at least 1. Found 0"),
    ],
)
def test_a_bad_interval_is_refused(values, options, message):
    with pytest.raises(ValueError, match=message):
        statistics.bootstrap_interval(values, **options)


RECORDS = pd.DataFrame(
    {"round_num": [0, 2, 4, 6, 8], "eval_accuracy": [0.1, np.nan, 0.7, 0.6, 0.9]}
)


@pytest.mark.parametrize(
    "target, expected", [(0.05, 0), (0.1, 0), (0.6, 4), (0.7, 4), (0.71, 8), (0.9, 8), (0.91, None)]
)
def test_the_first_round_that_reaches_the_target(target, expected):
    assert statistics.rounds_to_target(RECORDS, target) == expected


@pytest.mark.parametrize(
    "records, target, message",
    [
        (RECORDS, math.nan, "target must be a finite number"),
        (RECORDS.drop(columns="round_num"), 0.5, "must have a column 'round_num'"),
        (RECORDS, 0.5, "must have a column 'accuracy'"),
        (pd.concat([RECORDS, RECORDS]), 0.5, "must be of one run. Found round 0 twice"),
        (RECORDS.assign(eval_accuracy=np.nan), 0.5, "must have a value of 'eval_accuracy'"),
    ],
)
def test_records_without_an_answer_are_refused(records, target, message):
    metric = "accuracy" if "'accuracy'" in message else "eval_accuracy"
    with pytest.raises(ValueError, match=message):
        statistics.rounds_to_target(records, target, metric)


@pytest.mark.parametrize(
    "rounds, text",
    [
        ([10, 30, 20], "20"),
        ([10, 21], "15.5"),
        ([10, None, 20], "20 (2 of 3 seeds)"),  # the mean of the lucky ones would be 15
        ([10, None, math.nan], "not reached in 50 rounds (1 of 3 seeds)"),
        ([10, None], "not reached in 50 rounds (1 of 2 seeds)"),
        ([None, None], "not reached in 50 rounds"),
        ([0, 0], "0"),
    ],
)
def test_seeds_that_never_get_there_are_not_left_out(rounds, text):
    assert str(statistics.summarize_rounds(rounds, 50)) == text


@pytest.mark.parametrize(
    "rounds, num_rounds, message",
    [
        ([], 50, "at least one entry"),
        ([51], 50, "between 0 and 50. Found 51"),
        ([-1], 50, "between 0 and 50. Found -1"),
        ([1], 0, "num_rounds must be at least 1"),
    ],
)
def test_impossible_rounds_are_refused(rounds, num_rounds, message):
    with pytest.raises(ValueError, match=message):
        statistics.summarize_rounds(rounds, num_rounds)


def test_the_table_is_that_of_mcmahan():
    rounds = {
        ("FedAvg", "IID"): [20, 20, 26],
        ("FedAvg", "shards"): [None, None, 90],
        ("FedProx", "IID"): [40, 40, 40],
        ("FedProx", "shards"): [50, 50, None],
        ("FedAdam", "IID"): [8, 8, 8],
        ("FedAdam", "shards"): [None, None, None],
    }
    table = statistics.rounds_table(rounds, 100, "FedAvg")
    assert table.index.tolist() == ["FedAvg", "FedProx", "FedAdam"]
    assert table["IID"].tolist() == ["20", "40 (0.5×)", "8 (2.5×)"]
    assert table["shards"].tolist() == [
        "not reached in 100 rounds (1 of 3 seeds)",
        "50 (2 of 3 seeds) (more than 2.0×)",
        "not reached in 100 rounds",
    ]
    with pytest.raises(ValueError, match="baseline 'FedYogi' is missing for 'IID'"):
        statistics.rounds_table(rounds, 100, "FedYogi")


@pytest.mark.parametrize(
    "num_clients, worst_fraction, count",
    [(1, 0.1, 1), (9, 0.1, 1), (10, 0.1, 1), (11, 0.1, 2), (30, 0.1, 3), (7, 1.0, 7), (5, 1e-6, 1)],
)
def test_rounds_up_to_whole_clients(num_clients, worst_fraction, count):
    assert count_worst(num_clients, worst_fraction) == count


@pytest.mark.parametrize("worst_fraction", [0, -0.1, 1.1, float("nan")])
def test_a_share_out_of_range_is_named(worst_fraction):
    with pytest.raises(ValueError, match=f"Found {worst_fraction}"):
        count_worst(10, worst_fraction)
