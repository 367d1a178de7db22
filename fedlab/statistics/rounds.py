"""Rounds until a run reaches a target accuracy, and their summary over seeds."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import pandas as pd

from fedlab.checks import (
    check_count,
    check_list,
    check_mapping,
    check_not_empty,
    check_number,
    check_table,
    check_text,
)
from fedlab.statistics.intervals import check_metric

Rounds: TypeAlias = float | None  # None: the target was not reached


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
    check_table("records", records, ("round_num",))
    check_metric(records, metric, "records")
    target = check_number("target", target)
    if records.round_num.duplicated().any():
        twice = records.round_num[records.round_num.duplicated()].iloc[0]
        raise ValueError(f"records must be of one run. Found round {twice} twice.")
    if records[metric].isna().all():
        raise ValueError(f"records must have a value of {metric!r}. Found none.")
    reached = records[records[metric] >= target]
    return int(reached.round_num.min()) if len(reached) else None


class _Summary(NamedTuple):
    """Rounds to a target over seeds. A seed that does not reach it counts as later than all others.

    A mean over the seeds that reach it would favour a configuration that often fails.
    """

    median: float  # infinite if half of the seeds or more do not reach it
    num_reached: int
    num_seeds: int
    num_rounds: int

    def __str__(self) -> str:
        """Returns a text such as `37 (4 of 5 seeds)` or `not reached in 100 rounds`."""
        share = f" ({self.num_reached} of {self.num_seeds} seeds)"
        if math.isinf(self.median):
            return f"not reached in {self.num_rounds} rounds{share if self.num_reached else ''}"
        return f"{self.median:g}{'' if self.num_reached == self.num_seeds else share}"


def _summarize(name: str, rounds: Sequence[Rounds], num_rounds: int) -> _Summary:
    num_rounds = check_count("num_rounds", num_rounds)
    values = check_rounds(name, rounds, num_rounds)
    reached = [value for value in values if math.isfinite(value)]
    ordered, middle = sorted(values), len(values) // 2
    median = ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return _Summary(median, len(reached), len(values), num_rounds)


def check_rounds(name: str, rounds: Sequence[Rounds], num_rounds: int) -> list[float]:
    """Returns rounds to a target as floats, infinite where the target was not reached.

    Args:
        name: The parameter's name, for the error.
        rounds: One number per seed, at least one seed. None or NaN: not reached.
        num_rounds: Number of rounds of each run.

    Raises:
        TypeError: It is no list of numbers.
        ValueError: There are no seeds, or a number is not between 0 and `num_rounds`.
    """
    values = check_list(name, rounds)
    check_not_empty(name, values)
    return [
        math.inf
        if value is None or (isinstance(value, float) and math.isnan(value))
        else check_number(name, value, at_least=0, at_most=num_rounds)
        for value in values
    ]


def _speed_up(summary: _Summary, baseline: _Summary) -> str:
    """Returns the baseline's rounds divided by these rounds; `–` if there is no such number."""
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
    summaries = {
        key: _summarize(f"rounds[{key!r}]", values, num_rounds)
        for key, values in check_mapping("rounds", rounds).items()
    }
    methods, settings = (list(dict.fromkeys(names)) for names in zip(*summaries, strict=True))
    check_text("baseline", baseline)
    table = pd.DataFrame("", index=pd.Index(methods, name="method"), columns=settings)
    for (method, setting), summary in summaries.items():
        if (baseline, setting) not in summaries:
            raise ValueError(
                f"The baseline {baseline!r} is missing for {setting!r}. Found {', '.join(methods)}."
            )
        ratio = _speed_up(summary, summaries[baseline, setting])
        is_plain = method == baseline or ratio == "–"
        table.loc[method, setting] = f"{summary}" if is_plain else f"{summary} ({ratio})"
    return table
