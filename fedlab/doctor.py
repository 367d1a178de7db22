"""Checks of the machine and the installation: `python -m fedlab doctor`.

This module does not import TensorFlow or another package that may be missing or broken, because it
must run on a machine where such an import fails.
"""

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from fedlab import dataset_names, files

_ROOT = Path(__file__).resolve().parent.parent
_REBUILD = "Remove the folder .venv, run ./lab build (conda: the commands in environment.yml)."
_LINUX = "Linux x86-64 is needed: WSL2 on Windows, else a container or Codespaces."
_GLIBC = "glibc 2.31 is needed: Debian 11, Ubuntu 20.04 or newer."
_AVX = "TensorFlow needs a CPU with AVX. In a virtual machine, pass the host's CPU through."
_MEMORY = "A notebook takes 1-2 GB (real EMNIST: 3 GB and more). Close programs, shut kernels down."
_DATASET = (
    f'Set it to "{dataset_names.DIGITS}", "{dataset_names.WRITER_DIGITS}", "{dataset_names.EMNIST}", '
    f'"{dataset_names.PLAYS}", a name that your program registers, or the full path '
    "of a .sqlite or .sqlite.lzma file."
)
_MAGIC = {".sqlite": b"SQLite format 3\0", ".lzma": b"]\0\0", ".xz": b"\xfd7zXZ\0"}


@dataclass(frozen=True)
class Check:
    """The result of one check, a line of the doctor's table.

    Attributes:
        name: Name of the checked thing.
        value: Its version, size or state.
        ok: Whether the course runs with it.
        remedy: What to do if it does not.
    """

    name: str
    value: str
    ok: bool = True
    remedy: str = ""


def check_machine() -> list[Check]:
    """Checks Python, platform, CPU, memory and disk against the needs of one notebook."""
    python, system = platform.python_version(), f"{platform.system()} {platform.machine()}"
    libc, libc_version = platform.libc_ver()
    is_new = libc == "glibc" and [int(n) for n in libc_version.split(".")] >= [2, 31]
    cpu = dict(re.findall(r"^(model name|flags)\s*: (.*)", _read("/proc/cpuinfo"), re.MULTILINE))
    has_avx = "avx" in cpu.get("flags", "").split()
    model = f"{cpu.get('model name', 'unknown model')}, {'with' if has_avx else 'without'} AVX"
    total, available = (size / 2**30 for size in _memory_bytes())
    needed = 3 if dataset_names.choose() == dataset_names.EMNIST else 2
    disk = shutil.disk_usage(_ROOT).free / 2**30
    return [
        Check("Python", python, python.startswith("3.11."), f"3.11 is needed. {_REBUILD}"),
        Check("platform", system, system == "Linux x86_64", _LINUX),
        Check("C library", f"{libc} {libc_version}", is_new, _GLIBC),
        Check("CPU", f"{len(os.sched_getaffinity(0))} cores, {model}", has_avx, _AVX),
        Check(
            "memory", f"{available:.1f} of {total:.1f} GB available", available >= needed, _MEMORY
        ),
        Check("disk", f"{disk:.0f} GB free", disk >= 1, "Free 1 GB, for data and checkpoints."),
    ]


def _memory_bytes() -> tuple[int, int]:
    """Returns the total and the available memory, of the container if it has a limit."""
    memory = dict(re.findall(r"(\w+): +(\d+) kB", _read("/proc/meminfo")))
    total, available = (1024 * int(memory.get(k, 0)) for k in ("MemTotal", "MemAvailable"))
    limit = _read("/sys/fs/cgroup/memory.max").strip()
    if not limit.isdigit():  # "max", or the file does not exist
        return total, available
    stat = dict(re.findall(r"^(\w+) (\d+)$", _read("/sys/fs/cgroup/memory.stat"), re.MULTILINE))
    used = int(_read("/sys/fs/cgroup/memory.current") or 0)
    free = int(limit) - used + int(stat.get("inactive_file", 0))  # file cache, freed on demand
    return min(total, int(limit)), min(available, free)


def check_packages() -> list[Check]:
    """Compares the versions of the direct dependencies with `requirements.lock`."""
    project = tomllib.loads(_read(_ROOT / "pyproject.toml") or "[project]")["project"]
    names = [re.split(r"[<>=~!\[; ]", line)[0] for line in project.get("dependencies", [])]
    locked = dict(
        re.findall(r"^([\w.-]+)==(\S+)", _read(_ROOT / "requirements.lock"), re.MULTILINE)
    )
    return [check_package(name, locked.get(name)) for name in ["fedlab-course", *names]]


def check_package(name: str, expected: str | None) -> Check:
    """Checks that a package is installed, in the expected version.

    Args:
        name: Name of the package.
        expected: The version in the lock. None: any version will do.
    """
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Check(name, f"missing in {sys.prefix}", False, _REBUILD)
    if expected in (None, version):
        return Check(name, version)
    return Check(name, f"{version} (the lock has {expected})", False, _REBUILD)


