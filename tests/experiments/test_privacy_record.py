"""The record of a run says what the run shows and what a person states, and nothing else."""

import json
import math
import re

import pytest
from helpers.records import GUESSING, ROUND, build, section, train

from fedlab import data
from fedlab.experiments.privacy_record.statements import (
    TO_FILL_IN,
    AttackOutcome,
    DeletionRequest,
    Statement,
)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


@pytest.fixture(scope="module")
def run(digits):
    return train(digits)


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


def test_a_round_without_clients_has_no_loss():
    record = build([ROUND | {"num_clients": 0, "loss": math.nan, "accuracy": math.nan}])
    assert section(record, "run")["loss of the last round"] == "not a number"


def test_what_was_not_measured_is_said_to_be_missing():
    record = build([{"round_num": 1, "num_clients": 3, "num_dropped": 0}])
    assert section(record, "run")["bytes up"] == "not recorded"
    assert section(record, "attacks") == "no attack was run"
    assert "no attack" in section(record, "worst clients")


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


def test_who_says_that_an_influence_is_gone_has_an_attack_on_that_client():
    request = DeletionRequest("c1", 1, "retrained without the client", is_influence_tested=True)
    with pytest.raises(ValueError, match="influence of client 'c1' was tested.*Found none"):
        build(deletions=[request])
    attack = AttackOutcome("x", "extraction", client_id="c1", num_clients_tested=1, **GUESSING)
    (row,) = section(build(deletions=[request], attacks=[attack]), "deletion requests")
    assert row["is influence tested"] == "yes" and row["told by"].startswith("stated")


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
