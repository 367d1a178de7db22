"""What judges a claim: another result gives another verdict."""

from pathlib import Path

import pandas as pd
import pytest

from fedlab.experiments.claims import language, privacy, statements, training
from fedlab.experiments.claims.claim import wilson
from fedlab.experiments.claims.evidence import REAL, SIMULATED, Evidence, find_name
from fedlab.experiments.statement_configs import STATEMENTS

ROOT = Path(__file__).parents[2]
STORED = Evidence(ROOT / "results", ROOT / "notebooks")
UPLOADS = pd.DataFrame(
    [
        config.to_row() | {"seed": seed, "accuracy": 0.6, "num_rounds_done": config.num_rounds}
        for config in STATEMENTS
        for seed in range(3)
    ]
)
EDGE = pd.DataFrame(
    [
        {"dataset": dataset, "setting": setting, "seed": seed, "server_cpu_seconds": 1.0}
        | {"server_bytes_in": 1.0}
        for dataset in ("tiny", "other")
        for setting in ("federated", "central")
        for seed in range(3)
    ]
)


class MadeUp(Evidence):
    """The stored results, with some of them changed; those of two studies are made up."""

    def __init__(self, **changes):
        super().__init__(ROOT / "results", ROOT / "notebooks")
        self._tables |= {"statements_digits": UPLOADS, "edge": EDGE}
        for name, change in changes.items():
            table = self.table(name).copy()
            change(table)
            self._tables[name] = table


def add(amount, **settings):
    """Adds to the accuracy of the configuration that differs from the first by these settings."""

    def change(table):
        table.loc[table.name == find_name(table, settings), "accuracy"] += amount

    return change


def put(column, value, **where):
    """Sets a column where others have these values."""

    def change(table):
        is_there = pd.Series(True, index=table.index)
        for name, wanted in where.items():
            is_there &= table[name] == wanted
        assert is_there.any()
        table.loc[is_there, column] = value

    return change


def both(name, change):
    return {f"{name}_{SIMULATED}": change, f"{name}_{REAL}": change}


def fifty(amount):
    return both("improvements", add(amount, num_rounds=50))


def prox(amount):
    return both("non_iid", lambda table: shift(table, table.algorithm == "fed_prox", amount))


def shift(table, is_there, amount):
    table.loc[is_there, "accuracy"] += amount


def as_eight(amount):
    return both("ladder", lambda table: shift(table, table.group == "as written", amount))


def uploads(amount):
    return {"statements_digits": lambda table: shift(table, table.algorithm == "fed_sgd", amount)}


def stops(num_rounds_done, amount):
    def change(table):
        is_there = table.patience.notna()
        table.loc[is_there, "num_rounds_done"] = num_rounds_done
        shift(table, is_there, amount)

    return {"statements_digits": change}


def ratio(column, value):
    return {
        "edge": lambda table: (
            put(column, value, setting="federated")(table),
            put(column, 1.0, setting="central")(table),
        )
    }


def ledger(**columns):
    return {
        "privacy_ledger": lambda table: [put(name, value)(table) for name, value in columns.items()]
    }


