"""Rounds on Ray that last, and a thread that kills in the middle of one."""

import threading
import time

import psutil
from helpers import processes, tiny

from fedlab.data.preprocessing import Cohort, Preprocessing


def slow_cohort(num_epochs=500):
    """Seconds of training."""
    return Cohort(tiny.DATA, tiny.DATA.client_ids, Preprocessing(2, num_epochs), round_num=1)


def ray_processes() -> list[psutil.Process]:
    """The descendants of this process but for TFF's worker, which another test may have started."""
    children = psutil.Process().children()
    # TFF's worker is run by its descriptor, so only its options tell it.
    tff = "--max_concurrent_computation_calls"
    ray = [child for child in children if (line := command_line(child)) and tff not in line]
    return [*ray, *(grandchild for child in ray for grandchild in child.children(recursive=True))]


def command_line(process: psutil.Process) -> str:
    """Its arguments; nothing for a process that has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # a zombie is one, too
        return ""


def cluster_workers(method: str = "") -> list[psutil.Process]:
    """Those that run a method (".run": in the middle of a round). Ray gives its processes such titles."""
    title = f"ray::ClusterWorker{method}"
    return [one for one in ray_processes() if title in command_line(one)]


def kill_in_the_middle(kill_fn, killed: list) -> threading.Thread:
    def wait_and_kill():
        if processes.wait_until(lambda: cluster_workers(".run"), 30):
            time.sleep(0.3)
            killed.append(kill_fn(cluster_workers(".run")[0].pid))

    thread = threading.Thread(target=wait_and_kill)
    thread.start()
    return thread
