"""Callbacks: what they write, when they stop a run, and in which order they are called."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from helpers import tiny
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fedlab.training import (
    Callback,
    Checkpoint,
    CsvLog,
    EarlyStopping,
)

# Files


def test_the_csv_holds_the_records(train, tmp_path):
    path = tmp_path / "new" / "run.csv"
    run = train(3, evaluate_every=2, csv_path=path)
    pd.testing.assert_frame_equal(pd.read_csv(path), run.to_frame())


def test_tensorboard_reads_the_records(train, tmp_path):
    run = train(3, evaluate_every=2, tensorboard_dir=tmp_path)
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    events.Reload()
    assert set(events.Tags()["tensors"]) == {*tiny.FIELDS, "eval_norm"} - {"round_num"}
    for name in events.Tags()["tensors"]:
        found = {e.step: float(tf.make_ndarray(e.tensor_proto)) for e in events.Tensors(name)}
        expected = {r["round_num"]: r[name] for r in run.records if name in r}
        assert found == pytest.approx(expected, rel=1e-6)


def test_a_kill_while_the_csv_is_written_leaves_the_old_one(train, tmp_path, monkeypatch):
    path = tmp_path / "run.csv"
    train(2, csv_path=path)
    before = path.read_bytes()

    def killed(self, text, **options):
        self.write_bytes(text[:9].encode())
        raise KeyboardInterrupt

    monkeypatch.setattr(type(path), "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        train(1, csv_path=path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"run.csv": before}


def test_a_row_is_appended_a_round(train, tmp_path):
    path, sizes = tmp_path / "run.csv", []

    class NoteSize(Callback):
        def on_round_end(self, run):
            sizes.append(path.stat().st_size)

    train(4, callbacks=[CsvLog(path), NoteSize()])
    rows = np.diff(sizes)
    assert (rows > 0).all() and rows.max() < sizes[0]


@pytest.mark.parametrize("num_rounds", [4, 6])
def test_a_resumed_run_s_csv_holds_all_rounds(train, tmp_path, num_rounds):
    train(4, checkpoint_dir=tmp_path / "run")
    run = train(num_rounds, checkpoint_dir=tmp_path / "run", csv_path=tmp_path / "run.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "run.csv"), run.to_frame())
    assert len(run.records) == num_rounds


def test_a_kill_before_the_summary_leaves_no_hole(train, tmp_path):
    train(4, checkpoint_dir=tmp_path / "run")
    train(3, tensorboard_dir=tmp_path / "log")  # the checkpoint has a fourth round
    run = train(checkpoint_dir=tmp_path / "run", tensorboard_dir=tmp_path / "log")
    events = EventAccumulator(str(tmp_path / "log"), size_guidance={"tensors": 0})
    events.Reload()
    found = {e.step: float(tf.make_ndarray(e.tensor_proto)) for e in events.Tensors("loss")}
    assert found == pytest.approx({r["round_num"]: r["loss"] for r in run.records}, rel=1e-6)


# Callbacks


def test_callbacks_are_called_in_order_and_ended_whatever_happens(train):
    calls = []

    class Note(Callback):
        def __init__(self, name):
            self.name = name

        def on_start(self, run):
            calls.append((self.name, "start", run.round_num))

        def on_round_end(self, run):
            calls.append((self.name, "round", run.record["eval_norm"] > 0))
            if run.round_num == 2:
                raise RuntimeError("full")

        def on_end(self, run):
            calls.append((self.name, "end", run.round_num))

    with pytest.raises(RuntimeError, match="full"):
        train(callbacks=[Note("a"), Note("b")])
    rounds = [("a", "round", True), ("b", "round", True), ("a", "round", True)]
    starts = [("a", "start", 0), ("b", "start", 0)]
    assert calls == [*starts, *rounds, ("b", "end", 1), ("a", "end", 1)]


@pytest.mark.parametrize(
    "options, num_rounds",
    [({"target": 0.3}, 3), ({"target": 9}, 6), ({"patience": 2}, 5), ({"patience": 9}, 6)],
)
def test_stops_early_at_a_target_or_when_nothing_improves(train, options, num_rounds):
    values = {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.3, 5: 0.2, 6: 0.1}
    stop = EarlyStopping("eval_accuracy", **options)
    run = train(
        evaluate_fn=lambda round_num, weights: {"eval_accuracy": values[round_num]},
        callbacks=[stop],
    )
    assert len(run.records) == num_rounds


@pytest.mark.parametrize("num_before", [3, 6])  # rounds; 6: the run had ended early
@pytest.mark.parametrize("is_checkpoint_last", [False, True])
def test_a_resumed_run_stops_where_the_unbroken_one_does(
    train, tmp_path, num_before, is_checkpoint_last
):
    def evaluate_fn(round_num, weights):
        return {"eval_accuracy": 1 / round_num}

    def run(num_rounds, *callbacks):
        callbacks = [*callbacks, EarlyStopping("eval_accuracy", patience=3)]
        if is_checkpoint_last:
            callbacks.reverse()
        return train(num_rounds, evaluate_fn=evaluate_fn, callbacks=callbacks)

    run(num_before, Checkpoint(tmp_path))
    assert len(run(6, Checkpoint(tmp_path)).records) == len(run(6).records) == 4


def test_an_early_stop_that_cannot_come_is_refused():
    with pytest.raises(ValueError, match="a target or a patience"):
        EarlyStopping("eval_accuracy")
    with pytest.raises(ValueError, match="patience must be at least 1. Found 0"):
        EarlyStopping("eval_accuracy", patience=0)
