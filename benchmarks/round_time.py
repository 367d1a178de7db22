"""How long a round takes, and what it holds in memory: `python benchmarks/round_time.py`.

The article's CNN, SGD 0.02, batches of 20, one epoch, the first K clients of the writer digits where
they are, else of the digits. Interleaved in one process, medians: the floor (one bare `tf.function`
loop over the same batches), the local runtime, stock TFF as its tutorials use it (with TFF's own
loader, where the data has a file), and stock TFF tuned
(functional model, iterator loop, batches without functions in them, a limit on calls at a time). In
processes of their own: the time to the first round (local: where the same process was compiled in an
earlier session, and where it was not), and the peak memory of a round.

Writes results/round_time.csv and results/round_time.png. About 10 minutes on 2 cores.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import tensorflow as tf
import tensorflow_federated as tff
from _common import ROOT, WRITER_DIGITS, choose_path, create_parser, load
from _round_time_plot import plot_round_time

from fedlab import files, learning, models, runtime
from fedlab._tensorflow import THREADS_VARIABLE
from fedlab.data import download, emnist
from fedlab.data.elements import image_element_spec, to_batch
from fedlab.data.preprocessing import Cohort, Preprocessing
from fedlab.experiments.results import write_results
from fedlab.experiments.timing import time_in_turn
from fedlab.runtime.graph_loading import disk_cache

LEARNING_RATE, BATCH_SIZE = 0.02, 20
COHORT_SIZES = {5: 15, 20: 11, 100: 7, 300: 3}  # number of clients: number of runs
STOCK_WORKER = "worker_binary"
SEED = 0
TUTORIAL, TUNED, LOCAL, FLOOR = (
    "stock TFF, as in its tutorials",
    "stock TFF, tuned",
    "local",
    "floor",
)
LAZY = "local, batches made in the round"


def load_by_tff(train) -> tff.simulation.datasets.ClientData:
    """Returns the training data by TFF's own loader, which reads the file each time."""
    if not WRITER_DIGITS.exists():
        return train
    path = download.unpack_to_cache(WRITER_DIGITS, files.cache_dir(), check_fn=emnist.check_sqlite)
    return tff.simulation.datasets.load_and_parse_sql_client_data(
        str(path), image_element_spec(), "digits_only_train"
    )


def tutorial_batches(train, client_ids) -> list[tf.data.Dataset]:
    """As TFF's tutorials make them from TFF's own data, without the shuffling."""
    return [
        train.create_tf_dataset_for_client(client_id).batch(BATCH_SIZE).map(to_batch).prefetch(10)
        for client_id in client_ids
    ]


def build_tutorial_process() -> tff.learning.templates.LearningProcess:
    return tff.learning.algorithms.build_weighted_fed_avg(
        models.build_model_fn(),
        client_optimizer_fn=tff.learning.optimizers.build_sgdm(LEARNING_RATE),
        server_optimizer_fn=tff.learning.optimizers.build_sgdm(1.0),
    )


def build_process() -> tff.learning.templates.LearningProcess:
    model = models.build_functional_model()
    return learning.build_fed_avg(model, client_learning_rate=LEARNING_RATE)


def concatenate(parts: list[tf.data.Dataset]) -> tf.data.Dataset:
    """One dataset, as a tree: in a chain, every batch would pass through all its links."""
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    return concatenate(parts[:half]).concatenate(concatenate(parts[half:]))


def build_floor():
    """The same batches, one after the other, by one model in one graph call."""
    model, loss_fn = models.create_cnn(), models.create_loss()
    variables = model.trainable_variables

    @tf.function
    def train(dataset):
        total = 0.0
        for images, labels in iter(dataset):  # without iter() it becomes a scan
            with tf.GradientTape() as tape:
                loss = loss_fn(labels, model(images, training=True))
            gradients = tape.gradient(loss, variables)
            for variable, gradient in zip(variables, gradients, strict=True):
                variable.assign_sub(LEARNING_RATE * gradient)
            total += loss
        return total

    return train


def build_cases(train, by_tff) -> Callable[[int], dict[str, Callable]]:
    """Returns a function from a cohort's size to what is timed."""
    floor = build_floor()
    tutorial, process = build_tutorial_process(), build_process()
    local, tuned = runtime.compile(process), runtime.compile(process, "tff")
    state = local.initialize()
    os.environ[THREADS_VARIABLE] = "0"  # TFF's servers have the threads that TensorFlow chooses
    tutorial_state = tutorial.initialize()

    def create(num_clients: int) -> dict[str, Callable]:
        client_ids = train.client_ids[:num_clients]
        cohort = Cohort(train, client_ids, Preprocessing(BATCH_SIZE), round_num=1)
        batches = dict(cohort)
        as_in_tutorials = tutorial_batches(by_tff, client_ids)
        every = concatenate(list(batches.values()))
        return {
            FLOOR: lambda: floor(every).numpy(),
            LOCAL: lambda: local.next(state, batches),
            LAZY: lambda: local.next(state, cohort),
            TUNED: lambda: tuned.next(state, batches),
            TUTORIAL: lambda: tutorial.next(tutorial_state, as_in_tutorials),
        }

    return create


