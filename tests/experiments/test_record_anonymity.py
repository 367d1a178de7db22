"""No model is called anonymous that was not attacked, for every client."""

import math

import numpy as np
import pandas as pd
import pytest
from helpers.records import GUESSING, ROUND, build, section

from fedlab.attacks import membership
from fedlab.dp.privacy_plan import PrivacyPlan
from fedlab.experiments.privacy_record import (
    AttackOutcome,
    Statement,
    membership_outcome,
    recital_outcome,
)

TESTED = [
    AttackOutcome("prompts", "extraction", client_id="c1", num_clients_tested=3, **GUESSING),
    AttackOutcome("answers", "queries", client_id="c2", num_clients_tested=3, **GUESSING),
]


def test_a_tested_model_may_be_called_anonymous_by_a_person():
    record = build(attacks=TESTED, claims_anonymous=True)
    assert section(record, "anonymity")["statement"].startswith("called anonymous by a person")
    assert [each["client id"] for each in section(record, "worst clients")] == ["c1", "c2"]


def test_the_worst_client_is_one_of_all_that_may_have_taken_part():
    """Two rounds of three may be six clients; who took part is not in the records."""
    rounds = [ROUND, ROUND | {"round_num": 2}]
    with pytest.raises(ValueError, match="one of 3, and up to 6 took part"):
        build(rounds, attacks=TESTED, claims_anonymous=True)
    assert section(build(rounds), "run")["clients that took part"] == "at most 6"
    counted = build(rounds, Statement(num_participants=3), attacks=TESTED, claims_anonymous=True)
    assert section(counted, "run")["clients that took part"].startswith("3, stated")
    plan = PrivacyPlan(
        population=5, expected_num_clients=3, num_rounds=2, noise_multiplier=1, clip=1
    )
    assert section(build(rounds, plan=plan), "run")["clients that took part"] == "at most 5"


@pytest.mark.parametrize("stated", [2, 7])
def test_a_number_of_participants_that_cannot_be_is_refused(stated):
    rounds = [ROUND, ROUND | {"round_num": 2}]
    with pytest.raises(ValueError, match=f"from 3, .* to 6, .*Found {stated}"):
        build(rounds, Statement(num_participants=stated))


def test_the_outcome_of_a_membership_attack_is_rounded_outwards():
    attack = membership.evaluate_attack(np.arange(40.0), np.arange(40) % 3 == 1, seed=1)
    low, high = attack.auc_interval
    found = membership_outcome("by loss", attack)
    assert (found.test, found.metric, found.chance) == ("membership", "AUC", 0.5)
    assert found.estimate == round(attack.auc, 2)
    assert found.low <= low < found.low + 0.05 and found.high - 0.05 < high <= found.high
    assert all(round(20 * end, 6) == round(20 * end) for end in (found.low, found.high))
    sure = membership.evaluate_attack(np.arange(40.0), np.arange(40) > 9, seed=1)
    assert membership_outcome("by loss", sure, step=0.3).high == 1


def test_the_outcome_of_recited_texts_is_that_of_the_client_of_whom_most_is_allowed():
    columns = ["texts", "recited", "low", "high"]
    rows = {"a": (16, 2, 0.02, 0.38), "b": (5, 0, 0.0, 0.52)}
    model = pd.DataFrame.from_dict(rows, "index", columns=columns)
    found = recital_outcome("recited", model, model.assign(recited=[0, 1]))
    assert (found.client_id, found.num_clients_tested, found.test) == ("b", 2, "queries")
    assert found.interval == (0.0, 0.0, 0.52)
    assert found.chance == 0.2
    with pytest.raises(ValueError, match="same client_ids and num_texts. Found .* 'b'"):
        recital_outcome("recited", model, model[:1])


def test_no_model_is_called_anonymous_unless_a_person_does():
    assert section(build(attacks=TESTED), "anonymity")["statement"] == "not called anonymous"


def outcome(test="extraction", **options):
    worst = {"client_id": "c1", "num_clients_tested": 3}
    return AttackOutcome("a", test, **GUESSING | worst | options)


OVER_ALL = {"client_id": None, "num_clients_tested": None}


LEAKS = {"estimate": 0.7, "low": 0.6, "high": 0.8}


@pytest.mark.parametrize(
    "attacks, text",
    [
        ([], "no test of extraction; no test of queries"),
        (TESTED[:1], "no test of queries"),
        (TESTED[1:], "no test of extraction"),
        ([outcome(**OVER_ALL), TESTED[1]], "extraction for the worst client"),
        ([outcome(num_clients_tested=2), TESTED[1]], "one of 2, and up to 3 took part"),
        ([outcome(**LEAKS), TESTED[1]], "client 'c1' has the interval 0.6 to 0.8"),
        ([*TESTED, outcome("queries", **LEAKS)], "0.6 to 0.8"),
        ([*TESTED, outcome(**OVER_ALL, **LEAKS)], "all clients"),
        ([outcome(estimate=0.3, low=0.2, high=0.4), TESTED[1]], "0.2 to 0.4"),
        ([*TESTED, outcome("membership", **OVER_ALL, **LEAKS)], "membership for all clients"),
        ([outcome("membership"), outcome("update")], "no test of extraction"),
        ([outcome(high=0.62), TESTED[1]], "extraction allows up to 0.62"),
        ([*TESTED, outcome("queries", low=0.0, high=0.99)], "queries allows up to 0.99"),
        ([outcome(estimate=1, low=1, high=1, chance=1), TESTED[1]], "chance of 1 of guessing"),
    ],
)
def test_an_untested_model_is_not_called_anonymous(attacks, text):
    with pytest.raises(ValueError, match=text):
        build(attacks=attacks, claims_anonymous=True)
    assert text in section(build(attacks=attacks), "anonymity")["missing for the word"]


@pytest.mark.parametrize(
    "change",
    [
        {"estimate": math.nan},
        {"low": 0.6},
        {"high": math.inf},
        {"chance": "0.5"},
        {"metric": ""},
        {"num_clients_tested": None},
        {"client_id": None},
    ],
)
def test_bad_outcomes_are_refused(change):
    with pytest.raises(ValueError, match=f"{next(iter(change))}.*Found"):
        outcome(**change)