@pytest.mark.parametrize(
    "judge, changes, verdict",
    [
        (training.suggestion({"num_rounds": 50}), fifty(0.5), "holds"),
        (training.suggestion({"num_rounds": 50}), fifty(-0.9), "does not hold"),
        (
            training.suggestion({"num_rounds": 50}),
            {f"improvements_{SIMULATED}": add(-0.9, num_rounds=50)},
            "holds if",
        ),
        (
            training.suggestion({"num_rounds": 50}, others=[{"pretrained": True}]),
            fifty(-0.9),
            "holds if",
        ),
        (training.better_on_skewed_clients("fed_prox"), prox(0.8), "holds"),
        (training.better_on_skewed_clients("fed_prox"), prox(-0.8), "does not hold"),
        (
            training.better_on_skewed_clients("fed_avgm"),
            {f"non_iid_{REAL}": lambda table: shift(table, table.algorithm == "fed_avgm", -1)},
            "holds if",
        ),
        (
            training.non_iid_is_handled,
            {f"non_iid_{REAL}": put("rounds_to_target", 9.0, algorithm="fed_avg")},
            "holds",
        ),
        (
            training.non_iid_is_handled,
            {f"non_iid_{REAL}": put("rounds_to_target", float("nan"), algorithm="fed_avg")},
            "does not hold",
        ),
        (training.most_direct, fifty(-0.9), "does not hold"),
        (
            training.most_direct,
            {f"improvements_{REAL}": add(0.5, model="deeper_cnn")},
            "holds",
        ),
        (
            training.suggestion(
                {"model": "deeper_cnn"},
                others=[{"model": "deeper_cnn", "num_rounds": 50}],
                against={"num_rounds": 50},
            ),
            fifty(0.5),
            "does not hold",
        ),
        (training.suggestion({"num_rounds": 50}, condition="x"), fifty(0.5), "holds if"),
        (training.most_direct, both("improvements", put("accuracy", 0.1)), "does not hold"),
        (training.all_together, as_eight(0.9), "holds"),
        (training.all_together, as_eight(-0.1), "does not hold"),
        (
            training.is_random_sample,
            {f"improvements_{REAL}": put("accuracy", 0.4, num_rounds=10)},
            "holds",
        ),
        (statements.gradient_or_change, uploads(-0.5), "holds if"),
        (statements.gradient_or_change, uploads(0.9), "holds if"),
        (
            statements.gradient_or_change,
            {"statements_digits": put("accuracy", 0.5, group="upload")},
            "holds",
        ),
        (statements.until_it_converges, stops(60, 0.3), "holds"),
        (statements.until_it_converges, stops(60, -0.5), "holds if"),
        (statements.until_it_converges, stops(100, 0.3), "holds if"),
        (statements.until_it_converges, stops(100, -0.5), "does not hold"),
        (statements.speaks_for_all, {"baseline": put("accuracy", 0.6)}, "holds"),
        (statements.accuracy_is_low, {"baseline": put("accuracy", 0.95)}, "does not hold"),
        (privacy.edge_computes, ratio("server_cpu_seconds", 0.5), "holds"),
        (privacy.edge_computes, ratio("server_cpu_seconds", 2.0), "does not hold"),
        (privacy.edge_computes, ratio("server_cpu_seconds", 1.0), "does not hold"),
        (
            privacy.edge_computes,
            {"edge": put("server_cpu_seconds", 0.5, setting="federated", dataset="tiny")},
            "holds if",
        ),
        (privacy.edge_saves_traffic, ratio("server_bytes_in", 0.5), "holds"),
        (privacy.local_data_is_safe, ledger(reconstruction_ssim=0.2), "holds if"),
        (
            privacy.local_data_is_safe,
            ledger(reconstruction_ssim=0.2, membership_low=0.49),
            "holds",
        ),
        (
            privacy.noise_bounds_influence,
            {"privacy_epsilon": put("audit_epsilon", 99.0)},
            "does not hold",
        ),
        (privacy.noise_stops_attackers, ledger(membership_low=0.6), "does not hold"),
        (
            privacy.noise_stops_attackers,
            ledger(membership_low=0.4, reconstruction_ssim=0.2),
            "holds",
        ),
        (
            privacy.sums_need_no_decryption,
            {"privacy_ledger": put("accuracy", 0.5, secure_sum="ckks")},
            "does not hold",
        ),
        (
            privacy.hides_single_updates("ckks", "x"),
            ledger(reconstruction_ssim=0.9),
            "does not hold",
        ),
        (privacy.hides_single_updates("ckks", "x"), ledger(membership_low=0.4), "holds"),
        (privacy.all_in_one, ledger(reconstruction_ssim=0.9), "does not hold"),
        (privacy.all_in_one, ledger(membership_low=0.4), "holds"),
        (privacy.all_in_one, ledger(membership_low=0.6), "does not hold"),
        (
            language.updates_hide_text,
            {"text_leaks": put("window_share", 0.01, name="one window")},
            "holds if",
        ),
        (
            privacy.privacy_and_performance,
            {"privacy_epsilon": put("accuracy", 0.9)},
            "holds",
        ),
        (
            privacy.privacy_and_performance,
            {"privacy_epsilon": put("accuracy", 0.1, target_epsilon=8.0)},
            "does not hold",
        ),
        (
            language.noise_lowers_risk,
            {"language": put("exposure", 13.0, group="protection")},
            "does not hold",
        ),
        (
            language.noise_lowers_risk,
            {"language": put("bits", 1.0, group="protection")},
            "holds",
        ),
        (
            language.encryption_covers_computation,
            {"language_rounds": put("ratio", 2.0, part="the head at one place")},
            "holds if",
        ),
    ],
)
def test_another_result_gives_another_verdict(judge, changes, verdict):
    assert judge(MadeUp(**changes)).verdict == verdict


def test_a_configuration_that_the_study_lacks_is_an_error():
    judge = training.suggestion({"num_rounds": 77})
    with pytest.raises(ValueError, match=r"improvements_digits.csv has no configuration .*77"):
        judge(STORED)


def test_one_step_of_fed_avg_is_held_against_fed_sgd_of_the_same_rate():
    table = UPLOADS.copy()
    assert statements.one_step_gap(table) == 0
    shift(table, (table.algorithm == "fed_sgd") & (table.server_learning_rate == 0.1), 0.05)
    assert statements.one_step_gap(table) == pytest.approx(0.05)


def test_the_interval_of_a_share_is_wilson_s():
    """Half of 10: Wilson's formula by hand, z = 1.96."""
    low, high = wilson(5, 10)
    assert low == pytest.approx(0.2366, abs=1e-4) and high == pytest.approx(0.7634, abs=1e-4)
