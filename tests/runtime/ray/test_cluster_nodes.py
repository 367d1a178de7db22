"""Two machines of a Ray cluster, here both on this one."""

import json
import os
import subprocess

import psutil
import pytest
from helpers import processes, tiny

pytest.importorskip("ray", reason="Ray is an extra: '.[ray]'")

TWO_NODES = """
    import fedlab, json, sys
    from helpers import ray_rounds, tff_processes, tiny
    from fedlab import runtime
    from fedlab.runtime.ray import cluster  # before Ray
    from ray.cluster_utils import Cluster

    options = dict(
        node_ip_address="127.0.0.1", include_dashboard=False, dashboard_port=None, no_monitor=True,
        include_log_monitor=False, object_store_memory=100 * 2**20,
    )
    nodes = Cluster()
    nodes.add_node(num_cpus=0, **options)
    ends = [nodes.add_node(num_cpus=1, **options) for _ in range(2)]
    process, cohort, killed = tiny.build_process(), ray_rounds.slow_cohort(), []
    with runtime.compile(process, "ray", address=nodes.address, num_partitions=4) as runner:
        state = runner.initialize()
        expected = runner.next(state, cohort)
        num_workers = len(ray_rounds.cluster_workers())
        thread = ray_rounds.kill_in_the_middle(
            lambda pid: nodes.remove_node(ends[0], allow_graceful=False), killed
        )
        found = runner.next(state, cohort)
        num_killed = len(killed)
        thread.join()
        left = len(ray_rounds.cluster_workers())
        again = runner.next(state, tiny.COHORT_FN(2))
        local = runtime.compile(process).next(state, tiny.COHORT_FN(2))
        tff_processes.assert_close(again, local)
    nodes.shutdown()
    same = tiny.same_bits(found, expected)
    print(json.dumps([num_workers, num_killed, left, same]))
"""


def test_a_machine_that_dies_in_the_middle_of_a_round_changes_nothing(tmp_path, monkeypatch):
    # For Ray, 127.0.0.1 is a name of this machine's address on the network, unless it is told so.
    mark = {"FEDLAB_TEST": str(tmp_path), "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    fast = {"initial_delay_ms": 1000, "period_ms": 500, "timeout_ms": 2000, "failure_threshold": 3}
    for name, value in mark.items() | {(f"RAY_health_check_{k}", str(v)) for k, v in fast.items()}:
        monkeypatch.setenv(name, value)
    out, err = (tmp_path / name for name in ("out", "err"))
    with out.open("w") as stdout, err.open("w") as stderr:  # files: see benchmarks/round_time.py
        script = tiny.start(TWO_NODES, stdout=stdout, stderr=stderr)
        try:
            code = script.wait(tiny.TIMEOUT)
        except subprocess.TimeoutExpired:
            end_all(mark)
            raise
    assert code == 0, err.read_text()
    assert json.loads(out.read_text().splitlines()[-1]) == [2, 1, 1, True]
    assert processes.wait_until(lambda: not marked(mark), 20)


def marked(mark: dict[str, str]) -> list[psutil.Process]:
    """The processes that were started with something in their environment, whoever's they are now."""
    found = []
    for one in psutil.process_iter():
        try:
            if one.pid != os.getpid() and mark.items() <= one.environ().items():
                found.append(one)
        except psutil.Error:
            continue
    return found


def end_all(mark: dict[str, str]) -> None:
    for one in marked(mark):
        one.kill()
