"""Models of people's own on the local runtime and on TFF's: `python benchmarks/own_models.py`.

Each process is made by TFF's own `build_weighted_fed_avg`, with its default loop (a dataset reduce) and
with an iterator loop, and runs on both runtimes: the same clients, batches of 20, SGD 0.02, random
examples. The runtimes run in turn in one process, medians. A time counts only if the weights agree. In
processes of their own: the first round, from `compile` to its end, with nothing on disk.

Writes results/own_models.csv, case by case: wall seconds, and CPU seconds of all processes. About 45
minutes on 2 cores; `--only REGEX` runs the cases whose "model, loop" it finds and keeps the others' rows.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import tensorflow as tf
import tensorflow_federated as tff
from _common import ROOT, choose_path, create_parser

from fedlab import models, runtime
from fedlab.experiments.results import write_results
from fedlab.runtime.graph_loading import disk_cache

LEARNING_RATE, BATCH_SIZE, SEED = 0.02, 20, 0
COHORTS = [(20, 1), (60, 1), (200, 1), (20, 5), (60, 5), (200, 5)]  # clients, batches of each
SECONDS_PER_CASE, MIN_RUNS, MAX_RUNS = 12, 3, 9
NUM_PROCESSES, FIRST_COHORT = 3, (20, 1)
RUNTIMES = ("local", "tff")
DATASET = "random numbers"
TOLERANCE = 1e-5
WORDS = [f"word{number}" for number in range(200)]
SEQUENCE_LENGTH, VOCABULARY_SIZE, NUM_CLASSES = 20, 1000, 10


def create_dense() -> tf.keras.Model:
    """300 numbers."""
    return tf.keras.Sequential([tf.keras.Input((29,)), dense(NUM_CLASSES)])


def create_cnn() -> tf.keras.Model:
    """The article's, 693,962 numbers."""
    return models.create_cnn()


def create_lstm() -> tf.keras.Model:
    """500,000 numbers."""
    return tf.keras.Sequential(
        [
            tf.keras.Input((SEQUENCE_LENGTH,), dtype=tf.int32),
            tf.keras.layers.Embedding(VOCABULARY_SIZE, 100, embeddings_initializer=initializer()),
            tf.keras.layers.LSTM(
                300, kernel_initializer=initializer(), recurrent_initializer=initializer()
            ),
            dense(NUM_CLASSES),
        ]
    )


def create_lookup() -> tf.keras.Model:
    """Words in, through a hash table; 3,386 numbers."""
    return tf.keras.Sequential(
        [
            tf.keras.Input((SEQUENCE_LENGTH,), dtype=tf.string),
            tf.keras.layers.StringLookup(vocabulary=WORDS),
            tf.keras.layers.Embedding(len(WORDS) + 1, 16, embeddings_initializer=initializer()),
            tf.keras.layers.GlobalAveragePooling1D(),
            dense(NUM_CLASSES),
        ]
    )


def dense(num_units: int) -> tf.keras.layers.Layer:
    return tf.keras.layers.Dense(num_units, kernel_initializer=initializer())


def initializer() -> tf.keras.initializers.Initializer:
    return tf.keras.initializers.GlorotUniform(seed=SEED)


def draw_words(rng: np.random.Generator, num_examples: int) -> np.ndarray:
    return rng.choice(WORDS, (num_examples, SEQUENCE_LENGTH)).astype(object)


def draw_tokens(rng: np.random.Generator, num_examples: int) -> np.ndarray:
    return rng.integers(VOCABULARY_SIZE, size=(num_examples, SEQUENCE_LENGTH), dtype=np.int32)


def draw_numbers(rng: np.random.Generator, num_examples: int) -> np.ndarray:
    return rng.random((num_examples, 29), np.float32)


def draw_images(rng: np.random.Generator, num_examples: int) -> np.ndarray:
    return rng.random((num_examples, 28, 28, 1), np.float32)


MODELS: dict[str, tuple[Callable, Callable]] = {
    "dense": (create_dense, draw_numbers),
    "hash table": (create_lookup, draw_words),
    "CNN": (create_cnn, draw_images),
    "LSTM": (create_lstm, draw_tokens),
}
LOOPS = {
    "reduce (default)": tff.learning.LoopImplementation.DATASET_REDUCE,
    "iterator": tff.learning.LoopImplementation.DATASET_ITERATOR,
}


def create_cohort(model: str, num_clients: int, num_batches: int) -> list[tf.data.Dataset]:
    _, draw = MODELS[model]
    cohort = []
    for client in range(num_clients):
        rng, size = np.random.default_rng([SEED, client]), num_batches * BATCH_SIZE
        labels = rng.integers(NUM_CLASSES, size=size, dtype=np.int32)
        cohort.append(
            tf.data.Dataset.from_tensor_slices((draw(rng, size), labels)).batch(BATCH_SIZE)
        )
    return cohort


