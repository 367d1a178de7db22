"""The record of a run says what the run shows and what a person states, and nothing else."""

import dataclasses
import datetime
import json
import math
import re

import pytest

from fedlab import compile, data
from fedlab.data import sampling
from fedlab.data.preprocessing import Preprocessing, build_cohort_fn
from fedlab.dp.privacy_plan import PrivacyPlan
from fedlab.experiments.privacy_record import build_record
from fedlab.experiments.privacy_record.statements import (
    TO_FILL_IN,
    AttackOutcome,
    DeletionRequest,
    Statement,
)
from fedlab.learning import build_fed_avg, leave_out_metrics
from fedlab.models import build_functional_model, create_small_cnn
from fedlab.secure.secret_sharing import SecretSharingSum
from fedlab.training import Checkpoint, run_rounds

DAY = datetime.date(2026, 11, 25)
ROUND = {"round_num": 1, "num_clients": 3, "num_dropped": 0, "bytes_up": 30, "bytes_down": 30}
GUESSING = {"metric": "AUC", "estimate": 0.51, "low": 0.45, "high": 0.57, "chance": 0.5}
TESTED = [
    AttackOutcome("prompts", "extraction", client_id="c1", num_clients_tested=3, **GUESSING),
    AttackOutcome("answers", "queries", client_id="c2", num_clients_tested=3, **GUESSING),
]


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def train(digits, plan=None, num_rounds=2, callbacks=()):
    """Two rounds on digits."""
    options = {}
    draw = sampling.uniform(digits.train.client_ids, 3)
    if plan is not None:
        options = {
            "weighted": False,
            "aggregator": plan.build_aggregator(insecure_seed=0),
            "metrics_aggregator": leave_out_metrics,
        }
        draw = plan.sample_fn(digits.train.client_ids, insecure_seed=0)
    model = build_functional_model(create_small_cnn)
    runner = compile(build_fed_avg(model, client_learning_rate=0.1, **options), privacy_plan=plan)
    cohort_fn = build_cohort_fn(digits.train, draw, Preprocessing())
    return run_rounds(runner, cohort_fn, num_rounds, callbacks=callbacks)


@pytest.fixture(scope="module")
def plan(digits):
    num_clients = len(digits.train.client_ids)
    return PrivacyPlan(num_clients, 3, num_rounds=4, noise_multiplier=1.0, clip=0.5)


@pytest.fixture(scope="module")
def run(digits):
    return train(digits)


@pytest.fixture(scope="module")
def private_run(digits, plan):
    return train(digits, plan)


def build(run=(ROUND,), statement=None, **options):
    options = {"day": DAY, "seed": 3, "digests": {"training data": "0123456789abcdef"}} | options
    return build_record(run, statement or Statement(), **options)


def section(record, name):
    return json.loads(record.to_json())[name]


# What a run shows


def test_rounds_and_bytes_are_those_of_the_run(run, digits):
    record = build(run, digests={"digits": digits.sha256})
    shown = section(record, "run")
    assert shown["last round"] == 2 and shown["largest cohort"] == 3
    assert shown["bytes up"] == sum(each["bytes_up"] for each in run.records)
    assert shown["bytes down"] == sum(each["bytes_down"] for each in run.records)
    assert shown["loss of the last round"] == run.records[-1]["loss"]
    origin = section(record, "origin")
    assert origin["digest of digits"] == digits.sha256
    assert origin["seed"] == 3 and origin["version of tensorflow"]


def test_records_and_table_give_the_same_bytes_and_the_run_says_what_was_checked(run):
    by_run, by_records, by_table = map(build, (run, run.records, run.to_frame()))
    assert by_records.to_json() == by_table.to_json()
    source = "secure sum, plan, metrics"
    assert section(by_records, "run")[source].startswith("stated")
    assert section(by_run, "run").pop(source).startswith("checked")
    assert by_run.content["who saw what"] == by_records.content["who saw what"]


def test_without_a_plan_nothing_is_promised(run):
    privacy = section(build(run), "privacy")
    assert privacy["epsilon"] == "none" and "no bound" in privacy["mechanism"]


def test_with_a_plan_epsilon_is_that_of_the_rounds_that_were_run(private_run, plan):
    record = build(private_run)
    assert record.content == build(private_run, plan=plan, metrics_in_the_clear=False).content
    assert record.content["who saw what"][1]["training metrics"] == "not one client's"
    privacy = section(record, "privacy")
    assert privacy["cumulative epsilon"] == plan.epsilon_after(2) < plan.epsilon
    assert privacy["epsilon of the whole plan"] == plan.epsilon
    assert (privacy["clip"], privacy["noise multiplier"]) == (0.5, 1.0)
    assert privacy["delta"] == plan.delta
    assert privacy["unit"].startswith("a client")


