"""A record says of a run's protection what the run knows, and of bare records that it is stated."""

import dataclasses

import pytest
import tensorflow_federated as tff
from helpers.records import ROUND, build, section, train

from fedlab import data
from fedlab.dp.privacy_plan import PrivacyPlan
from fedlab.learning import leave_out_metrics
from fedlab.secure.secret_sharing import SecretSharingSum
from fedlab.training import Checkpoint

SOURCE = "protection as told here"


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


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


def test_of_bare_records_protection_is_stated_and_all_else_is_the_same(run):
    by_run, by_records, by_table = map(build, (run, run.records, run.to_frame()))
    assert by_records.to_json() == by_table.to_json()
    sources = [each.content["run"][SOURCE] for each in (by_run, by_records)]
    assert [each.partition(" ")[0] for each in sources] == ["checked", "stated;"]
    assert "not checked: how clients were drawn" in sources[0]
    assert by_run.to_json().replace(*sources) == by_records.to_json()


def test_masks_are_those_of_the_run(digits):
    aggregator = tff.learning.secure_aggregator(zeroing=False, clipping=False)
    options = {"aggregator": aggregator, "metrics_aggregator": leave_out_metrics}
    shown = build(train(digits, num_rounds=1, secure_sum="secagg", **options)).content
    assert shown["run"]["secure sum"] == "secagg"
    assert "unless others collude" in shown["who saw what"][1]["one client's update"]
    assert shown["who saw what"][1]["training metrics"] == "not one client's"


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


def test_what_given_weights_were_trained_with_was_not_checked(digits, plan, private_run):
    assert private_run.protection is not None
    run = train(digits, plan, 1, weights=private_run.weights)
    assert run.protection is None
    assert section(build(run), "run")[SOURCE].startswith("stated")


def test_of_a_resumed_run_nothing_was_checked(digits, plan, tmp_path):
    for num_rounds in (1, 2):
        run = train(digits, plan, num_rounds, callbacks=[Checkpoint(tmp_path / "run")])
        assert (run.protection is None) == (num_rounds == 2)
    record = build(run)
    assert section(record, "run")[SOURCE].startswith("stated")
    assert section(record, "privacy")["epsilon"] == "none"


def test_no_noise_is_an_infinite_epsilon_and_no_bad_json():
    plan = PrivacyPlan(30, 3, 4, noise_multiplier=0.0, clip=0.5)
    privacy = section(build(plan=plan), "privacy")
    assert privacy["cumulative epsilon"] == "infinite"


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


def test_a_plan_of_another_run_is_refused():
    plan = PrivacyPlan(10, 3, 1, 1.0, 0.5)
    with pytest.raises(ValueError, match="2 rounds and a plan for 1"):
        build([ROUND, ROUND | {"round_num": 2}], plan=plan)
    with pytest.raises(ValueError, match="11 clients in a round and a plan for 10"):
        build([ROUND | {"num_clients": 11}], plan=plan)
