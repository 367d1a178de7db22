"""A run leaves its records, and an interrupted one ends as if it had never been interrupted."""

import asyncio
import json
import os
import random
import re
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_federated as tff
import tiny
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fedlab import models, sampling
from fedlab.algorithms import build_fed_avg
from fedlab.checkpoints import Checkpoints
from fedlab.preprocessing import Preprocessing, build_cohort_fn
from fedlab.training import run_rounds, weights_bytes

HERE = Path(__file__).parent
TIMEOUT = 120
DATA = tiny.create_data(12, 4, 8, 5, 9, 10)
COHORT_FN = build_cohort_fn(
    DATA, sampling.uniform(DATA.client_ids, 3, seed=1), Preprocessing(batch_size=5, shuffle=True)
)
FIELDS = "round_num num_clients num_examples loss accuracy seconds bytes_down bytes_up".split()
NUM_ROUNDS = 6


def build_process(**options):
    options = {"client_learning_rate": 0.1} | options
    return build_fed_avg(models.build_functional_model(tiny.create_model), **options)


def evaluate(weights):
    return {"eval_norm": np.linalg.norm(weights.trainable[0])}  # float32, as NumPy has it


@pytest.fixture(scope="module")
def process():
    return build_process()


@pytest.fixture(scope="module")
def train(process):
    def run(num_rounds=NUM_ROUNDS, *, cohort_fn=COHORT_FN, process=process, **options):
        options = {"progress": False, "evaluate_fn": evaluate} | options
        return run_rounds(process, cohort_fn, num_rounds, **options)

    return run


@pytest.fixture(scope="module")
def unbroken(train):
    return train()


@pytest.fixture(scope="module")
def saved(train, tmp_path_factory):
    """A folder with a run of four rounds. A test works on a copy."""
    folder = tmp_path_factory.mktemp("saved") / "run"
    train(4, checkpoint_dir=folder)
    return folder


