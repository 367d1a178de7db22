"""`lab` itself, with stubs on PATH in place of the programs that it asks or starts."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers.mounts import within_mounts

ROOT = Path(__file__).resolve().parent.parent
# In place of the environment's Python: notes how it was called; some calls fail on request.
ENV_PYTHON = """#!/bin/bash
printf '%s\\n' "$*" >> "$STUB_LOG"
case "$*" in
  *"-m pytest"*) exit "${PYTEST_CODE:-0}" ;;
  *"-m ruff"*) exit "${RUFF_CODE:-0}" ;;
  *"-m nbconvert"*) exit "${NBCONVERT_CODE:-0}" ;;
esac
"""
STUBS = {
    "uname": "echo Linux x86_64",
    "getconf": "echo glibc 2.36",
    "df": "echo Avail; echo 99999999",
    "python3.11": 'echo "$0"',
    "python3": "exit 1",
    "lint-imports": "exit 0",
    "uv": """echo "uv $1 $2" >> "$STUB_LOG"
case "$1" in
  venv) sleep "${UV_SLEEP:-0}"; mkdir -p .venv/bin; cp "$ENV_PYTHON" .venv/bin/python ;;
  pip) exit "${UV_CODE:-0}" ;;
  *) exit 1 ;;
esac""",
}


class Machine:
    """A copy of `lab` in a folder with a space in its name, on a machine made of stubs."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.repo, self.log = folder / "bin", folder / "my course", folder / "log"
        self.bin.mkdir()
        self.repo.mkdir()
        self.log.touch()
        shutil.copy(ROOT / "lab", self.repo)
        (self.repo / "requirements.lock").write_text("numpy==1.26.4\n")
        self.stub("env_python", ENV_PYTHON)
        for name, body in STUBS.items():
            self.stub(name, body)
        self.environment = {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "HOME": str(folder),
            "STUB_LOG": str(self.log),
            "ENV_PYTHON": str(self.bin / "env_python"),
        }

    def stub(self, name: str, body: str) -> None:
        path = self.bin / name
        path.write_text(body if body.startswith("#!") else f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)

    def start(self, *args: str, program: Path | None = None, **variables: str) -> subprocess.Popen:
        return subprocess.Popen(
            [program or self.repo / "lab", *args],
            env=self.environment | variables,
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *args: str, **kwargs) -> tuple[int, str, str]:
        process = self.start(*args, **kwargs)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def num_builds(self) -> int:
        return self.log.read_text().count("uv venv")


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.mark.parametrize(
    "stub, body, words",
    [
        ("uname", "echo Darwin arm64", ["Darwin arm64", "Linux x86-64", "container"]),
        ("uname", "echo Linux aarch64", ["Linux aarch64", "Linux x86-64", "Codespaces"]),
        ("uname", "echo MINGW64_NT-10.0-19045 x86_64", ["Windows", "WSL2"]),
        ("getconf", "echo glibc 2.27", ["glibc 2.27", "2.31", "Debian 11"]),
        ("getconf", "exit 1", ["no glibc", "2.31"]),
        ("df", "echo Avail; echo 2097152", ["2048 MB", "5 GB", "larger disk"]),
        (
            "python3.11",
            "exit 1",
            ["no Python 3.11", "lzma", "uv python install 3.11", "conda env create"],
        ),
    ],
)
def test_says_in_one_line_what_is_missing(machine, stub, body, words):
    machine.stub(stub, body)
    code, out, err = machine.run("build")
    assert (code, out) == (1, "")
    assert err.startswith("lab: ")
    assert err.count("\n") == 1
    assert all(word in err for word in words)
    assert not (machine.repo / ".venv").exists()


def test_refuses_a_python_variable_that_is_not_3_11(machine):
    code, _, err = machine.run("build", PYTHON=str(machine.bin / "python3"))
    assert code == 1
    assert "$PYTHON" in err
    assert err.count("\n") == 1


def test_without_uv_an_incomplete_python_is_refused(machine):
    (machine.bin / "uv").unlink()
    if shutil.which("uv", path=machine.environment["PATH"]):
        pytest.skip("uv is installed in /usr/bin")
    machine.stub(
        "python3.11",
        'case "$2" in *ensurepip*) echo "No module named x" >&2; exit 1;; esac; echo "$0"',
    )
    code, _, err = machine.run("build")
    assert code == 1
    assert "No module named x" in err.splitlines()[-1]
    assert "python3.11-venv" in err.splitlines()[-1]


def test_with_uv_too_an_incomplete_python_is_passed_over(machine):
    machine.stub("python3.11", 'case "$2" in *lzma*) exit 1;; esac; echo "$0"')
    machine.stub("python3", 'echo "$0"')
    machine.stub("uv", 'echo "$*" >> "$STUB_LOG"\n' + STUBS["uv"])
    assert machine.run("build")[0] == 0
    assert f"--python {machine.bin / 'python3'} " in machine.log.read_text()


