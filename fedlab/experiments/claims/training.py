"""Judges of what the article says about training: the suggestions, the uploads, when to stop."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from fedlab import statistics
from fedlab.experiments.claims.claim import Figure, JudgeFn, Judgement, build_figure
from fedlab.experiments.claims.evidence import REAL, SIMULATED, Evidence, difference, find_name

Changes = Mapping[str, Any]
_POINTS = "points of accuracy"
ADAM = {"client_optimizer": "adam", "client_learning_rate": 0.001}
WRITTEN_ADAM = {
    **ADAM,
    "algorithm": "fed_adam",
    "server_learning_rate": 0.1,
    "server_beta_2": 0.999,
    "server_epsilon": 1e-7,
}


def in_points(row: pd.Series, dataset: str, source: str) -> Figure:
    """Returns a difference in accuracy, in [-1, 1], as a figure in points."""
    values = (100 * row.difference, 100 * row.low, 100 * row.high)
    return build_figure(values, _POINTS, dataset.replace("_", " "), source)


def show_ends(figure: Figure) -> str:
    """Returns a difference and its interval as text, such as "+3.8 [-0.4, +7.9]"."""
    return f"{figure.value:+.1f} [{figure.low:+.1f}, {figure.high:+.1f}]"


def suggestion(
    *as_written: Changes,
    others: Sequence[Changes] = (),
    against: Changes | None = None,
    otherwise: str = "",
    condition: str = "",
) -> JudgeFn:
    """Returns a judge of a suggestion: does the accuracy rise, seed by seed, above the baseline's?

    It holds if the interval lies above 0 on both data sets. It holds on a condition if it does so
    on one of them, or if another version does on the real writers.

    Args:
        *as_written: The settings that it changes. More than one: the first that the study has.
        others: Other versions of the suggestion.
        against: What these are held against. Default: the baseline.
        otherwise: The condition, where only another version helps.
        condition: A condition, where it helps on both data sets.
    """

    def judge(evidence: Evidence) -> Judgement:
        rises, rows = {}, {}
        for dataset in (SIMULATED, REAL):
            rows[dataset] = _improvement(evidence, dataset, as_written)
            rises[dataset] = rows[dataset].low > 0
        figure = in_points(rows[REAL], REAL, f"improvements_{REAL}.csv")
        if all(rises.values()):
            if condition:
                return Judgement("holds if", condition, figure)
            return Judgement("holds", "On both data sets.", figure)
        if rises[REAL]:
            other = in_points(rows[SIMULATED], SIMULATED, "")
            reason = f"the writers are the real ones: on the simulated {show_ends(other)} points"
            return Judgement("holds if", reason, figure)
        if rises[SIMULATED]:
            return Judgement("holds if", "on the simulated writers alone", figure)
        for changes in others:
            if _improvement(evidence, REAL, [changes], against).low > 0:
                is_real = _improvement(evidence, SIMULATED, [changes], against).low <= 0
                reason = otherwise + ", and the writers are the real ones" * is_real
                return Judgement("holds if", reason, figure)
        return Judgement("does not hold", "No version that was tried raises the accuracy.", figure)

    return judge


def _improvement(
    evidence: Evidence, dataset: str, versions: Sequence[Changes], against: Changes | None = None
) -> pd.Series:
    file = f"improvements_{dataset}"
    table = evidence.table(file)
    baseline = find_name(table, against) if against else str(table.name.iloc[0])
    for changes in versions:
        name = find_name(table, changes)
        if name and baseline:
            return difference(table, name, baseline)
    raise ValueError(f"{file}.csv has no configuration that changes {[*versions][-1]}.")


def better_on_skewed_clients(algorithm: str) -> JudgeFn:
    """Returns a judge: does an algorithm beat FedAvg where the clients differ most (Dirichlet 0.05)?

    Args:
        algorithm: As `RunConfig` names it. Of several settings the best one counts.
    """

    def judge(evidence: Evidence) -> Judgement:
        best = {}
        for dataset in (SIMULATED, REAL):
            table = evidence.table(f"non_iid_{dataset}")
            hard = table[(table.partition == "dirichlet") & (table.alpha == 0.05)]
            baseline = hard[hard.algorithm == "fed_avg"].name.iloc[0]
            names = hard[hard.algorithm == algorithm].name.unique()
            found = [difference(hard, name, baseline) for name in names]
            best[dataset] = max(found, key=lambda row: row.low)
        figure = in_points(best[REAL], REAL, f"non_iid_{REAL}.csv")
        better = [row.low > 0 for row in best.values()]
        if all(better):
            return Judgement("holds", "Where clients differ most; on both data sets.", figure)
        if any(better):
            name = next(name for name, row in best.items() if row.low > 0)
            return Judgement("holds if", f"the data is {name}: not on the other", figure)
        reason = "No gain over FedAvg is shown where clients differ most."
        return Judgement("does not hold", reason, figure)

    return judge


def non_iid_is_handled(evidence: Evidence) -> Judgement:
    """Judges plain FedAvg: does it reach the target on every kind of clients?"""
    table = evidence.table(f"non_iid_{REAL}")
    plain = table[table.algorithm == "fed_avg"]
    reached = (
        plain.groupby("partition").rounds_to_target.count() / plain.groupby("partition").size()
    )
    hard = plain[(plain.partition == "dirichlet") & (plain.alpha == 0.05)]
    interval = statistics.bootstrap_interval(hard.accuracy)
    values = [100 * value for value in interval]
    figure = build_figure(
        values, "% accuracy, Dirichlet 0.05", "writer digits", f"non_iid_{REAL}.csv"
    )
    if hard.rounds_to_target.notna().all():
        return Judgement(
            "holds", "FedAvg reaches the target even where clients differ most.", figure
        )
    if reached["natural"] == 1:
        return Judgement(
            "holds if", "the clients differ as real writers do, and not as much as can be", figure
        )
    return Judgement("does not hold", "FedAvg misses the target on real writers.", figure)


def most_direct(evidence: Evidence) -> Judgement:
    """Judges the closing advice: are more rounds and another model the two largest gains?"""
    table = evidence.table(f"improvements_{REAL}")
    gains = statistics.compare(table, table.name.iloc[0])
    groups = table.groupby("name").group.first()
    best = gains.groupby(groups).difference.max().sort_values(ascending=False)
    named = [group for group in best.index if group.startswith(("1 ", "2 "))]
    rank = [*best.index].index(named[0]) + 1
    first = gains.loc[gains.index[groups[gains.index] == named[0]]].difference.idxmax()
    figure = in_points(gains.loc[first], REAL, f"improvements_{REAL}.csv")
    alone = gains.loc[[name for name in gains.index if groups[name].startswith("2 ")]]
    if rank == 1 and alone.low.iloc[0] > 0:
        return Judgement("holds", "Nothing else that was tried gains more.", figure)
    if gains.low[first] > 0 and alone.low.iloc[0] > 0:
        return Judgement("holds if", f"“{best.index[0]}” is not tried", figure)
    reason = f"Alone, another model gives {100 * alone.difference.iloc[0]:+.1f}; the figure is of “{first}”."
    return Judgement("does not hold", reason, figure)


def all_together(evidence: Evidence) -> Judgement:
    """Judges the suggestions together: do all eight as written raise the accuracy?"""
    rows = {}
    for dataset in (SIMULATED, REAL):
        table = evidence.table(f"ladder_{dataset}")
        name = table[table.group == "as written"].name.iloc[0]
        rows[dataset] = difference(table, name, table.name.iloc[0])
    figure = in_points(rows[REAL], REAL, f"ladder_{REAL}.csv")
    rises = [row.low > 0 for row in rows.values()]
    if all(rises):
        return Judgement("holds", "On both data sets.", figure)
    if any(rises):
        name = next(name for name, row in rows.items() if row.low > 0)
        return Judgement("holds if", f"the data is {name}: not on the other", figure)
    falls = any(row.high < 0 for row in rows.values())
    reason = "All eight as written end lower than the start." if falls else "No gain is shown."
    return Judgement("does not hold", reason, figure)


def is_random_sample(evidence: Evidence) -> Judgement:
    """Judges the comment “randomly chosen”: does a random cohort change nothing?"""
    row = _improvement(evidence, REAL, [{"sampling": "uniform"}])
    table = evidence.table(f"improvements_{REAL}")
    name = find_name(table, {"sampling": "uniform"})
    spread = table.groupby("name").accuracy.agg(lambda values: values.max() - values.min())
    figure = in_points(row, REAL, f"improvements_{REAL}.csv")
    if spread[name] <= spread[table.name.iloc[0]]:
        return Judgement("holds", "A random cohort varies no more from seed to seed.", figure)
    return Judgement(
        "does not hold",
        "The same first five train in every round; random cohorts vary more from seed to seed.",
        figure,
    )