@pytest.mark.parametrize(
    "claim", ["secure_sum", "plan", "other plan", "metrics_in_the_clear"], ids=str
)
def test_a_run_is_not_said_to_be_protected_by_what_it_was_not_made_with(
    claim, run, private_run, plan
):
    other = dataclasses.replace(plan, noise_multiplier=2.0)
    which, options, text = {
        "secure_sum": (run, {"secure_sum": "secagg"}, "run was made with, 'plain'. Found 'secagg'"),
        "plan": (run, {"plan": plan}, "run was made with, None. Found PrivacyPlan"),
        "other plan": (private_run, {"plan": other}, "Found PrivacyPlan.*noise_multiplier=2.0"),
        "metrics_in_the_clear": (run, {"metrics_in_the_clear": False}, "True. Found False"),
    }[claim]
    with pytest.raises(ValueError, match=text):
        build(which, **options)


def test_of_a_resumed_run_nothing_was_checked(digits, plan, tmp_path):
    for num_rounds in (1, 2):
        run = train(digits, plan, num_rounds, [Checkpoint(tmp_path / "run")])
        assert (run.protection is None) == (num_rounds == 2)
    record = build(run)
    assert section(record, "run")["secure sum, plan, metrics"].startswith("stated")
    assert section(record, "privacy")["epsilon"] == "none"


def test_no_noise_is_an_infinite_epsilon_and_no_bad_json():
    plan = PrivacyPlan(30, 3, 4, noise_multiplier=0.0, clip=0.5)
    privacy = section(build(plan=plan), "privacy")
    assert privacy["cumulative epsilon"] == "infinite"


def test_a_round_without_clients_has_no_loss():
    record = build([ROUND | {"num_clients": 0, "loss": math.nan, "accuracy": math.nan}])
    assert section(record, "run")["loss of the last round"] == "not a number"


def test_what_was_not_measured_is_said_to_be_missing():
    record = build([{"round_num": 1, "num_clients": 3, "num_dropped": 0}])
    assert section(record, "run")["bytes up"] == "not recorded"
    assert section(record, "attacks") == "no attack was run"
    assert "no attack" in section(record, "worst clients")


@pytest.mark.parametrize(
    "secure_sum, text",
    [
        ("plain", "yes, of every client"),
        (None, "yes, of every client"),
        ("secagg", "unless others collude"),
        ("ckks", "ciphertext"),
        ("shares", "two servers together open it"),
        (SecretSharingSum(), "two servers together open it"),
    ],
)
def test_who_saw_an_update_follows_from_the_secure_sum(secure_sum, text):
    parties = section(build(secure_sum=secure_sum), "who saw what")
    assert text in parties[1]["one client's update"]
    assert [each["raw examples"] for each in parties[:2]] == ["its own", "no"]


def test_a_plain_sum_shows_the_server_each_update_before_the_noise(plan):
    parties = section(build(plan=plan), "who saw what")
    assert "before the noise" in parties[1]["one client's update"]


def test_metrics_in_the_clear_are_told():
    seen = [
        section(build(metrics_in_the_clear=flag), "who saw what")[1]["training metrics"]
        for flag in (True, False)
    ]
    assert seen == ["each client's", "not one client's"]


# What a person states


def test_what_nobody_stated_is_to_be_filled_in():
    record = build()
    assert set(section(record, "stated by a person").values()) == {TO_FILL_IN}
    assert {each["answer"] for each in section(record, "first draft of an assessment")} == {
        TO_FILL_IN
    }


def test_what_a_person_stated_is_in_the_draft_of_the_assessment():
    record = build(statement=Statement(purpose="reads digits", residual_impact=0))
    draft = section(record, "first draft of an assessment")
    answers = {each["article"]: each["answer"] for each in draft}
    assert answers["GDPR Art. 35(7)(a)"] == "reads digits"
    assert section(record, "stated by a person")["residual impact"] == 0
    expected = [f"GDPR Art. 35(7)({letter})" for letter in "abcd"]
    assert [each for each in answers if each.startswith("GDPR")] == expected
    assert len([each for each in answers if each.startswith("PIPL Art. 56")]) == 4


def test_a_request_of_deletion_says_how_it_was_met():
    request = DeletionRequest("c1", 1, "not sampled any more")
    (row,) = section(build(deletions=[request]), "deletion requests")
    assert row["measure"] == "not sampled any more" and row["is influence tested"] == "no"
    with pytest.raises(ValueError, match="at most 1.*Found 2.*'c1'"):
        build(deletions=[DeletionRequest("c1", 2, "not met yet")])


NASTY = "a | b\n\n# heading\r\n| --- | <script>x</script> **bold** [x](y) `c` $z$ & \u202e\x00 \\|"