def check_worker() -> Check:
    """Checks the program that TFF's own runtime starts."""
    spec = importlib.util.find_spec("tensorflow_federated")
    path = Path(spec.origin if spec and spec.origin else "").parent / "data" / "worker_binary"
    is_executable = os.access(path, os.X_OK)
    value = "present, executable" if is_executable else f"{path} is missing or not executable"
    return Check("TFF worker", value, is_executable, _REBUILD)


def check_datasets() -> list[Check]:
    """Checks the data sets, and marks the one that the variable FEDLAB_DATASET chooses."""
    chosen = dataset_names.choose()
    digits = Check(f"data: {dataset_names.DIGITS}", "embedded")
    checks = {
        dataset_names.DIGITS: digits,
        dataset_names.WRITER_DIGITS: _check_writer_digits(),
        dataset_names.EMNIST: _check_emnist(),
        dataset_names.PLAYS: Check(
            f"data: {dataset_names.PLAYS}", "embedded, texts: for lessons 11 to 13"
        ),
    }
    if chosen not in checks:
        checks[chosen] = _check_other(chosen)
    checks[chosen] = replace(checks[chosen], value=f"{checks[chosen].value} <- used")
    return list(checks.values())


def _check_writer_digits() -> Check:
    path = _cached(dataset_names.WRITER_DIGITS, dataset_names.WRITER_DIGITS, "folder=")
    if isinstance(path, Check):
        return path
    is_there = all(
        (path / name).exists() or (path / name.removesuffix(".gz")).exists()
        for name in dataset_names.WRITER_DIGITS_FILES
    )
    value = str(path) if is_there else f"not downloaded yet, 12 MB, goes to {path}"
    return Check(f"data: {dataset_names.WRITER_DIGITS}", value)


def _cached(dataset: str, name: str, option: str) -> Path | Check:
    """Returns where a data set is kept, or without such a place the check that says so."""
    try:
        return files.cache_dir() / name
    except FileNotFoundError as error:
        is_needed = dataset_names.choose() == dataset
        remedy = f"Or load it with {option}."
        return Check(f"data: {dataset}", str(error).rstrip("."), not is_needed, remedy)


def _check_emnist() -> Check:
    name = f"data: {dataset_names.EMNIST}"
    path = _cached(dataset_names.EMNIST, dataset_names.EMNIST_FILE, "cache_dir=")
    if isinstance(path, Check):
        return path
    if not path.exists():
        return Check(name, f"not downloaded yet, needs 6 GB of disk, goes to {path}")
    fault = _file_fault(path)
    return Check(name, fault or str(path), not fault, f"Remove {path}.")


def _check_other(chosen: str) -> Check:
    name = f"data: {dataset_names.DATASET_VARIABLE}"
    if not dataset_names.is_path(chosen):  # the doctor does not run the program
        return Check(name, f"{chosen}, where a program registers it: not checked")
    fault = _file_fault(Path(chosen).expanduser())
    return Check(name, fault or chosen, not fault, _DATASET)


def _file_fault(path: Path) -> str:
    """Returns a fault of a data file's path or first bytes, or ""; loading checks the rest."""
    if not path.is_absolute():
        return f"{path} is not a full path"  # a notebook's folder is the working one
    if not path.is_file():
        return f"there is no file {path}"
    with path.open("rb") as file:
        is_known = file.read(16).startswith(_MAGIC.get(path.suffix, b"no such format"))
    return "" if is_known else f"{path} is no .sqlite, .lzma or .xz file"


def check_import() -> Check:
    """Imports TensorFlow and TFF in another process, because the import may crash."""
    start = time.monotonic()
    command = [sys.executable, "-c", "import tensorflow, tensorflow_federated"]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode == 0:
        return Check("import of TFF", f"works ({time.monotonic() - start:.0f} s)")
    last_line = process.stderr.strip().rpartition("\n")[2]
    reason = f"killed by signal {-process.returncode}" if process.returncode < 0 else last_line
    return Check("import of TFF", reason, False, _REBUILD)


def _read(path: str | Path) -> str:
    return Path(path).read_text(encoding="utf-8") if os.path.exists(path) else ""


def run(args: argparse.Namespace) -> int:
    """Prints the table, then each problem with its remedy.

    Args:
        args: The parsed arguments of the command.

    Returns:
        The exit status: 0, or 1 if there is a problem.
    """
    checks = [*check_machine(), *check_packages(), check_worker(), *check_datasets()]
    if not args.quick:
        checks.append(check_import())
    width = max(len(check.name) for check in checks)
    for check in checks:
        print(f"{'ok ' if check.ok else 'BAD'}  {check.name:<{width}}  {check.value}")
    problems = [check for check in checks if not check.ok]
    print(f"\nProblems: {len(problems)}" if problems else "\nNothing is wrong.")
    for check in problems:
        print(f"- {check.name}: {check.value}. {check.remedy}")
    return int(bool(problems))


def add_command(commands: argparse._SubParsersAction) -> None:
    """Adds `doctor` to the command line.

    Args:
        commands: The subcommands of the parser.
    """
    parser = commands.add_parser("doctor", help="what this machine has, and what is wrong with it")
    parser.add_argument("--quick", action="store_true", help="leave the import of TensorFlow out")
    parser.set_defaults(run=run)
