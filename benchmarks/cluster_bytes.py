"""What crosses between the machines of a Ray cluster in a round: `python benchmarks/cluster_bytes.py`.

A head (the driver's, no worker) and two nodes, on this machine, by Ray's own test utility; one or two
workers a node. The article's CNN, SGD 0.02, batches of 20, one epoch; 20 and 200 of the writer digits'
clients where they are, else of the digits (100 in all).

How bytes are counted: by the kernel, for each TCP connection (`ss -tinp`: bytes_sent), before and after
a round. A connection counts if its two ends belong to processes of different nodes; so it is all that
crosses, control messages too, and nothing of other programs. What crosses while nothing runs, in as many
seconds, is subtracted. Medians of several rounds after the first, which also moves the clients' data.

Writes results/cluster_bytes.csv. About 5 minutes on 2 cores.
"""

import os
import re
import statistics
import subprocess
import time

# Before Ray is imported: the nodes' addresses stay on loopback, and nobody is told of the use.
os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}

import numpy as np
import pandas as pd
import psutil
import tensorflow as tf
from _common import ROOT, choose_path, create_parser, load
from ray.cluster_utils import Cluster

from fedlab import learning, models, runtime
from fedlab.data.preprocessing import Cohort, Preprocessing
from fedlab.experiments.results import write_results

NUM_NODES, WORKERS_PER_NODE = 2, (1, 2)
COHORT_SIZES = {20: 7, 200: 3}  # number of clients: number of rounds
IDLE_SECONDS = 5
SEED = 0
NODE_OPTIONS = {
    "node_ip_address": "127.0.0.1",
    "include_dashboard": False,
    "dashboard_port": None,
    "include_log_monitor": False,
    "no_monitor": True,
    "object_store_memory": 300 * 2**20,
}


def nodes_by_process() -> dict[int, int]:
    """Each process's node: the raylet that it comes from, or 0, the driver's side (and the head's)."""
    raylets = [one for one in psutil.Process().children() if one.name() == "raylet"]
    others = sorted(raylets, key=lambda one: (one.create_time(), one.pid))[1:]
    found = {one.pid: 0 for one in [psutil.Process(), *psutil.Process().children(recursive=True)]}
    for node in others:
        found |= {one.pid: node.pid for one in [node, *node.children(recursive=True)]}
    return found


def bytes_sent() -> dict[tuple[str, str], int]:
    """Bytes sent so far by each connection between two nodes."""
    command = ["ss", "-tinHOp", "state", "established"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    ends = {}
    for line in lines:
        pid, sent = re.search(r"pid=(\d+)", line), re.search(r"bytes_sent:(\d+)", line)
        local, peer = (end.replace("[::ffff:127.0.0.1]", "127.0.0.1") for end in line.split()[2:4])
        if pid:
            ends[local, peer] = int(pid[1]), int(sent[1]) if sent else 0
    nodes = nodes_by_process()
    found = {}
    for (local, peer), (pid, sent) in ends.items():
        other = ends.get((peer, local), (None, 0))[0]
        if pid in nodes and other in nodes and nodes[pid] != nodes[other]:
            found[local, peer] = sent
    return found


def worker_processes() -> list[psutil.Process]:
    every = psutil.Process().children(recursive=True)
    return [one for one in every if one.cmdline()[:1] and "ray::Cluster" in one.cmdline()[0]]


def memory_bytes(process: psutil.Process) -> int:
    """What only this process holds in memory."""
    return process.memory_full_info().uss


def measure(run) -> tuple[float, int]:
    """Returns the seconds that something takes, and the bytes that cross meanwhile."""
    before, start = bytes_sent(), time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    after = bytes_sent()
    return seconds, sum(sent - before.get(pair, 0) for pair, sent in after.items())


def measure_cohort(runner, cohort: Cohort, num_rounds: int, idle_rate: float) -> dict:
    state = runner.initialize()
    _, first_bytes = measure(lambda: runner.next(state, cohort))
    runs = [measure(lambda: runner.next(state, cohort)) for _ in range(num_rounds)]
    crossed = [found - idle_rate * seconds for seconds, found in runs]
    model_bytes = sum(np.asarray(one).nbytes for one in tf.nest.flatten(state.global_model_weights))
    examples = [cohort.client_data.examples(client_id) for client_id in cohort]
    return {
        "num_examples": sum(len(one.labels) for one in examples),
        "model_bytes": model_bytes,
        "bytes_per_round": round(statistics.median(crossed)),
        "bytes_in_models": round(statistics.median(crossed) / model_bytes, 2),
        "smallest": round(min(crossed)),
        "largest": round(max(crossed)),
        "first_round_bytes": first_bytes,
        "data_bytes": sum(one.pixels.nbytes + one.labels.nbytes for one in examples),
        "bytes_if_every_update_were_sent": len(cohort) * model_bytes,
        "seconds_per_round": round(statistics.median(seconds for seconds, _ in runs), 2),
        "worker_memory_bytes": max(map(memory_bytes, worker_processes())),
        "num_rounds": num_rounds,
    }


def measure_cluster(process, train, workers_per_node: int, check) -> list[dict]:
    nodes, rows = Cluster(), []
    nodes.add_node(num_cpus=0, **NODE_OPTIONS)
    for _ in range(NUM_NODES):
        nodes.add_node(num_cpus=workers_per_node, **NODE_OPTIONS)
    with runtime.compile(process, "ray", address=nodes.address) as runner:
        start = 0
        for num_clients, num_rounds in COHORT_SIZES.items():
            client_ids = train.client_ids[
                start : start + num_clients
            ]  # whose data is not there yet
            start += num_clients
            cohort = Cohort(train, client_ids, Preprocessing(), round_num=1)
            idle_rate = measure(lambda: time.sleep(IDLE_SECONDS))[1] / IDLE_SECONDS
            found = measure_cohort(runner, cohort, num_rounds, idle_rate)
            check(cohort, runner.next(runner.initialize(), cohort))
            rows.append(
                {
                    "num_nodes": NUM_NODES,
                    "num_workers": NUM_NODES * workers_per_node,
                    "num_clients": len(cohort),
                    **found,
                    "idle_bytes_per_second": round(idle_rate),
                }
            )
            print(pd.DataFrame(rows[-1:]).T.to_string(header=False), flush=True)
    nodes.shutdown()
    return rows


def build_check(process):
    """Bytes count only if the result is the local runtime's."""
    local, expected = runtime.compile(process), {}

    def check(cohort: Cohort, output) -> None:
        key = tuple(cohort)
        if key not in expected:
            expected[key] = local.next(local.initialize(), cohort)
        pairs = zip(*map(tf.nest.flatten, (output.state, expected[key].state)), strict=True)
        largest = max(np.abs(np.subtract(a, b)).max() for a, b in pairs)
        if largest > 1e-6:
            raise RuntimeError(f"The results differ from the local runtime's by {largest}.")

    return check


def main() -> None:
    args = create_parser(__doc__).parse_args()
    dataset = load()
    digests = {dataset.name: dataset.sha256}
    path = choose_path("cluster_bytes.csv", digests, args.to)
    process = learning.build_fed_avg(models.build_functional_model())
    check = build_check(process)
    rows = [
        row
        for per_node in WORKERS_PER_NODE
        for row in measure_cluster(process, dataset.train, per_node, check)
    ]
    table = pd.DataFrame(rows)
    table.insert(0, "dataset", dataset.name)
    table["method"] = "TCP bytes_sent between nodes (ss), less the idle traffic of as many seconds"
    write_results(path, table, seed=SEED, digests=digests)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
