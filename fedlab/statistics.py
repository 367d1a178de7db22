"""Statistics over a few seeds: paired differences, bootstrap intervals, rounds to a target.

A seed sets the initial weights, the cohorts and the order of the examples. Two configurations with
the same seed share as much of this as possible. So differences are taken seed by seed: a large part
of the chance is in both runs and cancels.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.stats

from fedlab.checks import check_choice, check_count, check_not_empty, check_number, check_seed

Rounds: TypeAlias = float | None  # None: the target was not reached


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
    method: str = "percentile",
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
        method: "percentile", or "bca", which corrects for bias and skewness; with five values the
            two hardly differ.
        num_resamples: Number of draws with replacement, at least 1.
        seed: Seed of the draws, at least 0.

    Returns:
        The mean and its interval. Equal values give an interval of width 0.

    Raises:
        TypeError: An option is not a number where a number is meant.
        ValueError: There are fewer than two values, a value is not finite, or an option is out of
            range.
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or len(array) < 2:
        raise ValueError(
            "An interval needs a list of at least two values, one per seed. Found shape "
            f"{array.shape}. Run more seeds."
        )
    if not np.isfinite(array).all():
        raise ValueError(f"values must be finite numbers. Found {array[~np.isfinite(array)][0]}.")
    check_number("confidence", confidence, above=0, below=1)
    check_choice("method", method, ("percentile", "bca"))
    check_count("num_resamples", num_resamples)
    check_seed(seed)
    mean = float(array.mean())
    if np.ptp(array) == 0:  # BCa divides by the spread
        return Interval(mean, mean, mean)
    interval = scipy.stats.bootstrap(
        (array,),
        np.mean,
        vectorized=True,
        confidence_level=confidence,
        n_resamples=num_resamples,
        method=method,
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(mean, float(interval.low), float(interval.high))


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
    if baseline not in values:
        raise ValueError(f"baseline must be one of {', '.join(values)}. Found {baseline!r}.")
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
    for column in ("name", "seed", metric):
        if column not in runs:
            raise ValueError(f"runs must have a column {column!r}. Found {', '.join(runs)}.")
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


def rounds_to_target(
    records: pd.DataFrame, target: float, metric: str = "eval_accuracy"
) -> int | None:
    """Returns the first round whose value reaches the target (McMahan et al. 2017, section 3).

    Only rounds with an evaluation count, so with an evaluation in every tenth round the result is
    a multiple of ten. The paper first makes the curve monotonic, which gives the same result.

    Args:
        records: A table with a row per round of one run and the columns round_num and the metric,
            which is NaN in rounds without an evaluation.
        target: The value to reach, such as 0.9.
        metric: Name of the column; larger values are better.

    Returns:
        The round's number; 0 means that the initial model reaches the target. None: no round
        reaches it.

    Raises:
        TypeError: The target is not a number.
        ValueError: A column is missing, a round appears twice, the metric has no value, or the
            target is not finite.
    """
    for column in ("round_num", metric):
        if column not in records:
            raise ValueError(f"records must have a column {column!r}. Found {', '.join(records)}.")
    check_number("target", target)
    if records.round_num.duplicated().any():
        twice = records.round_num[records.round_num.duplicated()].iloc[0]
        raise ValueError(f"records must be of one run. Found round {twice} twice.")
    if records[metric].isna().all():
        raise ValueError(f"records must have a value of {metric!r}. Found none.")
    reached = records[records[metric] >= target]
    return int(reached.round_num.min()) if len(reached) else None


class RoundsSummary(NamedTuple):
    """Rounds to a target over seeds.

    Attributes:
        median: Median over all seeds, where a seed that does not reach the target counts as later
            than all others. Infinite if half of the seeds or more do not reach it.
        num_reached: Number of seeds that reach the target.
        num_seeds: Number of seeds.
        num_rounds: Number of rounds of each run.
    """

    median: float
    num_reached: int
    num_seeds: int
    num_rounds: int

    def __str__(self) -> str:
        """Returns a text such as `37 (4 of 5 seeds)` or `not reached in 100 rounds`."""
        share = f" ({self.num_reached} of {self.num_seeds} seeds)"
        if math.isinf(self.median):
            return f"not reached in {self.num_rounds} rounds{share if self.num_reached else ''}"
        return f"{self.median:g}{'' if self.num_reached == self.num_seeds else share}"


def summarize_rounds(rounds: Sequence[Rounds], num_rounds: int) -> RoundsSummary:
    """Summarises rounds to a target over seeds, including those that do not reach it.

    A mean over the seeds that reach the target would favour a configuration that often fails. The
    median needs no number for a seed that does not reach it.

    Args:
        rounds: The rounds to the target, one number per seed. None or NaN: not reached.
        num_rounds: Number of rounds of each run, at least 1.

    Returns:
        The summary.

    Raises:
        TypeError: `num_rounds` is not a whole number.
        ValueError: There are no seeds, or a number is not between 0 and `num_rounds`.
    """
    check_not_empty("rounds", rounds)
    num_rounds = check_count("num_rounds", num_rounds)
    values = [math.inf if value is None or math.isnan(value) else float(value) for value in rounds]
    reached = [value for value in values if math.isfinite(value)]
    for value in reached:
        if not 0 <= value <= num_rounds:
            raise ValueError(f"rounds must lie between 0 and {num_rounds}. Found {value:g}.")
    ordered, middle = sorted(values), len(values) // 2
    median = ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return RoundsSummary(median, len(reached), len(values), num_rounds)


def speed_up(summary: RoundsSummary, baseline: RoundsSummary) -> str:
    """Returns the baseline's rounds divided by these rounds, as McMahan et al. 2017 write it.

    Args:
        summary: Rounds to a target of a method.
        baseline: Rounds to the same target of the baseline.

    Returns:
        Text such as `2.4×`; `more than 2.4×` if only the baseline does not reach the target; `–` if
        the method does not reach it, or reaches it before the first round.
    """
    if math.isinf(summary.median) or summary.median == 0:
        return "–"
    if math.isinf(baseline.median):
        return f"more than {baseline.num_rounds / summary.median:.1f}×"
    return f"{baseline.median / summary.median:.1f}×"


def rounds_table(
    rounds: Mapping[tuple[str, str], Sequence[Rounds]], num_rounds: int, baseline: str
) -> pd.DataFrame:
    """Returns rounds and speed-ups in the form of McMahan et al. 2017, table 2.

    Args:
        rounds: From (method, setting) to the rounds to the target, one number per seed. None or
            NaN: not reached.
        num_rounds: Number of rounds of each run, at least 1.
        baseline: The method with which the others are compared in each setting.

    Returns:
        A table with a row per method and a column per setting, in the order given, of texts such as
        `37 (2.4×)`.

    Raises:
        TypeError: `num_rounds` is not a whole number.
        ValueError: There are no rounds or no seeds, the baseline is missing for a setting, or a
            number is not between 0 and `num_rounds`.
    """
    check_not_empty("rounds", rounds)
    summaries = {key: summarize_rounds(values, num_rounds) for key, values in rounds.items()}
    methods, settings = (list(dict.fromkeys(names)) for names in zip(*summaries, strict=True))
    table = pd.DataFrame("", index=pd.Index(methods, name="method"), columns=settings)
    for (method, setting), summary in summaries.items():
        if (baseline, setting) not in summaries:
            raise ValueError(f"The baseline {baseline!r} is missing for {setting!r}.")
        ratio = speed_up(summary, summaries[baseline, setting])
        is_plain = method == baseline or ratio == "–"
        table.loc[method, setting] = f"{summary}" if is_plain else f"{summary} ({ratio})"
    return table


def count_worst(num_clients: int, worst_fraction: float = 0.1) -> int:
    """Returns the number of clients that count as the worst.

    Args:
        num_clients: Number of all clients, at least 1.
        worst_fraction: Fraction that counts as the worst, in (0, 1]; 0.1 is the worst decile.

    Returns:
        That fraction of the clients, rounded up to whole clients.

    Raises:
        TypeError: `worst_fraction` is not a number.
        ValueError: `worst_fraction` is out of range.
    """
    fraction = check_number("worst_fraction", worst_fraction, above=0, at_most=1)
    # In floating point 0.1 * 30 is a little above 3.
    return math.ceil(round(fraction * num_clients, 9))
