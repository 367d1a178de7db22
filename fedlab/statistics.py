"""What a few seeds say: paired differences, bootstrap intervals, rounds to a target accuracy.

A seed sets the initial weights, the cohorts and the order of the digits, and two configurations with
one seed have in common what they can. So a difference is taken seed by seed: much of the luck is in
both and cancels.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.stats

Rounds = int | None  # None: the target was not reached


class Interval(NamedTuple):
    """A mean, and between what it may lie; in the unit of the values."""

    mean: float
    low: float
    high: float


def bootstrap_interval(
    values: Sequence[float],
    *,
    confidence: float = 0.95,
    method: str = "percentile",
    num_resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Returns the mean over seeds and its bootstrap interval (Efron & Tibshirani 1993, chapter 13).

    It says how far the mean would move with other seeds: other initial weights, cohorts and orders.
    It does not say how far it would move with other test digits, writers or data. Five seeds are
    few: a nominal 95% percentile interval then holds the true mean in about 84 of 100 studies (for
    normal values; a test measures it), so an interval that barely misses 0 is no proof.

    Args:
        values: float (num_seeds,), at least two, finite.
        confidence: Nominal, in (0, 1).
        method: "percentile", or "bca" (corrected for bias and skew, which five values hardly show).
        num_resamples: Draws with replacement, at least 1.
        seed: Of the draws.

    Returns:
        mean, low and high. Values that are all the same give an interval of width 0.

    Raises:
        ValueError: Fewer than two values, one that is not finite, or an option out of range.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(
            "An interval needs a list of at least two values, one a seed. Found shape "
            f"{values.shape}. Run more seeds."
        )
    if not np.isfinite(values).all():
        raise ValueError(f"values must be finite numbers. Found {values[~np.isfinite(values)][0]}.")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1). Found {confidence}.")
    if method not in ("percentile", "bca"):
        raise ValueError(f"method must be 'percentile' or 'bca'. Found {method!r}.")
    if num_resamples < 1:
        raise ValueError(f"num_resamples must be at least 1. Found {num_resamples}.")
    mean = float(values.mean())
    if np.ptp(values) == 0:  # BCa divides by the spread
        return Interval(mean, mean, mean)
    found = scipy.stats.bootstrap(
        (values,),
        np.mean,
        vectorized=True,
        confidence_level=confidence,
        n_resamples=num_resamples,
        method=method,
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(mean, float(found.low), float(found.high))


def paired_differences(
    runs: pd.DataFrame, baseline: str, metric: str = "accuracy"
) -> dict[str, pd.Series]:
    """Returns, for each configuration, its metric less the baseline's, seed by seed.

    Args:
        runs: One row per run with the columns name, seed and the metric, as a study's results.
        baseline: Name of the configuration that the others are held against.
        metric: Such as "accuracy".

    Returns:
        Name to differences, float64 (num_seeds,), indexed by seed, in the order of `runs`. The
        baseline's own are 0.

    Raises:
        ValueError: There is no such baseline or column, a seed is there twice or is missing on one
            side, a value is NaN, or there are fewer than two seeds.
    """
    values = _by_seed(runs, metric)
    if baseline not in values:
        raise ValueError(f"There is no configuration {baseline!r}. There are: {', '.join(values)}.")
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
    found = {}
    for name, rows in runs.groupby("name", sort=False):
        series = rows.set_index("seed")[metric].astype(np.float64).sort_index()
        if series.index.has_duplicates:
            twice = series.index[series.index.duplicated()][0]
            raise ValueError(f"{name!r} has seed {twice} twice. Leave one out.")
        if series.isna().any():
            raise ValueError(
                f"{name!r} has no {metric} (NaN) for seed {series.index[series.isna()][0]}."
            )
        found[name] = series
    return found


def compare(runs: pd.DataFrame, baseline: str, metric: str = "accuracy", **options) -> pd.DataFrame:
    """Returns the table of a study: each configuration's mean and its difference to the baseline.

    Args:
        runs: As in `paired_differences`.
        baseline: As there.
        metric: As there.
        **options: Of `bootstrap_interval`.

    Returns:
        Index name, in the order of `runs`; num_seeds, mean, difference, low and high, of which the
        last two bound the difference. The baseline's difference is 0.

    Raises:
        ValueError: As `paired_differences`.
    """
    means = {name: series.mean() for name, series in _by_seed(runs, metric).items()}
    rows = {}
    for name, differences in paired_differences(runs, baseline, metric).items():
        interval = bootstrap_interval(differences.to_numpy(), **options)
        rows[name] = {"num_seeds": len(differences), "mean": means[name]}
        rows[name] |= {"difference": interval.mean, "low": interval.low, "high": interval.high}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")


def rounds_to_target(records: pd.DataFrame, target: float, metric: str = "eval_accuracy") -> Rounds:
    """Returns the first round whose value reaches the target (McMahan et al. 2017, section 3).

    Only evaluated rounds count, so with an evaluation every tenth round the answer is a multiple
    of ten. The curve is taken as it is; the paper first makes it monotonic, which gives the same.

    Args:
        records: One row per round of one run: round_num, and the metric, NaN where not evaluated.
        target: Such as 0.9.
        metric: The larger, the better.

    Returns:
        The round's number, 0 if the initial model is there already; `None` if it is never reached.

    Raises:
        ValueError: A column is missing, a round is there twice, there is no value at all, or the
            target is not a number.
    """
    for column in ("round_num", metric):
        if column not in records:
            raise ValueError(f"records must have a column {column!r}. Found {', '.join(records)}.")
    if math.isnan(target):
        raise ValueError(f"target must be a number. Found {target}.")
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
        median: Over all seeds, those that never reach it counting as later than any that does;
            infinite where half of the seeds or more do not.
        num_reached: Seeds that reach it.
        num_seeds: All seeds.
        num_rounds: After so many the runs ended.
    """

    median: float
    num_reached: int
    num_seeds: int
    num_rounds: int

    def __str__(self) -> str:
        """Such as `37`, `37 (4 of 5 seeds)`, or `not reached in 100 rounds (1 of 5 seeds)`."""
        share = f" ({self.num_reached} of {self.num_seeds} seeds)"
        if math.isinf(self.median):
            return f"not reached in {self.num_rounds} rounds{share if self.num_reached else ''}"
        return f"{self.median:g}{'' if self.num_reached == self.num_seeds else share}"


