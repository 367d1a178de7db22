"""Judges of what the article says about privacy, encryption and the work of the edge."""

import math

import pandas as pd

from fedlab import statistics
from fedlab.experiments.claims.claim import Figure, JudgeFn, Judgement, Verdict, build_figure
from fedlab.experiments.claims.evidence import Evidence

_LEDGER, _EPSILON, _EDGE = "privacy_ledger", "privacy_epsilon", "edge"
SEEN = 0.1  # an SSIM this far above that of a blank image shows something of the digit
LOSS = 0.02  # of accuracy: a small price
USUAL_EPSILON = 8.0
_REAL = "writer digits"


def _rows(evidence: Evidence, mechanism: str, secure_sum: str | None = None) -> pd.DataFrame:
    """Returns the ledger's rows of a defence: one for each seed, and each epsilon."""
    table = evidence.table(_LEDGER)
    is_sum = table.secure_sum.isna() if secure_sum is None else table.secure_sum == secure_sum
    rows = table[(table.mechanism == mechanism) & is_sum]
    if rows.empty:
        raise ValueError(f"{_LEDGER}.csv has no row {mechanism!r} with the sum {secure_sum!r}.")
    return rows


def _visibility(rows: pd.DataFrame) -> Figure:
    """Returns how like the originals the rebuilt digits are: the mean, and the range over seeds."""
    values = rows.reconstruction_ssim
    ends = (values.min(), values.max()) if values.nunique() > 1 else (None, None)
    unit = f"SSIM (a blank image: {rows.blank_ssim.mean():.2f})"
    return build_figure([values.mean(), *ends], unit, _REAL, f"{_LEDGER}.csv")


def _is_seen(rows: pd.DataFrame) -> bool:
    return bool(rows.reconstruction_ssim.mean() > rows.blank_ssim.mean() + SEEN)


def _membership(rows: pd.DataFrame) -> Figure:
    means = rows[["membership_auc", "membership_low", "membership_high"]].mean()
    return build_figure([*means], "AUC (0.5: guessing)", _REAL, f"{_LEDGER}.csv")


def local_data_is_safe(evidence: Evidence) -> Judgement:
    """Judges whether data that stays local does not leak: what does a server see in an update?"""
    rows = _rows(evidence, "none")
    if _is_seen(rows):
        reason = "The server rebuilds digits from the update of a client."
        return Judgement("does not hold", reason, _visibility(rows))
    if rows.membership_low.mean() > 0.5:
        return Judgement("holds if", "nobody attacks the finished model", _membership(rows))
    return Judgement("holds", "Neither attack finds anything.", _visibility(rows))


def noise_bounds_influence(evidence: Evidence) -> Judgement:
    """Judges whether noise bounds a single influence: does an audit stay below the accountant?"""
    table = evidence.table(_EPSILON)
    noisy = table[table.audit_epsilon.notna()]
    worst = noisy.loc[(noisy.audit_epsilon / noisy.epsilon).idxmax()]
    unit = (
        f"audited epsilon; the accountant says {worst.epsilon:.2f}, both at delta {worst.delta:.2g}"
    )
    figure = Figure(worst.audit_epsilon, None, None, unit, worst.dataset, f"{_EPSILON}.csv")
    if (noisy.audit_epsilon <= noisy.epsilon).all():
        reason = "each update is clipped first, and the noise of all rounds is accounted for"
        return Judgement("holds if", reason, figure)
    return Judgement("does not hold", "An audit finds more than the accountant allows.", figure)


def noise_stops_attackers(evidence: Evidence) -> Judgement:
    """Judges whether noise stops inference: of members by the model, else of digits by the server."""
    rows = _rows(evidence, "noise")
    strongest = rows[rows.target_epsilon == rows.target_epsilon.min()]
    figure = _membership(strongest)
    hides_members = strongest.membership_low.mean() <= 0.5
    if hides_members and not _is_seen(strongest):
        return Judgement("holds", "Neither members nor digits are found.", figure)
    if hides_members:
        epsilon = strongest.target_epsilon.iloc[0]
        delta = strongest.delta.iloc[0]
        reason = f"epsilon is small: at {epsilon:g} (delta {delta:.2g}) this attack finds no members, others may"
        return Judgement("holds if", reason, figure)
    return Judgement("does not hold", "Members are found in spite of the noise.", figure)


def sums_need_no_decryption(evidence: Evidence) -> Judgement:
    """Judges computing on encrypted updates: is the model that of the plain sum?"""
    plain, encrypted = _rows(evidence, "none"), _rows(evidence, "integers", "ckks")
    gap = 100 * (encrypted.accuracy.mean() - plain.accuracy.mean())
    unit = "points of accuracy, to the plain sum"
    figure = Figure(gap, None, None, unit, _REAL, f"{_LEDGER}.csv")
    if abs(gap) < 100 * LOSS:
        return Judgement("holds if", "only sums are computed, and who has the key decrypts", figure)
    return Judgement("does not hold", "The encrypted sum costs accuracy.", figure)


