"""What each part of the fast path is worth: `python benchmarks/accelerator.py`.

Rounds of the article's CNN, SGD 0.02, batches of 20, one epoch, on each data set that there is, with
fedlab's builder (an iterator loop) and with TFF's own builder and its default loop (a dataset reduce).
One part is left out at a time; the variants run in turn in one process, medians. A time counts only if
the weights are the same, bit for bit. In processes of their own, in turn: the first round, from
`compile` to its end, with what an earlier session left on disk and without; and a round with two
threads for each of TensorFlow's operations.

Writes results/accelerator.csv. About 15 minutes on 2 cores.
"""

import argparse
import contextlib
import functools
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from unittest import mock

import pandas as pd
import tensorflow as tf
import tensorflow_federated as tff
from _common import ROOT, WRITER_DIGITS, choose_path, create_parser

from fedlab import data, learning, models, runtime
from fedlab._tensorflow import THREADS_VARIABLE
from fedlab.data.preprocessing import Cohort, Preprocessing
from fedlab.experiments.results import write_results
from fedlab.experiments.timing import time_in_turn
from fedlab.runtime import graph_loading
from fedlab.runtime.graph_loading import disk_cache, reduce_loops, rewrites
from fedlab.runtime.local import graphs, local_runner

LEARNING_RATE, BATCH_SIZE, SEED = 0.02, 20, 0
NUM_RUNS = {5: 15, 20: 11, 100: 7}  # number of clients: number of rounds
NUM_PROCESSES = 5
NUM_FIRST_CLIENTS, NUM_THREADED_CLIENTS = 5, 100
ALL_PARTS, PLAIN = "accelerator on", "accelerator off"
BUILDERS = {"fedlab": "fedlab, iterator loop", "tff": "TFF, default loop"}


@contextlib.contextmanager
def without_accelerator() -> Iterator[None]:
    with mock.patch.dict(os.environ, {graph_loading.VARIABLE: "0"}):
        yield


@contextlib.contextmanager
def without_function_table() -> Iterator[None]:
    trace = graphs.Graph._trace

    def trace_accelerated(self, suffix, check_finite, *, accelerate):
        return trace(self, suffix, check_finite, accelerate=True)

    with without_accelerator(), mock.patch.object(graphs.Graph, "_trace", trace_accelerated):
        yield


def without_loops() -> contextlib.AbstractContextManager:
    return mock.patch.object(reduce_loops, "use_loops")


def without_pooling() -> contextlib.AbstractContextManager:
    return mock.patch.object(rewrites, "has_onednn_pooling", return_value=False)


def with_tuned_datasets() -> contextlib.AbstractContextManager:
    return mock.patch.object(graphs, "_read_as_it_is", lambda arg: arg)


def without_thread() -> contextlib.AbstractContextManager:
    never = threading.Event()
    return mock.patch.object(local_runner, "get_ready_in_thread", return_value=never)


LEFT_OUT = {
    ALL_PARTS: contextlib.nullcontext,
    "reductions as they are": without_loops,
    "standard max pooling": without_pooling,
    "no function table": without_function_table,
    PLAIN: without_accelerator,
    "datasets tuned by TensorFlow": with_tuned_datasets,
}
FIRST_ROUNDS = {
    ALL_PARTS: contextlib.nullcontext,
    "functions not made ready in a thread": without_thread,
    PLAIN: without_accelerator,
}


def load_datasets() -> list[data.FederatedDataset]:
    names = ["digits", *([str(WRITER_DIGITS)] if WRITER_DIGITS.exists() else [])]
    return [data.load(name) for name in names]


def build_process(builder: str) -> tff.learning.templates.LearningProcess:
    model = models.build_functional_model()
    if builder == "fedlab":
        return learning.build_fed_avg(model, client_learning_rate=LEARNING_RATE)
    return tff.learning.algorithms.build_weighted_fed_avg(
        model,
        client_optimizer_fn=tff.learning.optimizers.build_sgdm(LEARNING_RATE),
        server_optimizer_fn=tff.learning.optimizers.build_sgdm(1.0),
    )


def build_cohort(dataset: data.FederatedDataset, num_clients: int) -> Cohort:
    train = dataset.train
    return Cohort(train, train.client_ids[:num_clients], Preprocessing(BATCH_SIZE), round_num=1)


def compile_with(process, part: Callable, folder: str) -> Callable:
    """Returns a function from a cohort to a round's result.

    Args:
        process: What to compile.
        part: Makes the context in which graphs are loaded.
        folder: Where compiled functions are kept; one for each part, as they differ.
    """
    with mock.patch.dict(os.environ, {disk_cache.FOLDER_VARIABLE: folder}), part():
        runner = runtime.compile(process)
        state = runner.initialize()
        for function in runner._clients.functions:  # traced here, not where it is first called
            function.get_ready()
    return lambda cohort: runner.next(state, cohort)


