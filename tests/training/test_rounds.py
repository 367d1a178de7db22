"""A run leaves its records, in memory and in files, and says where it cannot go on."""

import asyncio
import collections
import re
import subprocess

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from helpers import tiny

from fedlab import models, runtime
from fedlab.data import sampling
from fedlab.data.preprocessing import build_cohort_fn
from fedlab.learning import build_evaluation
from fedlab.training import (
    Callback,
    Checkpoint,
    CsvLog,
    DivergedError,
    ProgressBar,
    TensorBoardLog,
    run_rounds,
    weights_bytes,
)

# Records


def test_every_round_leaves_one_flat_record(unbroken):
    assert [record["round_num"] for record in unbroken.records] == [1, 2, 3, 4, 5, 6]
    for record in unbroken.records:
        assert list(record) == [*tiny.FIELDS, "eval_norm"]
        cohort = tiny.COHORT_FN(record["round_num"])
        assert record["num_clients"] == len(cohort) == 3
        assert record["num_examples"] == sum(
            len(tiny.DATA.examples(client_id).labels) for client_id in cohort
        )
        assert record["bytes_up"] == record["bytes_down"] == 3 * 7850 * 4
        assert record["seconds"] > 0
        assert 0 <= record["accuracy"] <= 1
        assert all(type(value) in (int, float) for value in record.values())
    frame = unbroken.to_frame()
    assert len(frame) == 6
    assert list(frame.columns) == [*tiny.FIELDS, "eval_norm"]


def test_a_run_is_repeatable(train, unbroken):
    tiny.assert_same_run(train(), unbroken)


def test_the_same_client_s_loss_falls_from_round_to_round(train):
    one = build_cohort_fn(tiny.DATA, sampling.fixed(["c0"]))
    slow = tiny.build_process(client_learning_rate=0.003)  # a batch holds all, so this is descent
    losses = [record["loss"] for record in train(cohort_fn=one, process=slow).records]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]


def test_the_weights_are_the_state_s(unbroken):
    assert tiny.same_bits(unbroken.weights, unbroken.state.global_model_weights)
    assert weights_bytes(unbroken.weights) == 7850 * 4


@pytest.mark.parametrize("every, evaluated", [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (9, [5])])
def test_evaluates_every_nth_round_and_after_the_last(train, every, evaluated):
    records = train(5, evaluate_every=every).records
    assert [record["round_num"] for record in records if "eval_norm" in record] == evaluated


def test_evaluation_sees_the_new_weights(train):
    seen = []
    run = train(1, evaluate_fn=lambda round_num, weights: seen.append(weights) or {})
    assert tiny.same_bits(seen[0], run.weights)