def test_what_a_person_typed_is_no_markup():
    record = build(statement=Statement(purpose=NASTY), attacks=[
        AttackOutcome(NASTY, "update", **GUESSING)
    ])  # fmt: skip
    plain = build(statement=Statement(purpose="x"), attacks=[
        AttackOutcome("x", "update", **GUESSING)
    ])  # fmt: skip
    lines, expected = record.to_markdown().split("\n"), plain.to_markdown().split("\n")
    assert len(lines) == len(expected)
    assert [line[:2] for line in lines] == [line[:2] for line in expected]
    cells = [line.replace("\\\\", "").replace("\\|", "").count("|") for line in lines]
    assert cells == [line.replace("\\|", "").count("|") for line in expected]
    text = record.to_markdown()
    assert "\u202e" not in text and "\0" not in text
    for line, other in zip(lines, expected, strict=True):
        if line != other:  # it holds what the person typed
            assert not re.search(r"(?<!\\)[*`<>$\[\]&#]", line)
    assert section(record, "stated by a person")["purpose"] == NASTY


def test_text_of_any_language_is_written(tmp_path):
    build(statement=Statement(purpose="中文")).write(tmp_path / "record")
    assert all("中文" in each.read_text(encoding="utf-8") for each in tmp_path.iterdir())
    with pytest.raises(ValueError, match="purpose must be a valid string"):
        Statement(purpose="half \ud800 of a pair")


# The word "anonymous"


def test_a_tested_model_may_be_called_anonymous_by_a_person():
    record = build(attacks=TESTED, claims_anonymous=True)
    assert section(record, "anonymity")["statement"].startswith("called anonymous by a person")
    assert [each["client id"] for each in section(record, "worst clients")] == ["c1", "c2"]


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
        ([outcome(num_clients_tested=2), TESTED[1]], "one of 2, and at least 3 took part"),
        ([outcome(**LEAKS), TESTED[1]], "client 'c1' has the interval 0.6 to 0.8"),
        ([*TESTED, outcome("queries", **LEAKS)], "0.6 to 0.8"),
        ([*TESTED, outcome(**OVER_ALL, **LEAKS)], "all clients"),
        ([outcome(estimate=0.3, low=0.2, high=0.4), TESTED[1]], "0.2 to 0.4"),
        ([outcome("membership"), outcome("update")], "no test of extraction"),
    ],
)
def test_an_untested_model_is_not_called_anonymous(attacks, text):
    with pytest.raises(ValueError, match=text):
        build(attacks=attacks, claims_anonymous=True)
    assert text in section(build(attacks=attacks), "anonymity")["missing for the word"]


# Files


def test_both_files_are_written_and_the_same_record_may_be_written_again(tmp_path, run):
    record = build(run)
    markdown, as_json = record.write(tmp_path / "new" / "run.v1")
    assert (markdown.name, as_json.name) == ("run.v1.md", "run.v1.json")
    assert markdown.read_text(encoding="utf-8") == record.to_markdown()
    assert json.loads(as_json.read_text(encoding="utf-8"))["day"] == "2026-11-25"
    assert build(run).write(tmp_path / "new" / "run.v1") == (markdown, as_json)


@pytest.mark.parametrize("ending", ["md", "json"])
def test_a_file_that_a_person_filled_in_is_left_as_it_is(tmp_path, ending):
    record = build()
    record.write(tmp_path / "record")
    path = tmp_path / f"record.{ending}"
    path.write_text(path.read_text(encoding="utf-8").replace(TO_FILL_IN, "mine"), encoding="utf-8")
    before = {each: each.read_bytes() for each in tmp_path.iterdir()}
    for other in (record, build(seed=4)):
        with pytest.raises(ValueError, match="filled in.*choose another path"):
            other.write(tmp_path / "record")
    assert {each: each.read_bytes() for each in tmp_path.iterdir()} == before


@pytest.mark.parametrize("ending", ["md", "json"])
def test_somebody_else_s_file_is_left_as_it_is(tmp_path, ending):
    path = tmp_path / f"record.{ending}"
    path.write_text("dear to somebody")
    with pytest.raises(ValueError, match="not written by fedlab"):
        build().write(tmp_path / "record")
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


# Wrong values


@pytest.mark.parametrize(
    "change, text",
    [
        ({"round_num": 2}, "from 1 on"),
        ({"round_num": "1"}, "round_num.*'1'"),
        ({"num_clients": -1}, "num_clients.*-1"),
        ({"num_clients": math.nan}, "num_clients.*nan"),
        ({"num_dropped": 0.5}, "num_dropped.*0.5"),
        ({"bytes_up": -5}, "bytes_up.*-5"),
        ({"bytes_up": math.inf}, "bytes_up.*inf"),
        ({"loss": "low"}, "loss.*low"),
    ],
)
def test_bad_records_are_refused(change, text):
    with pytest.raises((TypeError, ValueError), match=text):
        build([ROUND | change])


def test_a_plan_of_another_run_is_refused():
    plan = PrivacyPlan(10, 3, 1, 1.0, 0.5)
    with pytest.raises(ValueError, match="2 rounds and a plan for 1"):
        build([ROUND, ROUND | {"round_num": 2}], plan=plan)
    with pytest.raises(ValueError, match="11 clients in a round and a plan for 10"):
        build([ROUND | {"num_clients": 11}], plan=plan)


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
