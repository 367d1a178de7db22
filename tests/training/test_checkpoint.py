"""An interrupted run ends as if it had never been interrupted, whatever happened to its files."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from helpers import kills, tiny

from fedlab import models, runtime
from fedlab.checkpoints import FOLDER_NAME, FolderInUseError
from fedlab.learning import build_fed_avg
from fedlab.training import Checkpoint, DivergedError


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
    assert kept == ["round_2.npz", "round_3.npz", "round_4.npz"]


def test_leftovers_of_a_killed_save_are_cleared_away(train, unbroken, copy, inner):
    part = inner / "round_5.npz.fedlab-part-0123456789ab"
    part.write_bytes((inner / "round_4.npz").read_bytes()[:99])
    tiny.assert_same_run(train(checkpoint_dir=copy), unbroken)
    assert not part.exists()


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": halve,
    "other": lambda path: path.write_bytes(b"?" * 999),
    "of another round": lambda path: shutil.copy(path.with_name("round_2.npz"), path),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_checkpoint_is_kept_and_the_one_before_serves(
    train, unbroken, copy, inner, damage
):
    DAMAGES[damage](inner / "round_4.npz")
    damaged = (inner / "round_4.npz").read_bytes()
    with pytest.warns(UserWarning, match=r"round_4.npz is damaged .* Going on from the one before"):
        run = train(checkpoint_dir=copy)
    tiny.assert_same_run(run, unbroken)
    assert (inner / "damaged_round_4.npz").read_bytes() == damaged


def test_with_every_checkpoint_damaged_the_run_begins_again(train, unbroken, copy, inner):
    for path in inner.glob("round_*"):
        halve(path)
    with pytest.warns(UserWarning, match=r"round_[234].npz is damaged"):
        run = train(checkpoint_dir=copy)
    tiny.assert_same_run(run, unbroken)
    assert len(list(inner.glob("damaged_round_*"))) == 3


def test_a_second_damaged_checkpoint_of_a_round_leaves_the_first(train, copy, inner):
    for damage in (b"1", b"2"):
        (inner / "round_4.npz").write_bytes(damage)
        with pytest.warns(UserWarning, match="round_4.npz is damaged"):
            train(4, checkpoint_dir=copy)
    first, second = (inner / f"damaged_round_4.npz{end}" for end in ("", ".1"))
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
    with pytest.raises(ValueError, match="round_4.npz is of another model or algorithm"):
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
    with pytest.raises(OSError, match="Cannot write checkpoints to .*file"):
        train(checkpoint_dir=tmp_path / below, cohort_fn=calls.append)
    assert calls == []
    assert (tmp_path / "file").read_text() == "kept"


def test_divergence_names_the_round_and_leaves_a_good_checkpoint(train, tmp_path):
    train(1, checkpoint_dir=tmp_path)
    wild = tiny.build_process(client_learning_rate=1e38)
    with (
        pytest.warns(UserWarning, match="process .*clients' learning rate.* was .* and is .*"),
        pytest.raises(DivergedError, match="Lower the learning rate") as caught,
    ):
        train(9, process=wild, callbacks=[Checkpoint(tmp_path, on_change="warn")])
    last = newest(tmp_path)
    assert caught.value.round_num == last + 1 in (2, 3)
    assert isinstance(caught.value.__cause__, runtime.NonFiniteUpdateError)
    run = train(last, process=wild, callbacks=[Checkpoint(tmp_path, on_change="warn")])
    assert [record["round_num"] for record in run.records] == list(range(1, last + 1))
    assert all(np.isfinite(leaf).all() for leaf in tf.nest.flatten(run.weights))


def test_weights_that_are_not_finite_are_not_saved(train, tmp_path):
    wild = tiny.build_process(client_learning_rate=100.0, server_learning_rate=3e38)
    with pytest.raises(DivergedError, match="Round 1 diverged: the new weights are not finite"):
        train(1, process=wild, checkpoint_dir=tmp_path)
    assert newest(tmp_path) == 0


# Killed


def saving(folder):
    return any((folder / FOLDER_NAME).glob("round_*.fedlab-part-*"))


def newest(folder):
    names = [path.stem for path in (folder / FOLDER_NAME).glob("round_*.npz")]
    return max([int(name.removeprefix("round_")) for name in names] or [0])


def test_killed_at_any_moment_it_ends_as_if_it_never_had_been(train, tmp_path):
    num_rounds, folder = 5 * tiny.NUM_REPEATS, tmp_path / "run"
    moments = kills.kill_again_and_again(
        """
        import json
        import numpy as np
        from helpers import tiny
        from fedlab.training import Checkpoint, run_rounds
        """,
        f"""
        run = run_rounds(
            tiny.build_process(), tiny.COHORT_FN, {num_rounds}, evaluate_fn=tiny.evaluate,
            callbacks=[Checkpoint({str(folder)!r})],
        )
        np.savez({str(tmp_path / "weights.npz")!r}, *run.weights.trainable)
        open({str(tmp_path / "records.json")!r}, "w").write(json.dumps(run.records))
        """,
        is_time_fn=lambda kill: newest(folder) > 3 * kill and (kill % 2 == 1 or saving(folder)),
        longest_wait_fn=lambda kill: 0.05 if kill % 2 else 0.005,
        observe_fn=lambda: (newest(folder), saving(folder)),
    )
    print(f"Killed {len(moments)} times (newest checkpoint, in a save):", moments)
    unbroken = train(num_rounds)
    with np.load(tmp_path / "weights.npz") as found:
        weights = [found[name] for name in found.files]
    assert tiny.same_bits(weights, unbroken.weights.trainable), moments
    records = json.loads((tmp_path / "records.json").read_text())
    assert tiny.without_seconds(records) == tiny.without_seconds(unbroken.records), moments


# Two at a time


def test_of_two_processes_one_is_told_who_has_the_folder(train, unbroken, tmp_path):
    racing = tiny.start(
        f"""
        import os, time
        from helpers import tiny
        from fedlab.training import Checkpoint, run_rounds

        def run(folder, start):
            time.sleep(max(0, start - time.time()))
            try:
                run_rounds(
                    tiny.build_process(), tiny.COHORT_FN, 3, evaluate_fn=tiny.evaluate,
                    callbacks=[Checkpoint(folder)],
                )
                told = "done"
            except BaseException as error:
                told = f"{{type(error).__name__}} {{error}}"
            open(f"{{folder}}/{{os.getpid()}}", "w").write(told)
            os._exit(0)

        for race in range({tiny.NUM_REPEATS}):
            start = time.time() + 0.1
            for pid in [os.fork() or run({str(tmp_path)!r} + f"/{{race}}", start) for _ in "12"]:
                os.waitpid(pid, 0)
        """
    )
    assert racing.wait(tiny.TIMEOUT * tiny.NUM_REPEATS) == 0
    for race in range(tiny.NUM_REPEATS):
        folder = tmp_path / str(race)
        told = {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}
        assert len(told) == 2 and "done" in told.values(), told
        for pid, text in told.items():
            if text != "done":
                (other,) = told.keys() - {pid}
                assert "FolderInUseError" in text and f"in use by process {other} on " in text
        tiny.assert_same_run(train(checkpoint_dir=folder), unbroken)


def test_two_runs_of_one_process_do_not_share_a_folder(train, copy):
    with pytest.raises(FolderInUseError, match=f"in use by process {os.getpid()} on "):
        train(callbacks=[Checkpoint(copy)], checkpoint_dir=copy)
    assert len(train(checkpoint_dir=copy).records) == 6  # the first has let go of it