def test_starts_from_the_weights_given(train, unbroken):
    still = tiny.build_process(client_learning_rate=0.0)
    run = train(1, process=still, initial_weights=unbroken.weights)
    assert tiny.same_bits(run.weights, unbroken.weights)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_rounds": 0}, "num_rounds must be at least 1. Found 0."),
        ({"evaluate_every": 0}, "every must be at least 1. Found 0."),
    ],
)
def test_bad_numbers_are_named_and_nothing_is_written(train, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        train(**options, checkpoint_dir=tmp_path / "run", csv_path=tmp_path / "run.csv")
    assert list(tmp_path.iterdir()) == []


def test_works_inside_a_running_event_loop(train, tmp_path, unbroken):
    async def cell():
        return train(checkpoint_dir=tmp_path)

    tiny.assert_same_run(asyncio.run(cell()), unbroken)


# Any process


def test_a_regression_has_the_columns_that_it_reports(tmp_path):
    spec = (tf.TensorSpec([None, 3], tf.float32), tf.TensorSpec([None, 1], tf.float32))

    def model_fn():
        model = tf.keras.Sequential([tf.keras.Input((3,)), tf.keras.layers.Dense(1)])
        metrics = [tf.keras.metrics.MeanAbsoluteError()]
        loss = tf.keras.losses.MeanSquaredError()
        return tff.learning.models.from_keras_model(model, loss, spec, metrics=metrics)

    process = tff.learning.algorithms.build_weighted_fed_avg(
        model_fn, client_optimizer_fn=tff.learning.optimizers.build_sgdm(0.1)
    )
    examples = tf.data.Dataset.from_tensors((tf.ones([4, 3]), tf.ones([4, 1])))
    callbacks = [
        Checkpoint(tmp_path / "run"),
        CsvLog(tmp_path / "run.csv"),
        TensorBoardLog(tmp_path / "board"),
        ProgressBar(),
    ]
    run = run_rounds(process, lambda round_num: {"a": examples}, 2, callbacks=callbacks)
    expected = "round_num num_clients num_dropped num_examples loss mean_absolute_error seconds"
    assert list(run.records[0]) == [*expected.split(), "bytes_down", "bytes_up"]
    assert list(pd.read_csv(tmp_path / "run.csv")) == list(run.records[0])
    assert run.records[1]["mean_absolute_error"] < run.records[0]["mean_absolute_error"]


def test_a_process_without_training_metrics_has_all_that_it_reports(train):
    model = models.build_functional_model(tiny.create_model)
    run = train(1, process=build_evaluation(model))
    assert "eval.current_round_metrics.loss" in " ".join(run.records[0])


@tff.federated_computation
def initialize():
    return tff.federated_value(np.float32(1), tff.SERVER)


@tff.federated_computation(
    initialize.type_signature.result, tff.FederatedType(tff.SequenceType(np.float32), tff.CLIENTS)
)
def next_fn(state, data):
    total = tff.tensorflow.computation(
        lambda numbers: numbers.reduce(0.0, tf.add), tff.SequenceType(np.float32)
    )
    mean = tff.federated_mean(tff.federated_map(total, data))
    return mean, tff.federated_zip(collections.OrderedDict(before=state, after=mean))


def test_an_iterative_process_runs_resumes_and_has_no_model(tmp_path):
    process = tff.templates.IterativeProcess(initialize, next_fn)

    def cohort_fn(round_num):
        return {"a": [1.0 * round_num], "b": [3.0]}

    for num_rounds in (1, 3):
        callbacks = [Checkpoint(tmp_path), ProgressBar()]
        run = run_rounds(process, cohort_fn, num_rounds, callbacks=callbacks)
    assert [record["after"] for record in run.records] == [2.0, 2.5, 3.0]
    assert (run.state, run.weights) == (3.0, None)
    assert "bytes_up" not in run.records[0]
    weights = tff.learning.models.ModelWeights([np.float32(3.0)], [])
    with pytest.raises(TypeError, match="set_model_weights is for a LearningProcess"):
        run_rounds(process, cohort_fn, 1, initial_weights=weights)


def test_a_state_of_two_values_is_not_taken_for_state_and_metrics():
    pair = tff.FederatedType(tff.StructType([np.float32, np.float32]), tff.SERVER)

    @tff.federated_computation
    def start():
        return tff.federated_zip((initialize(), initialize()))

    @tff.federated_computation(pair, next_fn.type_signature.parameter[1])
    def swap_and_add(state, data):
        mean, _ = next_fn(state[1], data)
        return tff.federated_zip((state[1], mean))

    process = tff.templates.IterativeProcess(start, swap_and_add)
    run = run_rounds(process, lambda round_num: {"a": [2.0]}, 2, callbacks=[])
    assert tuple(run.state) == (2.0, 2.0)


def test_a_metric_named_like_a_column_has_a_column_of_its_own():
    @tff.federated_computation(*next_fn.type_signature.parameter)
    def report(state, data):
        mean, _ = next_fn(state, data)
        metrics = collections.OrderedDict(round_num=state, seconds=mean)
        return mean, tff.federated_zip(metrics)

    process = tff.templates.IterativeProcess(initialize, report)
    (record,) = run_rounds(process, lambda round_num: {"a": [2.0]}, 1, callbacks=[]).records
    assert record["round_num"] == 1
    assert (record["metrics.round_num"], record["metrics.seconds"]) == (1.0, 2.0)


# Where it cannot go on


def test_a_round_of_empty_clients_is_told(train):
    def cohort_fn(round_num):
        return {
            client_id: batches.take(0) for client_id, batches in tiny.COHORT_FN(round_num).items()
        }

    with pytest.raises(ValueError, match="Round 1 .* no client has an example"):
        train(1, cohort_fn=cohort_fn)


def test_a_state_that_is_not_finite_is_divergence(train, process):
    class SpoilState(Callback):
        def on_start(self, run):
            weights = runner.get_model_weights(run.state)
            nan = tf.nest.map_structure(lambda array: array * np.float32(np.nan), weights)
            run.state = runner.set_model_weights(run.state, nan)

    with (
        runtime.compile(process) as runner,
        pytest.raises(DivergedError, match="Round 1 diverged: the server's state") as caught,
    ):
        train(1, process=runner, callbacks=[SpoilState()])
    assert caught.value.round_num == 1


# What the learner sees

LOG_LINE = re.compile(
    r"WARNING|INFO|ERROR|Error|Traceback|^[IWEF]\d{4}|\d: [IWEF] |cuda|CUDA|absl", re.M
)


def test_the_progress_bar_is_all_that_a_run_prints(tmp_path):
    process = tiny.start(
        f"""
        import fedlab  # before TensorFlow, as everywhere in the course
        from helpers import tiny
        from fedlab.training import Checkpoint, ProgressBar, TensorBoardLog, run_rounds
        places = Checkpoint({str(tmp_path / "run")!r}), TensorBoardLog({str(tmp_path / "log")!r})
        run_rounds(
            tiny.build_process(), tiny.COHORT_FN, 3, evaluate_fn=tiny.evaluate,
            callbacks=[*places, ProgressBar()],
        )
        """,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = process.communicate(timeout=tiny.TIMEOUT)
    assert process.returncode == 0, err
    assert out == ""
    assert not LOG_LINE.search(err), err
    lines = [line for line in re.split(r"[\r\n]+", err) if line.strip()]
    assert all(line.startswith("Rounds:") for line in lines), err
    assert "3/3" in lines[-1]
    assert "loss=" in lines[-1]
    assert "accuracy=" in lines[-1]


# On a runtime of one's choice


def test_tff_s_own_runtime_says_when_every_client_was_left_out(train):
    # It leaves out clients with a non-finite update, and calls a round without any a loss of 0.
    wild = runtime.compile(tiny.build_process(client_learning_rate=1e38), "tff")
    with pytest.raises(DivergedError, match=r"Round \d diverged: .* Lower the learning rate"):
        train(9, process=wild)


def test_dropped_clients_are_counted(train):
    def cohort_fn(round_num):
        cohort = dict(tiny.COHORT_FN(round_num))
        images, labels = np.full((2, 28, 28, 1), np.nan, np.float32), np.zeros(2, np.int32)
        bad = tf.data.Dataset.from_tensors((images, labels))
        return cohort | ({"bad": bad} if round_num == 2 else {})

    with runtime.compile(tiny.build_process(), on_client_error="drop") as runner:
        run = train(3, process=runner, cohort_fn=cohort_fn)
    assert [record["num_dropped"] for record in run.records] == [0, 1, 0]
    assert [record["num_clients"] for record in run.records] == [3, 4, 3]
    assert run.records[1]["bytes_up"] * 4 == run.records[1]["bytes_down"] * 3
    assert tiny.same_bits(run.weights, train(3).weights)


def test_the_stop_button_leaves_the_finished_rounds(train):
    def cohort_fn(round_num):
        if round_num == 4:
            raise KeyboardInterrupt
        return tiny.COHORT_FN(round_num)

    with pytest.raises(KeyboardInterrupt, match="Stopped after 3 of 6 rounds") as caught:
        train(cohort_fn=cohort_fn)
    tiny.assert_same_run(caught.value.run, train(3))