def build_process(model: str, loop: str) -> tff.learning.templates.LearningProcess:
    create_fn, _ = MODELS[model]
    input_spec = create_cohort(model, 1, 1)[0].element_spec

    def model_fn() -> tff.learning.models.VariableModel:
        return tff.learning.models.from_keras_model(
            create_fn(), tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True), input_spec
        )

    return tff.learning.algorithms.build_weighted_fed_avg(
        model_fn,
        client_optimizer_fn=tff.learning.optimizers.build_sgdm(LEARNING_RATE),
        server_optimizer_fn=tff.learning.optimizers.build_sgdm(1.0),
        loop_implementation=LOOPS[loop],
    )


def cpu_seconds() -> float:
    """Returns what this process and its children have used."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(times.user + times.system for times in (each.cpu_times() for each in processes))


def time_cohort(runs: dict[str, Callable[[], object]]) -> dict[str, tuple[float, float, int]]:
    """Returns the median wall and CPU seconds of each, in turn, and how often it ran."""
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    begun = time.perf_counter()
    for number in range(MAX_RUNS):
        for name, run in runs.items():
            wall, cpu = time.perf_counter(), cpu_seconds()
            run()
            measured[name].append((time.perf_counter() - wall, cpu_seconds() - cpu))
        if number + 1 >= MIN_RUNS and time.perf_counter() - begun > SECONDS_PER_CASE:
            break
    return {
        name: (*map(statistics.median, zip(*pairs, strict=True)), len(pairs))
        for name, pairs in measured.items()
    }


def check_agree(states: Sequence) -> None:
    first, second = (tf.nest.flatten(state.global_model_weights) for state in states)
    largest = max(np.abs(a - b).max() for a, b in zip(first, second, strict=True) if a.size)
    if largest > TOLERANCE:
        raise RuntimeError(f"The runtimes' weights differ by {largest}.")


def measure_rounds(model: str, loop: str) -> list[dict]:
    process, rows = build_process(model, loop), []
    runners = {name: runtime.compile(process, name) for name in RUNTIMES}
    state = runners["local"].initialize()
    for num_clients, num_batches in COHORTS:
        cohort = create_cohort(model, num_clients, num_batches)
        runs = {
            name: lambda runner=runner, cohort=cohort: runner.next(state, cohort)
            for name, runner in runners.items()
        }
        check_agree([run().state for run in runs.values()])
        measured = time_cohort(runs)
        row = {"model": model, "loop": loop, "measure": "round"}
        row |= {"num_clients": num_clients, "num_batches": num_batches}
        rows.append(row | to_columns(measured))
        print(pd.DataFrame(rows[-1:]).round(3).to_string(index=False, header=False), flush=True)
    return rows


def to_columns(measured: dict[str, tuple[float, float, int]]) -> dict[str, float]:
    columns = {}
    for position, kind in enumerate(("wall", "cpu")):
        local, stock = (measured[name][position] for name in RUNTIMES)
        columns |= {
            f"local_{kind}_seconds": local,
            f"stock_{kind}_seconds": stock,
            f"{kind}_ratio": local / stock,
        }
    return columns | {"num_runs": measured["local"][2]}


def measure_first_rounds(model: str, loop: str) -> dict:
    turns = [
        {name: measure_apart(model, loop, name) for name in RUNTIMES} for _ in range(NUM_PROCESSES)
    ]
    measured = {
        name: (*np.median([turn[name] for turn in turns], axis=0), NUM_PROCESSES)
        for name in RUNTIMES
    }
    row = {"model": model, "loop": loop, "measure": "first round"}
    row |= {"num_clients": FIRST_COHORT[0], "num_batches": FIRST_COHORT[1]} | to_columns(measured)
    print(pd.DataFrame([row]).round(3).to_string(index=False, header=False), flush=True)
    return row


def measure_apart(model: str, loop: str, name: str) -> tuple[float, float]:
    """Returns wall and CPU seconds of a first round in a process of its own, nothing on disk."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "measured"
        subprocess.run(
            [sys.executable, __file__, "--measure", model, loop, name, str(path)],
            env=os.environ | {disk_cache.FOLDER_VARIABLE: folder},
            check=True,
        )
        wall, cpu = map(float, path.read_text().split())
    return wall, cpu


def measure_here(model: str, loop: str, name: str) -> tuple[float, float]:
    process, cohort = build_process(model, loop), create_cohort(model, *FIRST_COHORT)
    wall, cpu = time.perf_counter(), cpu_seconds()
    runner = runtime.compile(process, name)
    runner.next(runner.initialize(), cohort)
    return time.perf_counter() - wall, cpu_seconds() - cpu


def main() -> None:
    parser = create_parser(__doc__)
    parser.add_argument("--only", metavar="REGEX", default="", help="run these, keep the others")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        *case, path = args.measure
        Path(path).write_text(" ".join(map(str, measure_here(*case))))
        return
    digests = {DATASET: ""}  # made here from the seed
    target = choose_path("own_models.csv", digests, args.to)
    for model in MODELS:
        for loop in LOOPS:
            if re.search(args.only, f"{model}, {loop}"):
                rows = [*measure_rounds(model, loop), measure_first_rounds(model, loop)]
                table = pd.DataFrame(rows).round(4).assign(dataset=DATASET)
                write_results(target, table, seed=SEED, digests=digests, key=("model", "loop"))


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
