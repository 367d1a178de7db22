"""Small result files, each with where its numbers came from."""

import importlib.metadata
import os
import platform
import re
import sys
from pathlib import Path

import pandas as pd

from fedlab.files import write_text

# How the first line ends of each file with `provenance`.
FIRST_LINE = ",versions,machine,command$"
_PACKAGES = ("tensorflow", "tensorflow-federated", "numpy")


def write_results(path: str | os.PathLike[str], rows: pd.DataFrame, *, seed: int) -> None:
    """Writes rows to a CSV file, with seed, versions, machine and command beside each.

    Args:
        path: The file, such as `results/baseline.csv`; its folder is made if it is not there.
        rows: What was measured.
        seed: The seed that it was measured with.

    Raises:
        ValueError: The path is not a regular file, or holds a file that is no result.
        PermissionError: The file belongs to another user or is read-only.
    """
    table = rows.assign(seed=seed, **provenance())
    write_text(Path(path), table.to_csv(index=False), first_line=FIRST_LINE)


def provenance() -> dict[str, str]:
    """Returns versions, machine and command, as text."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES]
    return {
        "versions": ", ".join([f"Python {platform.python_version()}", *versions]),
        "machine": f"{len(os.sched_getaffinity(0))} cores, {_cpu_model()}",
        "command": " ".join(["python", *sys.argv]),
    }


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    found = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    return found.group(1) if found else platform.machine()