@pytest.fixture
def copy(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def without_seconds(records):
    return [{name: value for name, value in r.items() if name != "seconds"} for r in records]


def assert_same_run(run, other):
    assert tiny.same_bits(run.weights, other.weights)
    assert tiny.same_bits(run.state, other.state)
    assert without_seconds(run.records) == without_seconds(other.records)


def content(folder):
    """Every file below a folder, by name and bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in Path(folder).rglob("*")
        if path.is_file()
    }


# Records


def test_every_round_leaves_one_flat_record(unbroken):
    assert [record["round_num"] for record in unbroken.records] == [1, 2, 3, 4, 5, 6]
    for record in unbroken.records:
        assert list(record) == [*FIELDS, "eval_norm"]
        cohort = COHORT_FN(record["round_num"])
        assert record["num_clients"] == len(cohort) == 3
        assert record["num_examples"] == sum(
            len(DATA.examples(client_id).labels) for client_id in cohort
        )
        assert record["bytes_up"] == record["bytes_down"] == 3 * 7850 * 4
        assert record["seconds"] > 0
        assert 0 <= record["accuracy"] <= 1
        assert all(type(value) in (int, float) for value in record.values())
    frame = unbroken.to_frame()
    assert len(frame) == 6
    assert list(frame.columns) == [*FIELDS, "eval_norm"]


def test_the_run_learns_and_is_repeatable(train, unbroken):
    assert unbroken.records[-1]["loss"] < unbroken.records[0]["loss"]
    assert_same_run(train(), unbroken)


def test_the_weights_are_the_state_s(unbroken):
    assert tiny.same_bits(unbroken.weights, unbroken.state.global_model_weights)
    assert weights_bytes(unbroken.weights) == 7850 * 4


@pytest.mark.parametrize("every, evaluated", [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (9, [5])])
def test_evaluates_every_nth_round_and_after_the_last(train, every, evaluated):
    records = train(5, evaluate_every=every).records
    assert [record["round_num"] for record in records if "eval_norm" in record] == evaluated


def test_evaluation_sees_the_new_weights(train):
    seen = []
    run = train(1, evaluate_fn=lambda weights: seen.append(weights) or {})
    assert tiny.same_bits(seen[0], run.weights)


def test_starts_from_the_weights_given(train, unbroken):
    still = build_process(client_learning_rate=0.0)
    run = train(1, process=still, initial_weights=unbroken.weights)
    assert tiny.same_bits(run.weights, unbroken.weights)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_rounds": 0}, "num_rounds must be at least 1. Found 0."),
        ({"num_rounds": -3}, "num_rounds must be at least 1. Found -3."),
        ({"evaluate_every": 0}, "evaluate_every must be at least 1. Found 0."),
    ],
)
def test_bad_numbers_are_named_and_nothing_is_written(train, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        train(**options, checkpoint_dir=tmp_path / "run", csv_path=tmp_path / "run.csv")
    assert list(tmp_path.iterdir()) == []


def test_works_inside_a_running_event_loop(train, tmp_path, unbroken):
    async def cell():
        return train(checkpoint_dir=tmp_path)

    assert_same_run(asyncio.run(cell()), unbroken)


# Files


def test_the_csv_holds_the_records(train, tmp_path):
    path = tmp_path / "new" / "run.csv"
    run = train(3, evaluate_every=2, csv_path=path)
    pd.testing.assert_frame_equal(pd.read_csv(path), run.to_frame())


def test_tensorboard_reads_the_records(train, tmp_path):
    run = train(3, evaluate_every=2, tensorboard_dir=tmp_path)
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    events.Reload()
    assert set(events.Tags()["tensors"]) == {*FIELDS, "eval_norm"} - {"round_num"}
    for name in events.Tags()["tensors"]:
        found = {e.step: float(tf.make_ndarray(e.tensor_proto)) for e in events.Tensors(name)}
        expected = {r["round_num"]: r[name] for r in run.records if name in r}
        assert found == pytest.approx(expected, rel=1e-6)


def test_a_resumed_run_s_csv_holds_all_rounds(train, tmp_path, copy):
    run = train(checkpoint_dir=copy, csv_path=tmp_path / "run.csv")
    assert pd.read_csv(tmp_path / "run.csv").round_num.tolist() == [1, 2, 3, 4, 5, 6]
    assert len(run.records) == 6


# Resuming


def test_a_run_in_two_parts_is_the_unbroken_run(train, unbroken, copy):
    assert_same_run(train(checkpoint_dir=copy), unbroken)


def test_a_rebuilt_process_goes_on_too(train, unbroken, copy):
    assert_same_run(train(process=build_process(), checkpoint_dir=copy), unbroken)


def test_resuming_goes_before_initial_weights(train, unbroken, copy):
    other = tf.nest.map_structure(np.zeros_like, unbroken.weights)
    assert_same_run(train(checkpoint_dir=copy, initial_weights=other), unbroken)


def test_a_finished_run_does_nothing_more(train, copy):
    before = content(copy)
    calls = []
    first = train(4, checkpoint_dir=copy, cohort_fn=lambda n: calls.append(n) or COHORT_FN(n))
    assert calls == []
    assert [record["round_num"] for record in first.records] == [1, 2, 3, 4]
    assert content(copy) == before


def test_the_newest_three_checkpoints_are_kept(copy):
    kept = sorted(path.name for path in copy.glob("round_*"))
    assert kept == ["round_2", "round_3", "round_4"]


def test_leftovers_of_a_killed_save_are_cleared_away(train, unbroken, copy):
    shutil.copytree(copy / "round_4", copy / "round_5_temp1234")
    with (copy / "records.jsonl").open("a") as file:
        file.write('{"round_num": 5, "lo')
    assert_same_run(train(checkpoint_dir=copy), unbroken)
    assert not list(copy.glob("*_temp*"))


DAMAGES = {
    "no_graph": lambda path: (path / "saved_model.pb").unlink(),
    "empty_graph": lambda path: (path / "saved_model.pb").write_bytes(b""),
    "cut_graph": lambda path: halve(path / "saved_model.pb"),
    "no_values": lambda path: shutil.rmtree(path / "variables"),
    "cut_values": lambda path: halve(next(path.glob("variables/*.data*"))),
    "empty_folder": lambda path: [shutil.rmtree(path), path.mkdir()],
    "a_file": lambda path: [shutil.rmtree(path), path.write_bytes(b"?")],
}


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_checkpoint_is_kept_and_the_one_before_serves(
    train, unbroken, copy, damage
):
    DAMAGES[damage](copy / "round_4")
    damaged = content(copy / "round_4")
    with pytest.warns(UserWarning, match=r"round_4 cannot be read .* Going on from the one before"):
        run = train(checkpoint_dir=copy)
    assert_same_run(run, unbroken)
    assert content(copy / "damaged_round_4") == damaged


def test_with_every_checkpoint_damaged_the_run_begins_again(train, unbroken, copy):
    for path in copy.glob("round_*"):
        (path / "saved_model.pb").unlink()
    with pytest.warns(UserWarning, match=r"round_[234] cannot be read"):
        run = train(checkpoint_dir=copy)
    assert_same_run(run, unbroken)
    assert len(list(copy.glob("damaged_round_*"))) == 3


OTHERS = {
    "momentum": lambda: tff.learning.algorithms.build_weighted_fed_avg(
        models.build_functional_model(tiny.create_model),
        client_optimizer_fn=tff.learning.optimizers.build_sgdm(0.1),
        server_optimizer_fn=tff.learning.optimizers.build_sgdm(1.0, momentum=0.9),
    ),
    "larger_model": lambda: build_fed_avg(models.build_functional_model(models.create_cnn)),
    "other_shape": lambda: build_fed_avg(models.build_functional_model(create_narrow)),
}


def create_narrow():
    return tf.keras.Sequential(
        [
            tf.keras.layers.InputLayer(models.IMAGE_SHAPE),
            tf.keras.layers.AveragePooling2D(),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(10, kernel_initializer=tf.keras.initializers.GlorotUniform(0)),
        ]
    )


@pytest.mark.parametrize("other", OTHERS)
def test_another_model_s_checkpoint_is_refused_and_left_alone(train, copy, other):
    before = content(copy)
    with pytest.raises(ValueError, match="round_4 is of another model or algorithm"):
        train(process=OTHERS[other](), checkpoint_dir=copy)
    assert content(copy) == before


def test_fewer_rounds_than_there_are_is_refused_and_nothing_changed(train, copy):
    before = content(copy)
    with pytest.raises(ValueError, match="num_rounds must be at least 4, .* Found 3."):
        train(3, checkpoint_dir=copy)
    assert content(copy) == before


@pytest.mark.parametrize("below", ["file/run", "file"])
def test_an_unwritable_folder_is_told_before_the_first_round(train, tmp_path, below):
    (tmp_path / "file").write_text("kept")  # root may write anywhere, but not below a file
    calls = []
    with pytest.raises(PermissionError, match="Cannot write checkpoints to .*file"):
        train(checkpoint_dir=tmp_path / below, cohort_fn=calls.append)
    assert calls == []
    assert (tmp_path / "file").read_text() == "kept"


def test_a_kernel_folder_is_unwritable_too():
    with pytest.raises(PermissionError, match="'/proc/1/run'"):
        Checkpoints("/proc/1/run")


def test_divergence_names_the_round_and_leaves_a_good_checkpoint(train, tmp_path):
    train(1, checkpoint_dir=tmp_path)
    # TFF leaves clients with a non-finite update out, and calls a round without any a loss of 0.
    with pytest.raises(ValueError, match=r"Round [23] diverged: .* Lower the learning rate"):
        train(9, process=build_process(client_learning_rate=1e38), checkpoint_dir=tmp_path)
    last = newest(tmp_path)
    run = train(last, checkpoint_dir=tmp_path)
    assert [record["round_num"] for record in run.records] == list(range(1, last + 1))
    assert all(np.isfinite(leaf).all() for leaf in tf.nest.flatten(run.weights))


def test_weights_that_are_not_finite_are_not_saved(train, tmp_path):
    wild = build_process(client_learning_rate=100.0, server_learning_rate=3e38)
    with pytest.raises(ValueError, match="Round 1 diverged: the new weights are not finite"):
        train(1, process=wild, checkpoint_dir=tmp_path)
    assert newest(tmp_path) == 0


def test_a_round_of_empty_clients_is_told(train):
    def cohort_fn(round_num):
        return {client_id: batches.take(0) for client_id, batches in COHORT_FN(round_num).items()}

    with pytest.raises(ValueError, match="Round 1 .* none has an example"):
        train(1, cohort_fn=cohort_fn)


# Killed


def start(code, **options):
    environment = {name: value for name, value in os.environ.items() if name[:3] != "TF_"}
    environment["PYTHONPATH"] = f"{HERE.parent}:{HERE}"
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment, text=True, **options
    )


def saving(folder):
    return any(folder.glob("round_*_temp*"))


def newest(folder):
    return max([int(p.name[6:]) for p in folder.glob("round_*") if p.name[6:].isdigit()] or [0])


def test_killed_at_any_moment_it_ends_as_if_it_never_had_been(train, tmp_path):
    num_rounds, folder = 9, tmp_path / "run"
    # Each attempt is a fork of one Python that has imported TFF, which takes its time.
    attempts = start(
        f"""
        import json, os
        import numpy as np
        import test_training as t
        while True:
            pid = os.fork()
            if pid == 0:
                break
            print(pid, flush=True)
            if os.waitpid(pid, 0)[1] == 0:
                os._exit(0)
        run = t.run_rounds(
            t.build_process(), t.COHORT_FN, {num_rounds}, evaluate_fn=t.evaluate,
            checkpoint_dir={str(folder)!r}, progress=False,
        )
        np.savez({str(tmp_path / "weights.npz")!r}, *run.weights.trainable)
        open({str(tmp_path / "records.json")!r}, "w").write(json.dumps(run.records))
        """,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    moments = []
    try:
        for at_least, while_saving in ((2, True), (4, False), (6, True)):
            pid = int(attempts.stdout.readline())
            deadline = time.monotonic() + TIMEOUT
            while newest(folder) < at_least or (while_saving and not saving(folder)):
                assert time.monotonic() < deadline
                assert attempts.poll() is None
                time.sleep(0.0005)
            time.sleep(random.random() * (0.01 if while_saving else 0.1))
            os.kill(pid, 9)
            moments.append((newest(folder), saving(folder)))
        assert attempts.wait(TIMEOUT) == 0
    finally:
        attempts.kill()
        attempts.stdout.close()
    unbroken = train(num_rounds)
    with np.load(tmp_path / "weights.npz") as found:
        weights = [found[name] for name in found.files]
    assert tiny.same_bits(weights, unbroken.weights.trainable), moments
    records = json.loads((tmp_path / "records.json").read_text())
    assert without_seconds(records) == without_seconds(unbroken.records), moments


# What the learner sees

LOG_LINE = re.compile(
    r"WARNING|INFO|ERROR|Error|Traceback|^[IWEF]\d{4}|\d: [IWEF] |cuda|CUDA|absl", re.M
)


def test_the_progress_bar_is_all_that_a_run_prints(tmp_path):
    process = start(
        f"""
        import fedlab  # before TensorFlow, as everywhere in the course
        import test_training as t
        t.run_rounds(
            t.build_process(), t.COHORT_FN, 3, evaluate_fn=t.evaluate,
            checkpoint_dir={str(tmp_path / "run")!r}, tensorboard_dir={str(tmp_path / "log")!r},
        )
        """,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, err
    assert out == ""
    assert not LOG_LINE.search(err), err
    lines = [line for line in re.split(r"[\r\n]+", err) if line.strip()]
    assert all(line.startswith("Rounds:") for line in lines), err
    assert "3/3" in lines[-1]
    assert "loss=" in lines[-1]
    assert "accuracy=" in lines[-1]
