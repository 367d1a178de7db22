"""Small result files, each with where its numbers came from."""

import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from fedlab.files import resolve_target, write_text

# How the first line ends of each file with `provenance`.
FIRST_LINE = ",versions,machine,command$"
_REMEDY = "It was left as it is: choose another folder, or move the file away."
_PACKAGES = ("tensorflow", "tensorflow-federated", "numpy")


def write_results(
    path: str | os.PathLike[str],
    rows: pd.DataFrame,
    *,
    seed: int | pd.Series,
    digests: Mapping[str, str],
    key: Sequence[str] = (),
) -> None:
    """Writes rows to a CSV file, with data, seed, versions, machine and command beside each.

    Args:
        path: The file, such as `results/baseline.csv`; its folder is made if it is not there.
        rows: What was measured; the column `dataset` names the data set of each row.
        seed: The seed that it was measured with, or that of each row.
        digests: The digest (`FederatedDataset.sha256`) of each data set that the rows name.
        key: Columns that name a case. With them the stored rows of other cases stay, each with the
            seed, versions, machine and command that it was measured with. Without, none stays.

    Raises:
        ValueError: The file holds results of other data, or is no results file; it is left as it is.
        PermissionError: The file belongs to another user or is read-only.
    """
    check_replaces(path, digests)
    dataset_sha256 = rows["dataset"].map(dict(digests))
    table = rows.assign(dataset_sha256=dataset_sha256, seed=seed, **provenance())
    target = Path(path)
    if key and target.exists() and target.stat().st_size:
        stored = pd.read_csv(target, dtype=str)  # as it stands there, to the last digit
        cases = pd.MultiIndex.from_frame(table[list(key)].astype(str))
        is_other = ~pd.MultiIndex.from_frame(stored[list(key)]).isin(cases)
        table = pd.concat([stored[is_other], table])[list(table)]
    write_text(target, table.to_csv(index=False), first_line=FIRST_LINE)


def check_replaces(
    path: str | os.PathLike[str], digests: Mapping[str, str], *, keeps_other_data: bool = False
) -> None:
    """Checks that a results file may give way to results of some data sets.

    It may if all that it holds is of these data sets. Of results that were stored without a digest,
    the name decides.

    Args:
        path: A file that this program wrote, with a column `dataset`. It need not exist.
        digests: The digest of each data set that the new results are of, by its name.
        keeps_other_data: Whether the rows of other data sets are written again.

    Raises:
        ValueError: The file holds results of other data or does not say of which, or it is none that
            this program wrote.
        PermissionError: The file belongs to another user or is read-only.
    """
    target = resolve_target(Path(path), FIRST_LINE)
    if not target.exists() or not target.stat().st_size:
        return
    stored = pd.read_csv(target, dtype=str)  # a digest of digits alone is not a number
    if "dataset" not in stored:
        raise ValueError(f"{path} does not say which data its results are of. {_REMEDY}")
    if "dataset_sha256" not in stored:
        stored["dataset_sha256"] = None
    for name, digest in zip(stored.dataset, stored.dataset_sha256, strict=True):
        if name not in digests and keeps_other_data:
            continue
        if name not in digests:
            raise ValueError(
                f"{path} holds results of {name!r}, and these are of {', '.join(digests)}. "
                f"{_REMEDY}"
            )
        if pd.notna(digest) and digest != digests[name]:
            raise ValueError(f"{path} holds results of other data named {name!r}. {_REMEDY}")


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
    match = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    return match.group(1) if match else platform.machine()
