"""The doctor: nothing wrong here, and what it says where something is."""

import importlib.metadata
import importlib.util
import platform
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from fedlab import doctor
from fedlab.__main__ import main

USED = " <- used"


@pytest.fixture(autouse=True)
def no_dataset_chosen(monkeypatch, tmp_path):
    """The caller's own data sets are not looked at."""
    monkeypatch.delenv("FEDLAB_DATASET", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def problems(checks):
    return [check for check in checks if not check.ok]


def test_nothing_is_wrong_here():
    done = subprocess.run(
        [sys.executable, "-m", "fedlab", "doctor"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    for name in ("tensorflow", "tensorflow-federated", "jupyterlab"):
        line = next(line for line in done.stdout.splitlines() if f" {name} " in line)
        assert line.split() == ["ok", name, importlib.metadata.version(name)]
    assert done.stdout.endswith("Nothing is wrong.\n")


def test_a_missing_package_has_a_remedy(monkeypatch, capsys):
    version = importlib.metadata.version

    def without_matplotlib(name):
        if name == "matplotlib":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_matplotlib)
    assert main(["doctor", "--quick"]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("- matplotlib: missing")
    assert "./lab build" in last


def test_a_version_that_is_not_the_locks_is_a_problem():
    check = doctor.check_package("numpy", "0.1")
    assert not check.ok
    assert "the lock has 0.1" in check.value


@pytest.mark.parametrize(
    "chosen, said",
    [
        ("/no/such.sqlite", "there is no file /no/such.sqlite"),
        ("digits.sqlite", "digits.sqlite is not a full path"),
        ("{tmp}/text.sqlite", "is no .sqlite"),
    ],
)
def test_a_wrong_data_set_has_a_remedy(monkeypatch, tmp_path, capsys, chosen, said):
    (tmp_path / "text.sqlite").write_text("not a data base")
    monkeypatch.setenv("FEDLAB_DATASET", chosen.format(tmp=tmp_path))
    assert main(["doctor", "--quick"]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert said in last
    assert "full path" in last


@pytest.mark.parametrize(
    "name, magic", [("a.sqlite", b"SQLite format 3\0"), ("a.sqlite.lzma", b"]\0\0")]
)
def test_a_file_is_used(monkeypatch, tmp_path, name, magic):
    path = tmp_path / name
    path.write_bytes(magic + bytes(100))
    monkeypatch.setenv("FEDLAB_DATASET", str(path))
    checks = doctor.check_datasets()
    assert not problems(checks)
    assert [check.value for check in checks if USED in check.value] == [f"{path}{USED}"]
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FEDLAB_DATASET", f"~/{name}")
    assert not problems(doctor.check_datasets())


def test_the_digits_are_used_unless_told_otherwise(monkeypatch):
    names = [check.name for check in doctor.check_datasets()]
    assert names == ["data: digits", "data: writer_digits", "data: emnist", "data: plays"]
    for chosen in ("digits", "writer_digits", "emnist"):
        if chosen != "digits":
            monkeypatch.setenv("FEDLAB_DATASET", chosen)
        used = [check.name for check in doctor.check_datasets() if USED in check.value]
        assert used == [f"data: {chosen}"]


def test_the_writer_digits_are_there_when_all_files_are(tmp_path):
    folder = tmp_path / "fedlab" / "writer_digits"
    folder.mkdir(parents=True)
    for name in (
        "mnist.npz",
        "qmnist-train-labels-idx2-int",  # unpacked
        "qmnist-test-labels-idx2-int.gz",
    ):
        _, check, *_ = doctor.check_datasets()
        assert check.ok and check.value == f"not downloaded yet, 12 MB, goes to {folder}"
        (folder / name).touch()
    _, check, *_ = doctor.check_datasets()
    assert check == doctor.Check("data: writer_digits", str(folder))


def test_a_registered_name_is_not_refused(monkeypatch):
    monkeypatch.setenv("FEDLAB_DATASET", "colours")
    *others, check = doctor.check_datasets()
    assert check == doctor.Check(
        "data: FEDLAB_DATASET", f"colours, where a program registers it: not checked{USED}"
    )
    assert not [other for other in others if USED in other.value]


@pytest.mark.parametrize("chosen", ["digits", "writer_digits", "emnist"])
def test_without_a_home_the_data_to_be_downloaded_have_no_place(monkeypatch, chosen):
    def find_nothing():
        raise FileNotFoundError("This user has no home folder.")

    monkeypatch.setattr(doctor.files, "cache_dir", find_nothing)
    monkeypatch.setenv("FEDLAB_DATASET", chosen)
    wrong = problems(doctor.check_datasets())
    assert [check.name for check in wrong] == [f"data: {chosen}"] * (chosen != "digits")
    assert all("no home folder" in check.value and check.remedy for check in wrong)


def test_a_broken_import_is_reported(monkeypatch, tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise ImportError('no AVX here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    check = doctor.check_import()
    assert not check.ok
    assert "no AVX here" in check.value


def test_a_machine_without_avx_or_memory(monkeypatch):
    files = {"/proc/cpuinfo": "flags\t: fpu sse2\n", "/proc/meminfo": "MemAvailable: 1048576 kB\n"}
    monkeypatch.setattr(doctor, "_read", lambda path: files.get(path, ""))
    assert {check.name for check in problems(doctor.check_machine())} == {"CPU", "memory"}


def memory_check():
    return next(check for check in doctor.check_machine() if check.name == "memory")


@pytest.mark.parametrize(
    "limit, said", [("max", "8.0 of 16.0 GB"), (str(3 << 30), "1.5 of 3.0 GB")]
)
def test_a_container_s_memory_is_what_counts(monkeypatch, limit, said):
    folder = "/sys/fs/cgroup"
    files = {
        "/proc/meminfo": "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n",
        f"{folder}/memory.max": f"{limit}\n",
        f"{folder}/memory.current": f"{2 << 30}\n",
        f"{folder}/memory.stat": f"anon 5\ninactive_file {1 << 29}\n",
    }
    monkeypatch.setattr(doctor, "_read", lambda path: files.get(path, ""))
    assert memory_check().value == f"{said} available"
    assert memory_check().ok == (limit == "max")


def test_the_real_emnist_needs_more_memory(monkeypatch):
    files = {"/proc/meminfo": f"MemTotal: 9 kB\nMemAvailable: {5 << 19} kB\n"}
    monkeypatch.setattr(doctor, "_read", lambda path: files.get(path, ""))
    assert memory_check().ok
    monkeypatch.setenv("FEDLAB_DATASET", "emnist")
    assert not memory_check().ok
    assert "3 GB" in memory_check().remedy


def test_on_a_machine_where_all_is_wrong_every_problem_has_a_remedy(monkeypatch, tmp_path):
    """Without files of the system, packages, or a data set: only the interpreter is right."""

    def raise_missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "_read", lambda path: "")
    monkeypatch.setattr(importlib.metadata, "version", raise_missing)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    monkeypatch.setenv("FEDLAB_DATASET", str(tmp_path / "missing.sqlite"))
    checks = [
        *doctor.check_machine(),
        *doctor.check_packages(),
        doctor.check_worker(),
        *doctor.check_datasets(),
    ]
    wrong = {check.name for check in problems(checks)}
    assert wrong == {
        "platform", "C library", "CPU", "memory", "disk",
        "fedlab-course", "TFF worker", "data: FEDLAB_DATASET",
    }  # fmt: skip
    assert all(check.remedy for check in problems(checks))


def test_the_doctor_reads_the_project_s_own_dependencies():
    names = {check.name for check in doctor.check_packages()}
    assert {"fedlab-course", "tensorflow", "tensorflow-federated", "pandas"} <= names


def test_the_doctor_runs_where_packages_are_missing():
    missing = ("lazy_loader", "pydantic", "numpy", "platformdirs")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({missing}));"
        "from fedlab.__main__ import main; sys.exit(main(['doctor', '--quick']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr
    assert "tensorflow-federated" in done.stdout