def summarize_rounds(rounds: Sequence[Rounds], num_rounds: int) -> RoundsSummary:
    """Summarises rounds to a target over seeds, without leaving out those that never reach it.

    A mean over the lucky seeds would reward a configuration that often fails. The median does not
    need to know how late a late seed would have been.

    Args:
        rounds: One per seed; `None` or NaN: not reached.
        num_rounds: After so many the runs ended, at least 1.

    Raises:
        ValueError: There are no seeds, or a number is not between 0 and `num_rounds`.
    """
    if not len(rounds):
        raise ValueError("rounds must hold at least one seed. Found none.")
    if num_rounds < 1:
        raise ValueError(f"num_rounds must be at least 1. Found {num_rounds}.")
    values = [math.inf if one is None or math.isnan(one) else float(one) for one in rounds]
    reached = [value for value in values if math.isfinite(value)]
    for value in reached:
        if not 0 <= value <= num_rounds:
            raise ValueError(f"rounds must lie between 0 and {num_rounds}. Found {value:g}.")
    ordered, middle = sorted(values), len(values) // 2
    median = ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return RoundsSummary(median, len(reached), len(values), num_rounds)


def speed_up(summary: RoundsSummary, baseline: RoundsSummary) -> str:
    """Returns how many times fewer rounds than the baseline, as McMahan et al. 2017 write it.

    Returns:
        `2.4×`; `more than 2.4×` where only the baseline did not get there; `–` where this one did
        not, or begins beyond the target.
    """
    if math.isinf(summary.median) or summary.median == 0:
        return "–"
    if math.isinf(baseline.median):
        return f"more than {baseline.num_rounds / summary.median:.1f}×"
    return f"{baseline.median / summary.median:.1f}×"


def rounds_table(
    rounds: Mapping[tuple[str, str], Sequence[Rounds]], num_rounds: int, baseline: str
) -> pd.DataFrame:
    """Returns rounds and speed-up in the form of McMahan et al. 2017, table 2.

    Args:
        rounds: (method, setting) to the rounds to the target, one per seed.
        num_rounds: After so many the runs ended.
        baseline: The method that the others are held against, setting by setting.

    Returns:
        Index method, columns setting, in the order given; text such as `37 (2.4×)`.

    Raises:
        ValueError: The baseline is missing for a setting, or as `summarize_rounds`.
    """
    found = {key: summarize_rounds(values, num_rounds) for key, values in rounds.items()}
    methods, settings = (list(dict.fromkeys(names)) for names in zip(*found, strict=True))
    table = pd.DataFrame("", index=pd.Index(methods, name="method"), columns=settings)
    for (method, setting), summary in found.items():
        if (baseline, setting) not in found:
            raise ValueError(f"The baseline {baseline!r} is missing for {setting!r}.")
        ratio = speed_up(summary, found[baseline, setting])
        is_plain = method == baseline or ratio == "–"
        table.loc[method, setting] = f"{summary}" if is_plain else f"{summary} ({ratio})"
    return table


def count_worst(num_clients: int, worst_fraction: float = 0.1) -> int:
    """Returns how many clients make "the worst".

    Args:
        num_clients: How many there are, at least 1.
        worst_fraction: Their share, in (0, 1]: 0.1 is the worst decile.

    Returns:
        That share, rounded up to whole clients, so at least 1.

    Raises:
        ValueError: `worst_fraction` is out of range.
    """
    if not 0 < worst_fraction <= 1:
        raise ValueError(f"worst_fraction must be in (0, 1], 0.1 a decile. Found {worst_fraction}.")
    return math.ceil(round(worst_fraction * num_clients, 9))  # 0.1 * 30 is a little above 3