def hides_single_updates(secure_sum: str, condition: str) -> JudgeFn:
    """Returns a judge of a secure sum: what does the server still see, and who finds members?

    Args:
        secure_sum: As the ledger names it.
        condition: What else has to be so.
    """

    def judge(evidence: Evidence) -> Judgement:
        rows = _rows(evidence, "integers", secure_sum)
        if _is_seen(rows):
            return Judgement("does not hold", "Digits are seen in the sum.", _visibility(rows))
        verdict: Verdict = "holds if" if rows.membership_low.mean() > 0.5 else "holds"
        reason = condition if verdict == "holds if" else "Neither attack finds anything."
        return Judgement(verdict, reason, _visibility(rows))

    return judge


def privacy_and_performance(evidence: Evidence) -> Judgement:
    """Judges the balance: what does epsilon 8 cost, on each data set?

    The canaries of an audit are clients that know nothing. On few real clients they cost accuracy, which is
    not privacy's price: the runs with noise are those without an audit.
    """
    table = evidence.table(_EPSILON)
    clipped = table[table["clip"].map(math.isfinite) & table.audit_epsilon.isna()]
    intervals = {}
    for dataset, rows in clipped.groupby("dataset"):
        plain, noisy = (
            rows[rows.target_epsilon == epsilon].set_index("seed").accuracy
            for epsilon in (math.inf, USUAL_EPSILON)
        )
        intervals[dataset] = statistics.bootstrap_interval((plain - noisy).dropna())
    values = [-100 * end for end in (intervals[_REAL][0], *intervals[_REAL][:0:-1])]
    delta = table[table.dataset == _REAL].delta.iloc[0]
    unit = f"points of accuracy for epsilon {USUAL_EPSILON:g} at delta {delta:.2g}"
    figure = build_figure(values, unit, _REAL, f"{_EPSILON}.csv")
    cheap = {dataset: interval.high <= LOSS for dataset, interval in intervals.items()}
    if all(cheap.values()):
        return Judgement("holds", "Epsilon 8 costs at most two points on both data sets.", figure)
    if cheap[_REAL]:
        prices = {name: 100 * interval.mean for name, interval in intervals.items()}
        name = max(prices, key=lambda name: prices[name])
        reason = f"as many clients take part as here: on {name} it costs {prices[name]:.0f} points"
        return Judgement("holds if", reason, figure)
    return Judgement("does not hold", "Epsilon 8 costs more than two points.", figure)


def all_in_one(evidence: Evidence) -> Judgement:
    """Judges whether all of it together gives privacy: masks, and noise at the clients."""
    rows = _rows(evidence, "distributed", "secagg")
    figure = _membership(rows)
    if _is_seen(rows):
        return Judgement("does not hold", "Digits are seen in the noised sum.", figure)
    if rows.membership_low.mean() > 0.5:
        reason = "Alone it is no defence, and with masks and noise members are found still."
        return Judgement("does not hold", reason, figure)
    return Judgement("holds", "Neither attack finds anything.", figure)


def _edge_ratios(evidence: Evidence, column: str) -> dict[str, statistics.Interval]:
    """Returns federated divided by central, seed by seed, of each data set."""
    ratios = {}
    for dataset, rows in evidence.table(_EDGE).groupby("dataset"):
        by_setting = rows.pivot(index="seed", columns="setting", values=column)
        ratio = by_setting["federated"] / by_setting["central"]
        ratios[str(dataset)] = statistics.bootstrap_interval(ratio)
    return ratios


def _edge_relieves(
    evidence: Evidence, column: str, unit: str, reasons: tuple[str, str]
) -> Judgement:
    """Judges whether the edge takes something off the server, at the same accuracy.

    Args:
        evidence: The stored results.
        column: What the server spends, a column of results/edge.csv.
        unit: What the ratio, federated to central, is a multiple of.
        reasons: Why the claim holds, and why it does not.
    """
    ratios = _edge_ratios(evidence, column)
    dataset = _REAL if _REAL in ratios else next(iter(ratios))
    figure = build_figure(ratios[dataset], unit, dataset, f"{_EDGE}.csv")
    is_less = [ratio.high < 1 for ratio in ratios.values()]
    if all(is_less):
        return Judgement("holds", reasons[0], figure)
    if any(is_less):
        names = [name for name, less in zip(ratios, is_less, strict=True) if less]
        return Judgement("holds if", f"the data is {' or '.join(names)}: not on the other", figure)
    is_more = all(ratio.low > 1 for ratio in ratios.values())
    return Judgement("does not hold", reasons[1] if is_more else "No difference is shown.", figure)


def edge_computes(evidence: Evidence) -> Judgement:
    """Judges whether the edge takes computing off the server: CPU seconds to the same accuracy."""
    reasons = (
        "The server of a federation computes less.",
        "The server of a federation computes more here.",
    )
    unit = "times a central server's CPU seconds"
    return _edge_relieves(evidence, "server_cpu_seconds", unit, reasons)


def edge_saves_traffic(evidence: Evidence) -> Judgement:
    """Judges whether the centre is needed less: bytes that reach it, to the same accuracy."""
    reasons = (
        "The server of a federation receives less.",
        "All updates of all rounds come to the server: more bytes than the data has.",
    )
    unit = "times the bytes that a central server receives"
    return _edge_relieves(evidence, "server_bytes_in", unit, reasons)
