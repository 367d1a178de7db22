"""Paired differences and bootstrap intervals over a few seeds.

A seed sets the initial weights, the cohorts and the order of the examples. Two configurations with
the same seed share as much of this as possible. So differences are taken seed by seed: a large part
of the chance is in both runs and cancels.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.stats

from fedlab.checks import (
    check_array,
    check_count,
    check_number,
    check_seed,
    check_table,
    check_text,
    describe,
)


class Interval(NamedTuple):
    """A mean and its interval, in the unit of the values.

    Attributes:
        mean: The mean.
        low: The lower end of the interval.
        high: The upper end of the interval.
    """

    mean: float
    low: float
    high: float


def bootstrap_interval(
    values: npt.ArrayLike,
    *,
    confidence: float = 0.95,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Returns the mean over seeds and its bootstrap interval (Efron & Tibshirani 1993, chapter 13).

    The interval says how much the mean would change with other seeds, that is with other initial
    weights, cohorts and orders of the examples. It does not say how much it would change with other
    test examples, clients or data. Five seeds are few: a percentile interval with a nominal
    confidence of 95% then contains the true mean in only 84 of 100 studies, for normally
    distributed values. So an interval that hardly excludes 0 proves nothing.

    Args:
        values: float (num_seeds,), at least two finite numbers.
        confidence: Nominal confidence, in (0, 1).
        num_resamples: Number of draws with replacement, at least 1.
        seed: Seed of the draws, at least 0.

    Returns:
        The mean and its interval. Equal values give an interval of width 0.

    Raises:
        TypeError: An option is not a number where a number is meant.
        ValueError: There are fewer than two values, a value is not finite, or an option is out of
            range.
    """
    array = check_array("values", values, (None,)).astype(np.float64)
    if len(array) < 2:
        raise ValueError(f"values must be at least two, one per seed. Found {len(array)}.")
    confidence = check_number("confidence", confidence, above=0, below=1)
    num_resamples, seed = check_count("num_resamples", num_resamples), check_seed(seed)
    mean = float(array.mean())
    if np.ptp(array) == 0:
        return Interval(mean, mean, mean)
    interval = scipy.stats.bootstrap(
        (array,),
        np.mean,
        vectorized=True,
        confidence_level=confidence,
        n_resamples=num_resamples,
        method="percentile",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(mean, float(interval.low), float(interval.high))


def mean_interval(values: npt.ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Returns the mean over seeds and its interval by Student's t (Student 1908).

    For two to four seeds, where a bootstrap interval is hardly more than the range and far too narrow.
    It has its nominal confidence if the values are normally distributed.

    Args:
        values: float (num_seeds,), at least two finite numbers.
        confidence: Confidence, in (0, 1).

    Returns:
        The mean and its interval. Equal values give an interval of width 0.

    Raises:
        TypeError: The confidence is not a number.
        ValueError: There are fewer than two values, a value is not finite, or the confidence is out of
            range.
    """
    array = check_array("values", values, (None,)).astype(np.float64)
    if len(array) < 2:
        raise ValueError(f"values must be at least two, one per seed. Found {len(array)}.")
    confidence = check_number("confidence", confidence, above=0, below=1)
    mean = float(array.mean())
    times = scipy.stats.t.ppf(0.5 + confidence / 2, df=len(array) - 1)
    half = float(times * array.std(ddof=1) / np.sqrt(len(array)))
    return Interval(mean, mean - half, mean + half)


def paired_differences(
    runs: pd.DataFrame, baseline: str, metric: str = "accuracy"
) -> dict[str, pd.Series]:
    """Returns each configuration's metric minus that of the baseline, seed by seed.

    Args:
        runs: A table with a row per run and the columns name (of the configuration), seed and the
            metric, such as the results of a study.
        baseline: Name of the configuration to compare with.
        metric: Name of the column to compare, such as "accuracy".

    Returns:
        From the name of a configuration, in the order of `runs`, to its differences, float64
        (num_seeds,), with the seed as the index. The differences of the baseline are 0.

    Raises:
        ValueError: The baseline or a column does not exist, a configuration has a seed twice or
            lacks a seed of the baseline, a value is NaN, or there are fewer than two seeds.
    """
    values = _by_seed(runs, metric)
    if not isinstance(baseline, str) or baseline not in values:
        raise ValueError(
            f"baseline must be one of {', '.join(values)}. Found {describe(baseline)}."
        )
    reference = values[baseline]
    if len(reference) < 2:
        raise ValueError(
            f"A comparison needs at least two seeds. {baseline!r} has {len(reference)}."
        )
    for name, series in values.items():
        if unmatched := sorted(set(series.index) ^ set(reference.index)):
            raise ValueError(
                f"{name!r} and {baseline!r} must have the same seeds, to be paired. Only one of "
                f"them has {', '.join(map(str, unmatched))}."
            )
    return {name: series - reference for name, series in values.items()}


def _by_seed(runs: pd.DataFrame, metric: str) -> dict[str, pd.Series]:
    check_table("runs", runs, ("name", "seed"))
    check_metric(runs, metric, "runs")
    by_name = {}
    for name, rows in runs.groupby("name", sort=False):
        series = rows.set_index("seed")[metric].astype(np.float64).sort_index()
        if series.index.has_duplicates:
            twice = series.index[series.index.duplicated()][0]
            raise ValueError(f"{name!r} has seed {twice} twice. Leave one out.")
        if series.isna().any():
            raise ValueError(
                f"{name!r} has no {metric} (NaN) for seed {series.index[series.isna()][0]}."
            )
        by_name[name] = series
    return by_name


def check_metric(table: pd.DataFrame, metric: str, name: str) -> None:
    """Raises TypeError or ValueError if a metric is not a column of numbers."""
    if check_text("metric", metric) not in table:
        columns = describe(list(map(str, table)))
        raise ValueError(
            f"metric: {name} must have a column {describe(metric)}. Found the columns {columns}."
        )
    if not pd.api.types.is_numeric_dtype(table[metric]) or table[metric].dtype == bool:
        raise TypeError(f"metric {metric!r} must be numbers. Found {table[metric].dtype}.")


def compare(
    runs: pd.DataFrame, baseline: str, metric: str = "accuracy", **options: Any
) -> pd.DataFrame:
    """Returns the table of a study: each configuration's mean and its difference to the baseline.

    Args:
        runs: A table with a row per run and the columns name (of the configuration), seed and the
            metric, such as the results of a study.
        baseline: Name of the configuration to compare with.
        metric: Name of the column to compare, such as "accuracy".
        **options: Keyword arguments of `bootstrap_interval`.

    Returns:
        A table with a row per configuration, with its name as the index, in the order of `runs`,
        and the columns num_seeds, mean, difference, low and high. The interval [low, high] is that
        of the difference. The difference of the baseline is 0.

    Raises:
        TypeError: An option is not a number where a number is meant.
        ValueError: The runs cannot be paired, as `paired_differences` says, or an option is out of
            range.
    """
    means = {name: series.mean() for name, series in _by_seed(runs, metric).items()}
    rows = {}
    for name, differences in paired_differences(runs, baseline, metric).items():
        interval = bootstrap_interval(differences.to_numpy(), **options)
        rows[name] = {"num_seeds": len(differences), "mean": means[name]}
        rows[name] |= {"difference": interval.mean, "low": interval.low, "high": interval.high}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")
