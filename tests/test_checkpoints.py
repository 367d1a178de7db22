"""An interrupted run ends as if it had never been interrupted, whatever happened to its files."""

import json
import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from helpers import tiny

from fedlab import models, runtime
from fedlab.checkpoints import FOLDER_NAME, Checkpoints
from fedlab.learning import build_fed_avg
from fedlab.training import DivergedError


@pytest.fixture(scope="module")
def saved(train, tmp_path_factory):
    """A folder with a run of four rounds. A test works on a copy."""
    folder = tmp_path_factory.mktemp("saved") / "run"
    train(4, checkpoint_dir=folder)
    return folder


@pytest.fixture
def copy(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "copy"))


@pytest.fixture
def inner(copy):
    return copy / FOLDER_NAME


def content(folder):
    """Every file below a folder, by name and bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in Path(folder).rglob("*")
        if path.is_file()
    }


# Resuming


def test_a_run_in_two_parts_is_the_unbroken_run(train, unbroken, copy):
    tiny.assert_same_run(train(checkpoint_dir=copy), unbroken)


def test_a_rebuilt_process_goes_on_too(train, unbroken, copy):
    tiny.assert_same_run(train(process=tiny.build_process(), checkpoint_dir=copy), unbroken)


def test_resuming_goes_before_initial_weights(train, unbroken, copy):
    other = tf.nest.map_structure(np.zeros_like, unbroken.weights)
    tiny.assert_same_run(train(checkpoint_dir=copy, initial_weights=other), unbroken)


def test_a_finished_run_does_nothing_more(train, copy):
    before = content(copy)
    calls = []
    first = train(4, checkpoint_dir=copy, cohort_fn=lambda n: calls.append(n) or tiny.COHORT_FN(n))
    assert calls == []
    assert [record["round_num"] for record in first.records] == [1, 2, 3, 4]
    assert content(copy) == before


def test_the_newest_three_checkpoints_are_kept(inner):
    kept = sorted(path.name for path in inner.glob("round_*"))
    assert kept == ["round_2", "round_3", "round_4"]


def test_leftovers_of_a_killed_save_are_cleared_away(train, unbroken, copy, inner):
    shutil.copytree(inner / "round_4", inner / "round_5_temp1234")
    with (inner / "records.jsonl").open("a") as file:
        file.write('{"round_num": 5, "lo')
    tiny.assert_same_run(train(checkpoint_dir=copy), unbroken)
    assert not list(inner.glob("*_temp*"))


def test_a_kill_before_the_first_checkpoint_costs_no_record(train, unbroken, tmp_path):
    Checkpoints(tmp_path)
    (tmp_path / FOLDER_NAME / "records.jsonl").write_text('{"round_num": 1, "lo')  # no line end
    train(1, checkpoint_dir=tmp_path)
    resumed = train(checkpoint_dir=tmp_path)
    tiny.assert_same_run(resumed, unbroken)


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
    train, unbroken, copy, inner, damage
):
    DAMAGES[damage](inner / "round_4")
    damaged = content(inner / "round_4")
    with pytest.warns(UserWarning, match=r"round_4 cannot be read .* Going on from the one before"):
        run = train(checkpoint_dir=copy)
    tiny.assert_same_run(run, unbroken)
    assert content(inner / "damaged_round_4") == damaged


def test_with_every_checkpoint_damaged_the_run_begins_again(train, unbroken, copy, inner):
    for path in inner.glob("round_*"):
        (path / "saved_model.pb").unlink()
    with pytest.warns(UserWarning, match=r"round_[234] cannot be read"):
        run = train(checkpoint_dir=copy)
    tiny.assert_same_run(run, unbroken)
    assert len(list(inner.glob("damaged_round_*"))) == 3


def test_a_second_damaged_checkpoint_of_a_round_leaves_the_first(train, copy, inner):
    for damage in (b"1", b"2"):
        (inner / "round_4" / "saved_model.pb").write_bytes(damage)
        with pytest.warns(UserWarning, match="round_4 cannot be read"):
            train(4, checkpoint_dir=copy)
    first, second = (inner / f"damaged_round_4{end}" / "saved_model.pb" for end in ("", ".1"))
    assert (first.read_bytes(), second.read_bytes()) == (b"1", b"2")


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
            tf.keras.layers.InputLayer(models.INPUT_SHAPE),
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


def test_another_server_rate_is_refused_and_the_remedy_works(train, copy):
    before = content(copy)
    halved = tiny.build_process(server_learning_rate=0.5)
    with pytest.raises(ValueError, match=r"finalizer.learning_rate = 1.0, .* has 0.5 .* with 1.0:"):
        train(process=halved, checkpoint_dir=copy)
    assert content(copy) == before
    assert len(train(checkpoint_dir=copy).records) == 6


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
    with pytest.raises(DivergedError, match="Lower the learning rate") as caught:
        train(9, process=tiny.build_process(client_learning_rate=1e38), checkpoint_dir=tmp_path)
    last = newest(tmp_path)
    assert caught.value.round_num == last + 1 in (2, 3)
    assert isinstance(caught.value.__cause__, runtime.NonFiniteUpdateError)
    run = train(last, checkpoint_dir=tmp_path)
    assert [record["round_num"] for record in run.records] == list(range(1, last + 1))
    assert all(np.isfinite(leaf).all() for leaf in tf.nest.flatten(run.weights))


def test_weights_that_are_not_finite_are_not_saved(train, tmp_path):
    wild = tiny.build_process(client_learning_rate=100.0, server_learning_rate=3e38)
    with pytest.raises(DivergedError, match="Round 1 diverged: the new weights are not finite"):
        train(1, process=wild, checkpoint_dir=tmp_path)
    assert newest(tmp_path) == 0


# Killed


def saving(folder):
    return any((folder / FOLDER_NAME).glob("round_*_temp*"))


def newest(folder):
    names = [path.name[6:] for path in (folder / FOLDER_NAME).glob("round_*")]
    return max([int(name) for name in names if name.isdigit()] or [0])


def test_killed_at_any_moment_it_ends_as_if_it_never_had_been(train, tmp_path):
    num_rounds, folder = 9, tmp_path / "run"
    # Each attempt is a fork of one Python that has imported TFF, which takes its time.
    attempts = tiny.start(
        f"""
        import json, os
        import numpy as np
        from helpers import tiny
        from fedlab.training import Checkpoint, run_rounds
        while True:
            pid = os.fork()
            if pid == 0:
                break
            print(pid, flush=True)
            if os.waitpid(pid, 0)[1] == 0:
                os._exit(0)
        run = run_rounds(
            tiny.build_process(), tiny.COHORT_FN, {num_rounds}, evaluate_fn=tiny.evaluate,
            callbacks=[Checkpoint({str(folder)!r})],
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
            deadline = time.monotonic() + tiny.TIMEOUT
            while newest(folder) < at_least or (while_saving and not saving(folder)):
                assert time.monotonic() < deadline
                assert attempts.poll() is None
                time.sleep(0.0005)
            time.sleep(random.random() * (0.01 if while_saving else 0.1))
            os.kill(pid, 9)
            moments.append((newest(folder), saving(folder)))
        assert attempts.wait(tiny.TIMEOUT) == 0
    finally:
        attempts.kill()
        attempts.stdout.close()
    unbroken = train(num_rounds)
    with np.load(tmp_path / "weights.npz") as found:
        weights = [found[name] for name in found.files]
    assert tiny.same_bits(weights, unbroken.weights.trainable), moments
    records = json.loads((tmp_path / "records.json").read_text())
    assert tiny.without_seconds(records) == tiny.without_seconds(unbroken.records), moments