def test_pyenv_is_the_last_resort(machine):
    machine.stub("python3.11", "exit 1")
    folder = machine.repo.parent / ".pyenv" / "versions" / "3.11.9" / "bin"
    folder.mkdir(parents=True)
    machine.stub("python", 'echo "$0"')
    (machine.bin / "python").rename(folder / "python")
    assert machine.run("build")[0] == 0


def test_builds_once_and_again_for_a_new_lock(machine):
    assert machine.run("build")[0] == 0
    assert machine.run("build")[0] == 0
    assert machine.num_builds() == 1
    (machine.repo / "requirements.lock").write_text("numpy==1.26.5\n")
    assert machine.run("build")[0] == 0
    assert machine.num_builds() == 2


def test_a_moved_folder_is_built_anew(machine):
    assert machine.run("build")[0] == 0
    machine.repo = machine.repo.rename(machine.repo.parent / "elsewhere")
    assert machine.run("build")[0] == 0
    assert machine.num_builds() == 2


def test_an_unfinished_build_is_not_taken_for_whole(machine):
    code, _, err = machine.run("build", UV_CODE="1")
    assert code == 1
    assert "not built" in err.splitlines()[-1]
    assert (machine.repo / ".venv" / "built").read_text() == "unfinished build of ./lab\n"
    (machine.repo / ".venv" / "half").touch()
    assert machine.run("build")[0] == 0
    assert machine.num_builds() == 2
    assert not (machine.repo / ".venv" / "half").exists()


def test_an_environment_of_the_user_s_own_is_not_removed(machine):
    folder = machine.repo / ".venv"
    (folder / "bin").mkdir(parents=True)
    for name in ("pyvenv.cfg", "built", "bin/python"):
        (folder / name).write_text("the user's")
    code, out, err = machine.run("build")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == (
        f"lab: {folder} was not made by ./lab. Rename or remove it, then run ./lab again."
    )
    for name in ("pyvenv.cfg", "built", "bin/python"):
        assert (folder / name).read_text() == "the user's"


def test_the_environment_of_another_copy_of_the_course_is_not_removed(machine):
    assert machine.run("build")[0] == 0
    first = machine.repo
    machine.repo = first.with_name("copy")
    shutil.copytree(first, machine.repo, ignore=shutil.ignore_patterns(".venv"))
    (machine.repo / ".venv").symlink_to(first / ".venv")
    code, _, err = machine.run("build")
    assert code == 1
    assert f"is the environment of {first}. It was left as it is" in err.splitlines()[-1]
    assert (first / ".venv" / "bin" / "python").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="Only root can give a file to another user.")
@pytest.mark.parametrize("is_finished", [True, False])
def test_another_user_s_environment_is_not_removed(machine, is_finished):
    folder = machine.repo / ".venv"
    assert machine.run("build", UV_CODE="0" if is_finished else "1")[0] == int(not is_finished)
    (folder / "bin" / "python").chmod(0o600)  # cannot be executed
    os.chown(folder, 54321, -1)
    code, out, err = machine.run("build")
    assert (code, out) == (1, "")
    assert err.startswith(f"lab: {folder} belongs to UNKNOWN and does not run for you. It was left")
    assert err.count("\n") == 1
    assert (folder / "bin" / "python").exists() and (folder / "built").exists()


def test_a_path_with_a_colon_is_told_in_one_line(machine):
    machine.repo = machine.repo.rename(machine.repo.with_name("my:course"))
    for command in ("doctor", "test", "build"):
        code, out, err = machine.run(command)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert err.startswith(f"lab: the path {machine.repo} contains a ':'")
    assert not (machine.repo / ".venv").exists()
    assert machine.run("help")[0] == 0


@pytest.mark.parametrize("option, seen", [("ro", "0"), ("rw", "-")])
def test_joblib_is_told_where_it_can_share_no_memory(machine, option, seen):
    machine.stub("env_python", 'echo "${JOBLIB_MULTIPROCESSING:--} $*" >> "$STUB_LOG"')
    prefix = within_mounts([f"-t tmpfs -o {option} none /dev/shm"])
    command = [*prefix, machine.repo / "lab", "doctor"]
    subprocess.run(command, env=machine.environment, check=True)
    assert machine.log.read_text().splitlines()[-1] == f"{seen} -m fedlab doctor"


def test_an_empty_folder_and_a_link_may_stand_in_the_environment_s_place(machine, tmp_path):
    link, folder = machine.repo / ".venv", tmp_path / "large disk"
    folder.mkdir()
    link.symlink_to(folder)
    for lock in ("numpy==1.26.4\n", "numpy==1.26.5\n"):
        (machine.repo / "requirements.lock").write_text(lock)
        assert machine.run("build")[0] == 0
        assert link.is_symlink()
        assert (folder / "built").exists()
    assert machine.num_builds() == 2


def test_two_at_once_build_once(machine):
    processes = [machine.start("build", UV_SLEEP="1") for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert machine.num_builds() == 1


def test_works_through_a_symlink_and_from_anywhere(machine, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(machine.repo / "lab")
    code, out, _ = machine.run("build", program=link)
    assert code == 0
    assert str(machine.repo / ".venv") in out


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
