"""The commands of `lab`, with stubs on PATH in place of the programs that it starts."""

import os

import pytest
from helpers.machines import Machine


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_unknown_command(machine):
    code, _, err = machine.run("tset")
    assert code == 1
    assert err == "lab: unknown command 'tset'. ./lab help lists them.\n"


def test_help(machine):
    code, out, _ = machine.run("help")
    assert code == 0
    assert all(
        f"./lab {name} " in out for name in ("test", "lint", "doctor", "bench", "build", "lock")
    )
    assert machine.num_builds() == 0


def test_opens_the_first_notebook_for_this_machine_only(machine):
    assert machine.run("--no-browser")[0] == 0
    call = machine.log.read_text().splitlines()[-1].split()
    assert call[:2] == ["-m", "jupyterlab"]
    assert "--ip=127.0.0.1" in call
    assert "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb" in call
    assert call[-1] == "--no-browser"
    assert ("--allow-root" in call) == (os.geteuid() == 0)


@pytest.mark.parametrize(
    "ruff, pytest_, expected", [("0", "0", 0), ("1", "0", 1), ("0", "5", 5), ("1", "2", 2)]
)
def test_test_fails_when_ruff_or_pytest_does(machine, ruff, pytest_, expected):
    code, _, _ = machine.run("test", RUFF_CODE=ruff, PYTEST_CODE=pytest_)
    assert code == expected
    assert "-m pytest" in machine.log.read_text().splitlines()[-1]


@pytest.mark.parametrize("command, seen", [("test", "-"), ("notebooks", "-"), ("doctor", "emnist")])
def test_what_is_compared_or_stored_is_of_the_digits(machine, command, seen):
    machine.stub("env_python", 'echo "${FEDLAB_DATASET:--} $*" >> "$STUB_LOG"')
    assert machine.run(command, "x", FEDLAB_DATASET="emnist")[0] == 0
    assert machine.log.read_text().splitlines()[-1].startswith(f"{seen} -m")


@pytest.mark.parametrize("code", ["0", "1"])
def test_the_paths_in_what_is_stored_are_cut(machine, code):
    assert machine.run("notebooks", "a b.ipynb", NBCONVERT_CODE=code)[0] == int(code)
    *_, convert, cut = machine.log.read_text().splitlines()
    assert convert.startswith("-m nbconvert ") and convert.endswith(" a b.ipynb")
    assert cut == "-m fedlab.stored_paths a b.ipynb"


def test_test_hands_a_selection_to_pytest(machine):
    assert machine.run("test", "-k", "a b", RUFF_CODE="1")[0] == 0
    assert machine.log.read_text().splitlines()[-1].endswith("-k a b")


def test_test_real_runs_the_lessons_on_real_writers_alone(machine):
    assert machine.run("test", "--real", "-x", RUFF_CODE="1")[0] == 0
    call = machine.log.read_text().splitlines()[-1]
    assert call.endswith("-m real tests/test_real_writers.py -x")
    assert "--nbval" not in call


def test_lint_reports_names_on_request_and_gates_nothing(machine):
    assert machine.run("lint", "--report", RUFF_CODE="1")[0] == 0
    assert machine.log.read_text().splitlines()[-1] == "tests/naming_report.py"
    assert machine.run("lint", RUFF_CODE="1")[0] == 1


def test_bench_runs_each_benchmark_and_says_where_there_is_none(machine):
    code, _, err = machine.run("bench")
    assert (code, err.splitlines()[-1]) == (1, "lab: there is no benchmark yet (benchmarks/*.py).")
    (machine.repo / "benchmarks").mkdir()
    for name in ("one.py", "two.py", "_shared.py"):
        (machine.repo / "benchmarks" / name).touch()
    assert machine.run("bench", "--fast")[0] == 0
    calls = machine.log.read_text().splitlines()[-2:]
    assert calls == ["benchmarks/one.py --fast", "benchmarks/two.py --fast"]
