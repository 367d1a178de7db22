"""Results say where they come from, and never take the place of results of other data."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from fedlab.experiments.results import check_replaces, write_results

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = [
    *sorted((ROOT / "benchmarks").glob("[!_]*.py")),
    ROOT / "benchmarks" / "peers" / "compare.py",
]
DIGITS, WRITERS = {"digits": "00aa"}, {"writer digits": "11bb"}


def write(path, digests, seed=3):
    rows = pd.DataFrame({"dataset": list(digests), "accuracy": 0.5})
    write_results(path, rows, seed=seed, digests=digests)


def test_each_row_says_data_seed_versions_machine_and_command(tmp_path):
    path = tmp_path / "new" / "x.csv"
    write(path, DIGITS | WRITERS, seed=pd.Series([3, 4]))
    read = pd.read_csv(path, dtype=str)
    assert read.dataset.tolist() == ["digits", "writer digits"]
    assert read.dataset_sha256.tolist() == ["00aa", "11bb"]
    assert read.seed.tolist() == ["3", "4"]
    assert read[["versions", "machine", "command"]].notna().all(axis=None)


@pytest.mark.parametrize("new", [DIGITS, DIGITS | WRITERS])
def test_results_of_the_same_data_and_more_give_way(tmp_path, new):
    path = tmp_path / "x.csv"
    write(path, DIGITS)
    write(path, new)
    assert pd.read_csv(path).dataset.tolist() == list(new)


def test_a_case_measured_again_replaces_its_rows_and_leaves_the_others(tmp_path):
    path = tmp_path / "x.csv"

    def write_case(clients, seconds, seed):
        rows = pd.DataFrame({"dataset": "digits", "clients": [clients] * 2, "seconds": seconds})
        write_results(path, rows, seed=seed, digests=DIGITS, key=("dataset", "clients"))

    write_case(5, [0.10, 0.2], 1)
    first = path.read_text().splitlines()[:3]
    write_case(20, [0.3, 0.4], 2)
    write_case(20, [0.5, 0.6], 3)
    assert path.read_text().splitlines()[:3] == first
    read = pd.read_csv(path)
    assert read.seconds.tolist() == [0.1, 0.2, 0.5, 0.6]
    assert read.seed.tolist() == [1, 1, 3, 3]
    rows = pd.DataFrame({"dataset": ["writer digits"], "clients": 5})
    with pytest.raises(ValueError, match="holds results of 'digits'"):
        write_results(path, rows, seed=1, digests=WRITERS, key=("dataset", "clients"))


@pytest.mark.parametrize(
    "stored, new, message",
    [
        (WRITERS, DIGITS, "holds results of 'writer digits', and these are of digits"),
        (DIGITS | WRITERS, DIGITS, "holds results of 'writer digits'"),
        ({"own.sqlite": "22cc"}, {"own.sqlite": "33dd"}, "other data named 'own.sqlite'"),
        ({"own.sqlite": "1234e5"}, {"own.sqlite": "123400000.0"}, "other data named 'own.sqlite'"),
    ],
)
def test_results_of_other_data_stay(tmp_path, stored, new, message):
    path = tmp_path / "x.csv"
    write(path, stored)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"{message}.*choose another folder"):
        write(path, new)
    assert path.read_bytes() == before
    write(path, stored)


def test_results_without_a_digest_go_by_the_name_and_without_a_name_stay(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("dataset,seconds,versions,machine,command\ndigits,1,a,b,c\n")
    check_replaces(path, DIGITS)
    with pytest.raises(ValueError, match="holds results of 'digits'"):
        check_replaces(path, WRITERS)
    path.write_text("seconds,versions,machine,command\n1,a,b,c\n")
    with pytest.raises(ValueError, match="does not say which data"):
        check_replaces(path, DIGITS)
    path.write_text("")
    check_replaces(path, DIGITS)
    path.write_text("a,dataset\n1,digits\n")
    with pytest.raises(ValueError, match="was not written by fedlab"):
        check_replaces(path, DIGITS)


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_a_benchmark_asks_before_it_measures_and_writes_by_the_same_rule(path):
    text = path.read_text()
    assert "choose_path(" in text and "write_results(" in text
    assert "to_csv" not in text and 'ROOT / "results"' not in text


def test_a_stranger_s_benchmark_leaves_the_stored_results_alone(tmp_path):
    """Beside a copy of the repository there are no writer digits, of which its results are."""
    shutil.copytree(ROOT / "benchmarks", tmp_path / "course" / "benchmarks")
    stored = tmp_path / "course" / "results" / "baseline.csv"
    stored.parent.mkdir()
    shutil.copy(ROOT / "results" / "baseline.csv", stored)
    before = stored.read_bytes()
    command = [sys.executable, tmp_path / "course" / "benchmarks" / "baseline.py"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert stored.read_bytes() == before
    assert "holds results of 'writer digits', and these are of digits" in done.stdout
    beside = pd.read_csv(tmp_path / "course" / "runs" / "baseline.csv")
    expected = pd.read_csv(stored)
    expected = expected[expected.dataset == "digits"]
    pd.testing.assert_frame_equal(beside[expected.columns[:5]], expected[expected.columns[:5]])
    done = subprocess.run(
        [*command, "--to", stored.parent], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "holds results of 'writer digits'" in done.stderr
    assert stored.read_bytes() == before
    assert [path.name for path in stored.parent.iterdir()] == ["baseline.csv"]


def test_a_measurement_that_fails_leaves_no_file(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    round_time = importlib.import_module("round_time")
    written = []

    def write_and_fail(command, **options):
        written.append(Path(command[-1]))
        written[0].write_text("half of")
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(round_time.subprocess, "run", write_and_fail)
    with pytest.raises(subprocess.CalledProcessError):
        round_time.measure_apart("memory", "local", 5)
    assert not written[0].exists()
