"""Rounds to a target: of a run, over seeds, and as a table."""

import math

import numpy as np
import pandas as pd
import pytest

from fedlab import statistics

RECORDS = pd.DataFrame(
    {"round_num": [0, 2, 4, 6, 8], "eval_accuracy": [0.1, np.nan, 0.7, 0.6, 0.9]}
)


@pytest.mark.parametrize(
    "target, expected", [(0.05, 0), (0.1, 0), (0.6, 4), (0.7, 4), (0.71, 8), (0.9, 8), (0.91, None)]
)
def test_the_first_round_that_reaches_the_target(target, expected):
    assert statistics.rounds_to_target(RECORDS, target) == expected


@pytest.mark.parametrize(
    "records, target, message",
    [
        (RECORDS, math.nan, "target must be a finite number"),
        (RECORDS.drop(columns="round_num"), 0.5, "must have a column 'round_num'"),
        (RECORDS, 0.5, "must have a column 'accuracy'"),
        (pd.concat([RECORDS, RECORDS]), 0.5, "must be of one run. Found round 0 twice"),
        (RECORDS.assign(eval_accuracy=np.nan), 0.5, "must have a value of 'eval_accuracy'"),
    ],
)
def test_records_without_an_answer_are_refused(records, target, message):
    metric = "accuracy" if "'accuracy'" in message else "eval_accuracy"
    with pytest.raises(ValueError, match=message):
        statistics.rounds_to_target(records, target, metric)


@pytest.mark.parametrize(
    "rounds, text",
    [
        ([10, 30, 20], "20"),
        ([10, 21], "15.5"),
        ([10, None, 20], "20 (2 of 3 seeds)"),  # the mean of the lucky ones would be 15
        ([10, None, math.nan], "not reached in 50 rounds (1 of 3 seeds)"),
        ([10, None], "not reached in 50 rounds (1 of 2 seeds)"),
        ([None, None], "not reached in 50 rounds"),
        ([0, 0], "0"),
    ],
)
def test_seeds_that_never_get_there_are_not_left_out(rounds, text):
    table = statistics.rounds_table({("FedAvg", "IID"): rounds}, 50, "FedAvg")
    assert table.loc["FedAvg", "IID"] == text


@pytest.mark.parametrize(
    "rounds, num_rounds, message",
    [
        ([], 50, "at least one entry"),
        ([51], 50, r"in \[0, 50\]. Found 51"),
        ([-1], 50, r"in \[0, 50\]. Found -1"),
        ([1], 0, "num_rounds must be at least 1"),
    ],
)
def test_impossible_rounds_are_refused(rounds, num_rounds, message):
    with pytest.raises(ValueError, match=message):
        statistics.rounds_table({("FedAvg", "IID"): rounds}, num_rounds, "FedAvg")


def test_the_table_is_that_of_mcmahan():
    rounds = {
        ("FedAvg", "IID"): [20, 20, 26],
        ("FedAvg", "shards"): [None, None, 90],
        ("FedProx", "IID"): [40, 40, 40],
        ("FedProx", "shards"): [50, 50, None],
        ("FedAdam", "IID"): [8, 8, 8],
        ("FedAdam", "shards"): [None, None, None],
    }
    table = statistics.rounds_table(rounds, 100, "FedAvg")
    assert table.index.tolist() == ["FedAvg", "FedProx", "FedAdam"]
    assert table["IID"].tolist() == ["20", "40 (0.5×)", "8 (2.5×)"]
    assert table["shards"].tolist() == [
        "not reached in 100 rounds (1 of 3 seeds)",
        "50 (2 of 3 seeds) (more than 2.0×)",
        "not reached in 100 rounds",
    ]
    with pytest.raises(ValueError, match="baseline 'FedYogi' is missing for 'IID'"):
        statistics.rounds_table(rounds, 100, "FedYogi")
