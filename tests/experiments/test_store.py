"""Finished runs stay: after a kill, beside damaged files, and against other versions and data."""

import json
import signal
import time

import pandas as pd
import pytest
from helpers import kills, studies, tiny
from helpers.studies import CONFIG, change, create_model

from fedlab.experiments import Store, execution, run, run_all, store
from fedlab.experiments.store import Part

DATASET = studies.create_dataset()
CONFIGS = [CONFIG, change(name="longer", num_rounds=4)]


@pytest.fixture(scope="module")
def records():
    return run(CONFIG, DATASET, 0, create_fn=create_model).to_dict("records")


def finish(folder, configs=CONFIGS, seeds=(0, 1), dataset=DATASET):
    stored = Store(folder, dataset)
    study = studies.build_study(*configs)
    return list(run_all(study, configs, seeds, dataset, stored, progress=False))


def without_times(row):
    return {name: value for name, value in row.items() if name != "seconds"}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_comes_back_is_what_went_in_bit_for_bit(tmp_path, records):
    stored = Store(tmp_path / "new", DATASET)
    assert stored.load(CONFIG, 0) is None
    assert not stored.folder.exists()  # looking makes nothing
    saved = stored.save(CONFIG, 0, records)
    loaded = Store(tmp_path / "new", DATASET).load(CONFIG, 0)
    assert loaded == saved
    table, expected = pd.DataFrame(loaded.records), pd.DataFrame(records)
    table = table[list(expected)].astype(expected.dtypes)
    pd.testing.assert_frame_equal(table, expected, check_exact=True)
    assert "tensorflow-federated" in loaded.versions and loaded.machine
    assert stored.load(CONFIG, 1) is None
    assert stored.load(CONFIGS[1], 0) is None
    assert stored.load(change(name="another name"), 0) == loaded


def test_a_part_is_computed_once_for_each_label_configuration_and_seed(tmp_path):
    calls = []

    def remember(part, seed):
        def compute():
            calls.append(part)
            return [{"value": len(calls) - 1}]

        return Store(tmp_path, DATASET).remember(part, seed, compute)[0]["value"]

    parts = [Part("model", CONFIG), Part("attack", CONFIG), Part("model", CONFIGS[1])]
    assert [remember(part, 0) for part in parts] == [0, 1, 2]
    assert remember(parts[0], 1) == 3
    assert [remember(part, 0) for part in parts] == [0, 1, 2]
    assert calls == [*parts, parts[0]]
    assert Store(tmp_path, DATASET).load(CONFIG, 0) is None


def test_a_finished_run_is_not_run_again_nor_overwritten(tmp_path, monkeypatch, records):
    rows = finish(tmp_path)
    assert [(row["name"], row["seed"]) for row in rows] == [
        ("small", 0), ("small", 1), ("longer", 0), ("longer", 1),
    ]  # fmt: skip
    before = contents(tmp_path)
    monkeypatch.setattr(execution, "run", None)
    assert pd.DataFrame(finish(tmp_path)).equals(pd.DataFrame(rows))
    with pytest.raises(FileExistsError, match="It was left as it is"):
        Store(tmp_path, DATASET).save(CONFIG, 0, records)
    assert contents(tmp_path) == before


def test_one_configuration_of_two_names_is_run_once(tmp_path):
    twins = [CONFIG, change(name="twin")]
    one, other = finish(tmp_path, twins, [0])
    assert (one["name"], other["name"]) == ("small", "twin")
    assert (one["loss"], one["seconds"]) == (other["loss"], other["seconds"])
    assert len(list(tmp_path.glob("*_0.json"))) == 1


KILLED = """
    import signal, sys
    from helpers import studies
    from fedlab.experiments import Store, execution, run_all

    folder, to_kill = sys.argv[1], int(sys.argv[2])
    dataset = studies.create_dataset()
    configs = [studies.CONFIG, studies.change(name="longer", num_rounds=4)]
    run = execution.run

    def counted(*args, **options):
        print("run", args[0].name, args[2], flush=True)
        if args[0].name == "longer" and to_kill:
            options["progress_fn"] = lambda share: share and wait()
        return run(*args, **options)

    def wait():
        print("in the middle", flush=True)
        signal.pause()

    execution.run = counted
    stored = Store(folder, dataset)
    for _ in run_all(
        studies.build_study(*configs), configs, [0, 1], dataset, stored, progress=False
    ):
        pass
"""


def start(folder, to_kill):
    code = KILLED.replace("sys.argv[1]", repr(str(folder))).replace("sys.argv[2]", str(to_kill))
    return tiny.start(code, stdout=-1)


