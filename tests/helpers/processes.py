"""What runs beside a test. Imports no TensorFlow: some of what is looked at must not either."""

import os
import time
from pathlib import Path

import psutil


def find_worker(pid: int) -> psutil.Process:
    """The worker that belongs to a process."""
    children = psutil.Process(pid).children(recursive=True)
    (worker,) = [child for child in children if "tff-worker" in child.exe()]
    return worker


def socket_folder(worker: psutil.Process) -> Path:
    return Path(worker.cwd())


def look(temporary: str | Path) -> dict:
    """What this process holds now, with its children and what lies in a folder and in shared memory."""
    here = psutil.Process()
    return {
        "memory": here.memory_info().rss,
        "descriptors": here.num_fds(),
        "threads": here.num_threads(),
        "children": len(here.children(recursive=True)),
        "temporary": sorted(os.listdir(temporary)),
        "shared": sorted(os.listdir("/dev/shm")),
    }


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until(condition, seconds=10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()
