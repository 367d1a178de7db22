"""Which sockets a process has, and the environment of a test's own Python."""

import contextlib
import os
from pathlib import Path

from helpers import tiny

ENVIRONMENT = os.environ | {
    "PYTHONPATH": f"{tiny.TESTS.parent}:{tiny.TESTS}",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


def socket_inodes(pid: int) -> set[str]:
    links = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(path))
    return {link[8:-1] for link in links if link.startswith("socket:[")}


def rows(table: str) -> list[list[str]]:
    path = Path("/proc/net") / table
    return [line.split() for line in path.read_text().splitlines()[1:]] if path.exists() else []