def test_a_study_that_was_killed_goes_on_with_what_is_missing(tmp_path):
    folder = tmp_path / "study"
    with start(folder, 1) as process:
        deadline = time.monotonic() + tiny.TIMEOUT
        lines = []
        while "in the middle\n" not in lines and time.monotonic() < deadline:
            lines.append(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=30) == -signal.SIGKILL
    assert lines == ["run small 0\n", "run small 1\n", "run longer 0\n", "in the middle\n"]
    before = contents(folder)
    assert len(before) == 3  # two runs, and whose folder it is
    with start(folder, 0) as process:
        assert process.communicate(timeout=tiny.TIMEOUT)[0].splitlines() == [
            "run longer 0", "run longer 1",
        ]  # fmt: skip
    assert before.items() <= contents(folder).items()
    unbroken = pd.DataFrame(map(without_times, finish(tmp_path / "unbroken")))
    assert pd.DataFrame(map(without_times, finish(folder))).equals(unbroken)


def test_a_study_killed_at_any_moment_ends_with_the_same_bits(tmp_path):
    folder = tmp_path / "study"
    moments = kills.kill_again_and_again(
        """
        from helpers import studies
        from fedlab.experiments import Store, run_all
        """,
        f"""
        dataset, configs = studies.create_dataset(), [studies.CONFIG]
        seeds = range({2 * tiny.NUM_REPEATS})
        store = Store({str(folder)!r}, dataset)
        for _ in run_all(studies.build_study(*configs), configs, seeds, dataset, store, progress=False):
            pass
        """,
        is_time_fn=lambda kill: len(list(folder.glob("*_*.json"))) >= kill,
        longest_wait_fn=lambda kill: 1.0,
        observe_fn=lambda: len(list(folder.glob("*_*.json"))),
    )
    print(f"Killed {len(moments)} times (runs that were finished):", moments)
    seeds = range(2 * tiny.NUM_REPEATS)
    unbroken = map(without_times, finish(tmp_path / "unbroken", [CONFIG], seeds))
    found = map(without_times, finish(folder, [CONFIG], seeds))
    assert pd.DataFrame(found).equals(pd.DataFrame(unbroken)), moments
    assert not list(folder.glob("*.damaged*"))


@pytest.mark.parametrize(
    "damage", ["cut", "changed", "another seed's", "not JSON", "empty", "list"]
)
def test_a_damaged_run_is_put_aside_and_done_again(tmp_path, capsys, damage):
    finish(tmp_path, [CONFIG])
    path, other = (tmp_path / f"{CONFIG.key}_{seed}.json" for seed in (0, 1))
    text = path.read_text()
    damaged = {
        "cut": text[:-20],
        "changed": text.replace('"eval_accuracy": 0.', '"eval_accuracy": 0.9', 1),
        "another seed's": other.read_text(),
        "not JSON": "round_num,accuracy",
        "empty": "",
        "list": "[]",
    }[damage]
    assert damaged != text
    path.write_text(damaged)
    row, _ = finish(tmp_path, [CONFIG])
    assert "is damaged" in capsys.readouterr().out
    assert path.with_name(f"{path.name}.damaged").read_text() == damaged
    assert row["loss"] == json.loads(text)["records"][-1]["eval_loss"]
    path.write_text(damaged)
    finish(tmp_path, [CONFIG])
    assert len(list(tmp_path.glob("*.damaged*"))) == 2  # the first was not overwritten either


@pytest.mark.parametrize(
    "name, value",
    [("_FORMAT", 0), ("RESULTS_VERSION", 0), ("_PACKAGES", ("numpy",))],
)
def test_a_folder_of_another_version_is_refused(tmp_path, monkeypatch, name, value):
    with monkeypatch.context() as patch:
        patch.setattr(store, name, value)
        finish(tmp_path, [CONFIG], [0])
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=r"has (format|results_version|versions) .*Nothing was"):
        Store(tmp_path, DATASET)
    assert contents(tmp_path) == before


def test_a_folder_of_other_data_is_refused(tmp_path):
    finish(tmp_path, [CONFIG], [0])
    with pytest.raises(ValueError, match="has dataset 'tiny', and this is 'other'"):
        Store(tmp_path, studies.create_dataset("other"))
    with pytest.raises(ValueError, match="has dataset_sha256"):
        Store(tmp_path, studies.create_dataset(test=studies.TRAIN))


@pytest.mark.parametrize("header", [None, "", "{}", "[]", '{"format": 1}'])
def test_a_folder_that_is_no_study_s_is_refused(tmp_path, header):
    (tmp_path / "thesis.tex").write_text("dear to somebody")
    if header is not None:
        (tmp_path / "study.json").write_text(header)
    with pytest.raises(ValueError, match="not a study's folder"):
        Store(tmp_path, DATASET)
    with pytest.raises(ValueError, match="not a study's folder"):
        Store(tmp_path / "thesis.tex", DATASET)
