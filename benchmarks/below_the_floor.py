"""What each trick of the local runtime is worth: `python benchmarks/below_the_floor.py`.

A round of the article's CNN as in `round_time.py`, with one trick left out at a time, interleaved in
one process, medians. The number of threads is TensorFlow's for a whole process: it is measured in
processes of their own, in turn. A time counts only if the weights are the same, bit for bit.

Writes results/below_the_floor.csv. About 3 minutes on 2 cores.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from unittest import mock

import pandas as pd
import tensorflow as tf
from _common import ROOT, choose_path, create_parser, load
from round_time import BATCH_SIZE, SEED, build_process, tutorial_batches

from fedlab import runtime
from fedlab.data.preprocessing import Cohort, Preprocessing
from fedlab.experiments.results import write_results
from fedlab.experiments.timing import time_in_turn
from fedlab.runtime.graph_loading import graphs

AS_IT_IS = "local"
IN_THE_ROUND = "batches made in the round"
THREADS = "two threads for an operation"
NUM_PROCESSES = 3  # of each number of threads


@contextlib.contextmanager
def without_onednn_pooling() -> Iterator[None]:
    with mock.patch.object(graphs.rewrites, "has_onednn_pooling", return_value=False):
        yield


@contextlib.contextmanager
def with_tuned_datasets() -> Iterator[None]:
    with (
        mock.patch.object(graphs, "_read_as_it_is", lambda arg: arg),
        mock.patch.object(graphs.disk_cache, "remember", lambda create, *key: create()),
    ):
        yield


def compile_with(context) -> Callable:
    """Returns a function from a cohort to a round's result."""
    with context:  # the graphs are loaded, and so rewritten, here
        runner = runtime.compile(build_process())
    state = runner.initialize()
    return lambda cohort: runner.next(state, cohort)


def build_op_by_op(cohort: Cohort) -> dict[str, tf.data.Dataset]:
    """As TensorFlow's users write it: each of a dataset's operations is called from Python."""
    made = {}
    for client_id in cohort:
        pixels, labels = cohort.client_data.examples(client_id)
        slices = tf.data.Dataset.from_tensor_slices((pixels[..., None], labels))
        made[client_id] = slices.batch(BATCH_SIZE)
    return made


def build_cases(train, num_clients: int) -> dict[str, Callable]:
    """Returns what is timed: functions that run one round."""
    client_ids = train.client_ids[:num_clients]
    cohort = Cohort(train, client_ids, Preprocessing(BATCH_SIZE), round_num=1)
    batches = dict(cohort)
    mapped = dict(zip(client_ids, tutorial_batches(train, client_ids), strict=True))
    run = compile_with(contextlib.nullcontext())
    run_standard_pooling = compile_with(without_onednn_pooling())
    run_tuned = compile_with(with_tuned_datasets())
    return {
        AS_IT_IS: lambda: run(batches),
        "TensorFlow's own gradient of max pooling": lambda: run_standard_pooling(batches),
        "datasets rewritten and tuned by TensorFlow": lambda: run_tuned(batches),
        "datasets with map and prefetch": lambda: run(mapped),
        "datasets with map and prefetch, rewritten and tuned": lambda: run_tuned(mapped),
        IN_THE_ROUND: lambda: run(cohort),
        f"{IN_THE_ROUND}, one operation at a time": lambda: run(build_op_by_op(cohort)),
    }


def time_if_equal(cases: dict[str, Callable], num_runs: int) -> dict[str, float]:
    """Returns the median seconds of each, after one round whose weights must agree."""
    check_same_bits([run().state.global_model_weights for run in cases.values()])
    return time_in_turn(cases, num_runs)


def check_same_bits(weights: list) -> None:
    first, *others = ([one.tobytes() for one in tf.nest.flatten(each)] for each in weights)
    if any(other != first for other in others):
        raise RuntimeError("The weights are not the same, bit for bit.")


def time_with_threads(num_threads: int, num_clients: int, num_runs: int) -> float:
    """Returns the median seconds of a round in a process of its own."""
    options = ["--num-clients", str(num_clients), "--num-runs", str(num_runs), "--only-local"]
    env = os.environ | {"TF_NUM_INTRAOP_THREADS": str(num_threads)}
    found = subprocess.run(
        [sys.executable, __file__, *options], env=env, check=True, stdout=subprocess.PIPE, text=True
    )
    return float(found.stdout.split()[-1])


def time_threads(num_clients: int, num_runs: int) -> float:
    """Returns how many times as long a round takes with two threads for an operation as with one."""
    turns = [
        [time_with_threads(num_threads, num_clients, num_runs) for num_threads in (1, 2)]
        for _ in range(NUM_PROCESSES)
    ]
    one, two = map(statistics.median, zip(*turns, strict=True))
    return two / one


def main() -> None:
    parser = create_parser(__doc__)
    parser.add_argument("--num-clients", type=int, default=100)
    parser.add_argument("--num-runs", type=int, default=9)
    parser.add_argument("--only-local", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    dataset = load()
    cases = build_cases(dataset.train, args.num_clients)
    if args.only_local:
        print(*time_if_equal({AS_IT_IS: cases[AS_IT_IS]}, args.num_runs).values())
        return
    digests = {dataset.name: dataset.sha256}
    path = choose_path("below_the_floor.csv", digests, args.to)
    seconds = time_if_equal(cases, args.num_runs)
    seconds[THREADS] = seconds[AS_IT_IS] * time_threads(args.num_clients, args.num_runs)
    rows = pd.DataFrame({"variant": seconds.keys(), "seconds": seconds.values()})
    rows["ratio_to_local"] = rows.seconds / seconds[AS_IT_IS]
    rows = rows.assign(num_clients=args.num_clients, num_runs=args.num_runs)
    rows.insert(0, "dataset", dataset.name)
    write_results(path, rows.round(4), seed=SEED, digests=digests)
    print(rows.round(3).to_string(index=False))


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
