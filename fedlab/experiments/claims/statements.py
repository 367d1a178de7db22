"""Judges of single statements: what is uploaded, when to stop, and what the article's figures show."""

import pandas as pd

from fedlab.experiments import article
from fedlab.experiments.claims.claim import Figure, Judgement, build_figure, wilson
from fedlab.experiments.claims.evidence import Evidence, difference
from fedlab.experiments.claims.training import in_points
from fedlab.experiments.statement_configs import ONE_STEP_RATE, STOP_GROUP, UPLOAD_GROUP

SMALL = 0.02  # of accuracy: what may be lost without a remark
GUESSING = 0.1  # accuracy of guessing one of ten digits


def gradient_or_change(evidence: Evidence) -> Judgement:
    """Judges the upload: is a gradient as good as a change of parameters, at equal bytes?"""
    dataset = evidence.best_dataset("statements")
    table = evidence.table(f"statements_{dataset}")
    rows = table[table.group == UPLOAD_GROUP]
    means = rows.groupby("name").accuracy.mean()
    sgd = means[rows[rows.algorithm == "fed_sgd"].name.unique()].idxmax()
    avg = means[rows[rows.algorithm == "fed_avg"].name.unique()].idxmax()
    row = difference(rows, avg, sgd)
    figure = in_points(row, dataset, f"statements_{dataset}.csv")
    if row.low > SMALL:
        reason = "a client takes one step; with more steps the change gets further at equal bytes"
        return Judgement("holds if", reason, figure)
    if row.high < -SMALL:
        return Judgement("holds if", "a gradient is sent: it gets further at equal bytes", figure)
    return Judgement("holds", "Both get equally far at equal bytes.", figure)


def one_step_gap(table: pd.DataFrame) -> float:
    """Returns the largest gap in accuracy between FedSGD and FedAvg of one step, seed by seed."""
    rows = table[table.group == UPLOAD_GROUP]
    sgd = rows[(rows.algorithm == "fed_sgd") & (rows.server_learning_rate == ONE_STEP_RATE)]
    avg = rows[(rows.algorithm == "fed_avg") & (rows.batch_size == rows.batch_size.max())]
    gaps = sgd.set_index("seed").accuracy - avg.set_index("seed").accuracy
    return float(gaps.abs().max())


def until_it_converges(evidence: Evidence) -> Judgement:
    """Judges “until it converges”: does a rule stop in time, and lose little?"""
    dataset = evidence.best_dataset("statements")
    table = evidence.table(f"statements_{dataset}")
    rows = table[(table.group == STOP_GROUP) & (table.num_clients == 10)]
    whole, stopped = (
        rows[is_kind].name.iloc[0] for is_kind in (rows.patience.isna(), rows.patience.notna())
    )
    row = difference(rows, stopped, whole)
    figure = in_points(row, dataset, f"statements_{dataset}.csv")
    ended = rows[rows.name == stopped]
    in_time = bool((ended.num_rounds_done < ended.num_rounds).all())
    if in_time and row.low > -SMALL:
        return Judgement("holds", "A rule on held-out writers stops and loses little.", figure)
    if in_time or row.low > -SMALL:
        reason = (
            "a rule says when, and some accuracy may be lost: the curve has flat parts"
            if in_time
            else "a limit ends what the rule does not: it had not stopped all runs"
        )
        return Judgement("holds if", reason, figure)
    return Judgement("does not hold", "The rule neither stops nor keeps the accuracy.", figure)


def _printed(accuracy: float, num_digits: int) -> tuple[Figure, float, float]:
    """Returns a share that the article prints, in percent, and the ends of its interval."""
    (right,) = article.count_right([accuracy], num_digits)
    low, high = (100 * end for end in wilson(right, num_digits))
    source = f"{right} of {num_digits} digits"
    return Figure(100 * right / num_digits, low, high, "%", "the article's", source), low, high


def printed_test_accuracy(evidence: Evidence) -> Judgement:
    """Judges the article's 14.04%, which is 8 of 57 digits: can it be told from guessing?"""
    figure, low, high = _printed(article.TEST_ACCURACY, article.NUM_TEST_DIGITS)
    if low <= 100 * GUESSING <= high:
        reason = f"{figure.source} are meant, which cannot tell it from guessing"
        return Judgement("holds if", reason, figure)
    return Judgement("holds", "It differs from guessing.", figure)


def printed_accuracy_rises(evidence: Evidence) -> Judgement:
    """Judges the printed training accuracy: 44 of 480 digits in round 1, 73 in round 10."""
    (_, _, first_high), (figure, low, _) = (
        _printed(article.ACCURACIES[place], article.NUM_TRAIN_DIGITS) for place in (0, -1)
    )
    if low > first_high:
        return Judgement("holds", "The intervals of rounds 1 and 10 do not meet.", figure)
    return Judgement("does not hold", "The intervals of rounds 1 and 10 meet.", figure)


def speaks_for_all(evidence: Evidence) -> Judgement:
    """Judges the test on the five clients that train: is everyone's accuracy the same?"""
    table = evidence.table("baseline")
    rows = table[table.dataset == "writer digits"].set_index("evaluated_on")
    five, everyone = rows.loc["the five"], rows.loc["everyone"]
    right, count = round(five.accuracy * five.num_examples), int(five.num_examples)
    low, high = wilson(right, count)
    values = (100 * five.accuracy, 100 * low, 100 * high)
    figure = build_figure(values, "% on the five", "writer digits", "baseline.csv")
    if low <= everyone.accuracy <= high:
        return Judgement("holds", "Everyone's accuracy lies in the interval of the five's.", figure)
    reason = f"On everyone's digits it is {100 * everyone.accuracy:.1f}%."
    return Judgement("does not hold", reason, figure)


def accuracy_is_low(evidence: Evidence) -> Judgement:
    """Judges the article's own remark: is the accuracy of its settings low on our data, too?"""
    table = evidence.table("baseline")
    everyone = table[(table.dataset == "writer digits") & (table.evaluated_on == "everyone")].iloc[
        0
    ]
    right, count = round(everyone.accuracy * everyone.num_examples), int(everyone.num_examples)
    low, high = wilson(right, count)
    values = (100 * everyone.accuracy, 100 * low, 100 * high)
    figure = build_figure(values, "%", "writer digits", "baseline.csv")
    if high < 0.9:
        return Judgement("holds", "So it is with its settings on our data.", figure)
    return Judgement("does not hold", "Its settings reach 90% on our data.", figure)