def measure_rounds(train, by_tff) -> list[dict]:
    """Times all variants in turn, after one round of each whose results must agree."""
    create_cases, rows = build_cases(train, by_tff), []
    for num_clients, num_runs in COHORT_SIZES.items():
        if num_clients > len(train.client_ids):
            break
        cases = create_cases(num_clients)
        check_equal(*(cases[name]().state for name in (LOCAL, TUNED, TUTORIAL)))
        medians = time_in_turn(cases, num_runs)
        rows += [
            {
                "measure": "round",
                "variant": name,
                "num_clients": num_clients,
                "seconds": median,
                "ratio_to_floor": median / medians[FLOOR],
                "ratio_to_local": median / medians[LOCAL],
                "num_runs": num_runs,
            }
            for name, median in medians.items()
        ]
        print(pd.DataFrame(rows[-len(cases) :]).round(3).to_string(index=False), flush=True)
    return rows


def check_equal(*states) -> None:
    """A time counts only if the results agree."""
    first, *others = [tf.nest.flatten(state.global_model_weights) for state in states]
    for other in others:
        largest = max(np.abs(a - b).max() for a, b in zip(first, other, strict=True))
        if largest > 1e-6:
            raise RuntimeError(f"The runtimes' weights differ by {largest}.")


def measure_apart(measure: str, variant: str, num_clients: int) -> dict:
    """Runs this script for one measurement in a process of its own."""
    # A file, not a pipe: stock TFF's worker may outlive the process and keep a pipe open.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "measured.json"
        options = ["--measure", measure, variant, str(num_clients), str(path)]
        subprocess.run([sys.executable, __file__, *options], check=True)
        found = json.loads(path.read_text())
    return {"measure": measure, "variant": variant, "num_clients": num_clients} | found


def time_first_round(variant: str, num_clients: int) -> dict:
    """Seconds from Python's start, imports included, and from the built process, to a round's end."""
    cohort = load_cohort(num_clients)
    by_tff = load_by_tff(cohort.client_data)
    process = build_tutorial_process() if variant == TUTORIAL else build_process()
    built = time.perf_counter()
    if variant == TUTORIAL:
        os.environ[THREADS_VARIABLE] = "0"
        process.next(process.initialize(), tutorial_batches(by_tff, list(cohort)))
    else:
        runner = runtime.compile(process)
        runner.next(runner.initialize(), cohort)
    after_build = time.perf_counter() - built
    since_start = time.time() - psutil.Process().create_time()
    end_children()
    return {"seconds": since_start, "seconds_after_build": after_build}


def time_first_round_anew(variant: str, num_clients: int) -> dict:
    """The same, without what earlier sessions left on disk."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ[disk_cache.FOLDER_VARIABLE] = folder
        return time_first_round(variant, num_clients)


def load_cohort(num_clients: int) -> Cohort:
    train = load().train
    return Cohort(train, train.client_ids[:num_clients], Preprocessing(BATCH_SIZE), round_num=1)


def measure_memory(variant: str, num_clients: int) -> dict:
    """What rounds add, at their peak, to a process that holds the data: resident bytes."""
    cohort = load_cohort(num_clients)
    for client_id in cohort.client_data.client_ids:
        cohort.client_data.examples(client_id)
    runner = runtime.compile(build_process(), variant)
    state = runner.initialize()
    runner.next(state, {client_id: cohort[client_id] for client_id in list(cohort)[:2]})
    before = psutil.Process().memory_info().rss
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    for _ in range(2):
        runner.next(state, cohort)
    return {"peak_bytes": peak_bytes() - before}


def peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def end_children() -> None:
    """Ends the worker that stock TFF leaves behind. Ours ends by itself, and clears its folder away."""
    for child in psutil.Process().children(recursive=True):
        if child.name() == STOCK_WORKER:
            child.kill()


MEASURES = {
    "first round": time_first_round,
    "first round, nothing on disk": time_first_round_anew,
    "memory": measure_memory,
}


def fit_line(table: pd.DataFrame) -> dict:
    """A straight line through the local runtime's times, and how much of their variance it leaves."""
    local = table[(table.measure == "round") & (table.variant == LOCAL)]
    slope, start = np.polyfit(local.num_clients, local.seconds, 1)
    left = local.seconds - (start + slope * local.num_clients)
    r_squared = 1 - left.var() / local.seconds.var()
    return {
        "measure": "line",
        "variant": LOCAL,
        "seconds": start,
        "seconds_per_client": slope,
        "r_squared": r_squared,
    }


def main() -> None:
    parser = create_parser(__doc__)
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure, variant, num_clients, path = args.measure
        Path(path).write_text(json.dumps(MEASURES[measure](variant, int(num_clients))))
        return
    dataset = load()
    digests = {dataset.name: dataset.sha256}
    target = choose_path("round_time.csv", digests, args.to)
    rows = measure_rounds(dataset.train, load_by_tff(dataset.train))
    end_children()
    measure_apart("first round", LOCAL, 5)  # what it leaves on disk, the others find
    firsts = [
        ("first round", LOCAL),
        ("first round, nothing on disk", LOCAL),
        ("first round", TUTORIAL),
    ]
    apart = [(*first, 5) for _ in range(5) for first in firsts]
    apart += [("memory", LOCAL, size) for size in sorted({row["num_clients"] for row in rows})]
    rows += [measure_apart(*one) for one in apart]
    table = pd.DataFrame(rows)
    medians = table.groupby(["measure", "variant", "num_clients"], sort=False, as_index=False)
    table = medians.median(numeric_only=True)
    table = pd.concat([table, pd.DataFrame([fit_line(table)])], ignore_index=True)
    table.insert(0, "dataset", dataset.name)
    write_results(target, table.round(4), seed=SEED, digests=digests)
    plot_round_time(table, dataset.name, target.with_suffix(".png"), LOCAL)
    print(table.round(3).to_string(index=False))


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