def time_rounds(dataset: data.FederatedDataset, builder: str) -> list[dict]:
    process = build_process(builder)
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            name: compile_with(process, part, os.path.join(folder, str(number)))
            for number, (name, part) in enumerate(LEFT_OUT.items())
        }
        rows = []
        for num_clients, num_runs in NUM_RUNS.items():
            cohort = dict(build_cohort(dataset, num_clients))
            cases = {name: functools.partial(run, cohort) for name, run in runs.items()}
            check_same_bits([case().state.global_model_weights for case in cases.values()])
            shared = {"dataset": dataset.name, "builder": BUILDERS[builder], "measure": "round"}
            medians = time_in_turn(cases, num_runs)
            rows += to_rows(shared | {"num_clients": num_clients, "num_runs": num_runs}, medians)
    return rows


def check_same_bits(weights: list) -> None:
    first, *others = ([array.tobytes() for array in tf.nest.flatten(each)] for each in weights)
    if any(other != first for other in others):
        raise RuntimeError("The weights are not the same, bit for bit.")


def to_rows(shared: dict, medians: dict[str, float]) -> list[dict]:
    reference = next(iter(medians.values()))
    rows = [
        shared | {"variant": name, "seconds": seconds, "ratio": seconds / reference}
        for name, seconds in medians.items()
    ]
    print(pd.DataFrame(rows).round(3).to_string(index=False, header=False), flush=True)
    return rows


def measure_here(measure: str, variant: str, dataset_name: str) -> float:
    """Returns seconds, measured in this process, which measures nothing else."""
    dataset = data.load(dataset_name)
    if measure == "first round":
        cohort, process = build_cohort(dataset, NUM_FIRST_CLIENTS), build_process("fedlab")
        with FIRST_ROUNDS[variant]():
            start = time.perf_counter()
            runner = runtime.compile(process)
            runner.next(runner.initialize(), cohort)
            return time.perf_counter() - start
    cohort = dict(build_cohort(dataset, NUM_THREADED_CLIENTS))
    runner = runtime.compile(build_process("fedlab"))
    state = runner.initialize()
    runner.next(state, cohort)
    case = {variant: lambda: runner.next(state, cohort)}
    return time_in_turn(case, NUM_RUNS[NUM_THREADED_CLIENTS])[variant]


def measure_apart(measure: str, variant: str, dataset_name: str, **environment: str) -> float:
    """Returns seconds, measured in a process of its own."""
    command = [sys.executable, __file__, "--measure", measure, variant, dataset_name]
    done = subprocess.run(
        command, env=os.environ | environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return float(done.stdout.split()[-1])


def median_in_turn(cases: dict[str, Callable[[], float]]) -> dict[str, float]:
    turns = [{name: case() for name, case in cases.items()} for _ in range(NUM_PROCESSES)]
    return {name: statistics.median(turn[name] for turn in turns) for name in cases}


def time_first_rounds(dataset: data.FederatedDataset) -> list[dict]:
    rows = []
    shared = {"dataset": dataset.name, "builder": BUILDERS["fedlab"]}
    shared |= {"num_clients": NUM_FIRST_CLIENTS, "num_runs": NUM_PROCESSES}

    def measure(variant: str, folder: str | None) -> float:
        with tempfile.TemporaryDirectory() as new:
            environment = {disk_cache.FOLDER_VARIABLE: folder or new}
            return measure_apart("first round", variant, dataset.argument, **environment)

    with tempfile.TemporaryDirectory() as folder:
        for variant in FIRST_ROUNDS:  # leaves what the others find
            measure(variant, folder)
        for name, where in (("first round, nothing on disk", None), ("first round", folder)):
            cases = {
                variant: lambda variant=variant, where=where: measure(variant, where)
                for variant in FIRST_ROUNDS
            }
            rows += to_rows(shared | {"measure": name}, median_in_turn(cases))
    return rows


def time_threads(dataset: data.FederatedDataset) -> list[dict]:
    def measure(num_threads: int) -> float:
        environment = {THREADS_VARIABLE: str(num_threads)}
        return measure_apart("round", ALL_PARTS, dataset.argument, **environment)

    shared = {"dataset": dataset.name, "builder": BUILDERS["fedlab"]}
    shared |= {"measure": "round, processes of their own", "num_clients": NUM_THREADED_CLIENTS}
    cases = {ALL_PARTS: lambda: measure(1), "two threads for an operation": lambda: measure(2)}
    return to_rows(shared | {"num_runs": NUM_PROCESSES}, median_in_turn(cases))


def main() -> None:
    parser = create_parser(__doc__)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(measure_here(*args.measure))
        return
    datasets = load_datasets()
    digests = {dataset.name: dataset.sha256 for dataset in datasets}
    path = choose_path("accelerator.csv", digests, args.to)
    rows = []
    for dataset in datasets:
        for builder in BUILDERS:
            rows += time_rounds(dataset, builder)
        rows += time_first_rounds(dataset)
        rows += time_threads(dataset)
    columns = ["dataset", "builder", "measure", "num_clients", "variant", "seconds", "ratio"]
    table = pd.DataFrame(rows)[[*columns, "num_runs"]]
    write_results(path, table.round(4), seed=SEED, digests=digests)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
