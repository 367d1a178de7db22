"""Judges of what the article says about large models, on a small one."""

import pandas as pd

from fedlab import statistics
from fedlab.experiments.claims.claim import Figure, Judgement, build_figure
from fedlab.experiments.claims.evidence import Evidence
from fedlab.experiments.language import summary

_STUDY, _ROUNDS, _LEAKS, _PLAYS = "language", "language_rounds", "text_leaks", "plays"
MAX_READ = 5.0  # % of the tokens: what guessing could perhaps give
USUAL_EPSILON = 8.0
MAX_FACTOR = 10.0  # of time: what training could perhaps pay


def updates_hide_text(evidence: Evidence) -> Judgement:
    """Judges whether data that stay with the client are protected: is a text read in an update?"""
    rows = evidence.table(_LEAKS)
    rows = rows[rows.name == "one window"]
    if rows.empty:
        raise ValueError(f"{_LEAKS}.csv must have rows of 'one window'. Found none.")
    values = 100 * rows.window_share
    unit = "% of a text's tokens, read in its update"
    figure = build_figure(
        [values.mean(), values.min(), values.max()], unit, _PLAYS, f"{_LEAKS}.csv"
    )
    if values.min() > MAX_READ:
        return Judgement("does not hold", "The server reads a client's text in its update.", figure)
    return Judgement("holds if", "nobody asks the finished model", figure)


def noise_lowers_risk(evidence: Evidence) -> Judgement:
    """Judges whether noise in the updates keeps a secret that is given away without it."""
    runs = evidence.table(_STUDY)
    rows = runs[runs.group == "protection"]
    is_noised = rows.target_epsilon.notna()
    noised, plain = rows[is_noised], rows[~is_noised]
    names = noised.name.str.replace(r"epsilon \d+", "clipped", regex=True)
    pairs = (
        pd.Series(noised.exposure.to_numpy(), index=[names, noised.seed])
        - plain.set_index(["name", "seed"]).exposure
    )
    interval = statistics.bootstrap_interval(pairs)
    unit = (
        f"bits of exposure; {len(pairs)} runs of 8 silos at epsilon {USUAL_EPSILON:g}, delta "
        f"{noised.delta.iloc[0]:.2g}"
    )
    figure = build_figure([*interval[:3]], unit, _PLAYS, f"{_STUDY}.csv")
    if interval.high >= 0:
        return Judgement("does not hold", "The secret is known as well as without noise.", figure)
    gain = summary.gain(noised).mean
    if gain < 0:
        reason = "the model may be ruined: no number of clients that was tried keeps both"
        return Judgement("holds if", reason, figure)
    return Judgement("holds", "The secret is kept, and the model gains.", figure)


def encryption_covers_computation(evidence: Evidence) -> Judgement:
    """Judges whether a forward pass is made under encryption: what does its smallest part cost?"""
    table = evidence.table(_ROUNDS)
    rows = table[(table.part == "the head at one place") & (table.how == "ckks")]
    if len(rows) != 1:
        raise ValueError(
            f"{_ROUNDS}.csv must have one row of the head under CKKS. Found {len(rows)}."
        )
    factor = float(rows.ratio.iloc[0])
    unit = "times the time of a plain product, for the last layer at one place"
    figure = Figure(factor, None, None, unit, _PLAYS, f"{_ROUNDS}.csv")
    if factor > MAX_FACTOR:
        reason = "Sums are encrypted; each client trains in the clear."
        return Judgement("does not hold", reason, figure)
    return Judgement(
        "holds if", "the whole training step costs as little as its last layer", figure
    )
