"""Differences and intervals over seeds, against examples worked out by hand."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from fedlab import statistics

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
    differences = statistics.paired_differences(RUNS, "base")
    assert list(differences) == ["base", "better"]
    np.testing.assert_allclose(differences["better"].loc[[0, 1, 2]], [0.02, 0.08, 0.05])
    assert (differences["base"] == 0).all()


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
        (
            lambda runs: runs.drop(columns="seed"),
            "must have a column 'seed'. Found .*name.*accuracy",
        ),
        (lambda runs: runs[runs.name != "base"], "baseline must be one of better. Found 'base'"),
    ],
)
def test_what_cannot_be_paired_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        statistics.paired_differences(change(RUNS), "base")


def test_the_percentile_interval_is_that_of_all_resamples():
    values = [0.1, 0.2, 0.6]
    means = sorted(np.mean(drawn) for drawn in itertools.product(values, repeat=3))  # all 27
    interval = statistics.bootstrap_interval(values, confidence=0.8, num_resamples=100_000)
    assert interval.mean == pytest.approx(0.3)
    np.testing.assert_allclose(interval[1:], np.percentile(means, [10, 90], method="nearest"))


def test_an_interval_moves_and_grows_with_the_values():
    values = np.array([0.1, 0.15, 0.2, 0.4, 0.3])
    interval = statistics.bootstrap_interval(values)
    moved = statistics.bootstrap_interval(2 * values + 1)
    np.testing.assert_allclose(moved, 2 * np.array(interval) + 1)
    assert values.min() <= interval.low < interval.mean < interval.high <= values.max()
    assert statistics.bootstrap_interval(values) == interval  # of the seed alone
    inner = statistics.bootstrap_interval(values, confidence=0.5)
    assert interval.low < inner.low < inner.high < interval.high


def test_values_without_spread_have_an_interval_without_width():
    assert statistics.bootstrap_interval([0.3] * 4) == pytest.approx((0.3,) * 3)


def test_five_seeds_cover_84_of_100_as_the_docstring_says():
    # The percentile interval of a mean is nearly that of a normal with the spread of the sample.
    spread = scipy.stats.norm.ppf(0.975) * math.sqrt(4 / 5)
    assert 1 - 2 * scipy.stats.t.sf(spread, df=4) == pytest.approx(0.845, abs=0.005)
    draws = np.random.default_rng(0).normal(size=(400, 5))
    intervals = [statistics.bootstrap_interval(values, num_resamples=500) for values in draws]
    covered = np.mean([interval.low <= 0 <= interval.high for interval in intervals])
    assert 0.78 < covered < 0.88  # 0.84, up to three times its own error of 0.018


def test_the_interval_of_three_seeds_by_student_s_t_covers_what_it_says():
    assert statistics.mean_interval([1.0, 2.0, 3.0]) == pytest.approx(
        (2, 2 - 2.484, 2 + 2.484), abs=1e-3
    )
    assert statistics.mean_interval([0.3] * 3) == pytest.approx((0.3,) * 3)
    draws = np.random.default_rng(0).normal(size=(2000, 3))
    intervals = [statistics.mean_interval(values, confidence=0.8) for values in draws]
    covered = np.mean([interval.low <= 0 <= interval.high for interval in intervals])
    assert covered == pytest.approx(0.8, abs=0.03)  # three times its own error


@pytest.mark.parametrize(
    "values, message",
    [([0.1], "at least two, one per seed. Found 1"), ([0.1, np.nan], "finite numbers. Found nan")],
)
def test_too_few_or_no_numbers_have_no_interval(values, message):
    with pytest.raises(ValueError, match=message):
        statistics.mean_interval(values)


@pytest.mark.parametrize(
    "values, options, message",
    [
        ([0.1], {}, r"values must be at least two, one per seed. Found 1"),
        ([], {}, "n at least 1. Found .0"),
        ([0.1, np.nan], {}, "must be finite numbers. Found nan"),
        ([0.1, 0.2], {"confidence": 95}, r"confidence must be a number in \(0, 1\). Found 95"),
        ([0.1, 0.2], {"num_resamples": 0}, "num_resamples must be at least 1. Found 0"),
    ],
)
def test_a_bad_interval_is_refused(values, options, message):
    with pytest.raises(ValueError, match=message):
        statistics.bootstrap_interval(values, **options)
