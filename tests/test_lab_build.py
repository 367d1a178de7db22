"""How `lab` builds the environment, with stubs on PATH in place of the programs that it asks or starts."""

import os
import shutil
import subprocess

import pytest
from helpers.machines import STUBS, Machine
from helpers.mounts import within_mounts


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
