"""A model and data as small as they can be: for tests where the learning is not the point."""

import contextlib
import os
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlab import runtime
from fedlab.data import load_sqlite, sampling
from fedlab.data.client_data import Examples, MemoryClientData
from fedlab.data.preprocessing import Cohort, Preprocessing, build_cohort_fn
from fedlab.learning import build_fed_avg
from fedlab.models import INPUT_SHAPE, build_functional_model


def create_model() -> tf.keras.Sequential:
    """One dense layer: 7,850 parameters."""
    layers = tf.keras.layers
    initializer = tf.keras.initializers.GlorotUniform(seed=5)
    return tf.keras.Sequential(
        [
            layers.InputLayer(INPUT_SHAPE),
            layers.Flatten(),
            layers.Dense(10, kernel_initializer=initializer),
        ]
    )


def create_examples(num_examples: int, seed: int = 0) -> Examples:
    """Random greys; every image is another one."""
    rng = np.random.default_rng([seed, num_examples])
    pixels = rng.uniform(size=(num_examples, 28, 28)).astype(np.float32)
    return Examples(pixels, rng.integers(10, size=num_examples).astype(np.int32))


def create_data(*sizes: int) -> MemoryClientData:
    """Clients `c0`, `c1`, … with as many examples as asked for."""
    held = {f"c{k}": create_examples(size, seed=k) for k, size in enumerate(sizes)}
    return MemoryClientData(held, held.__getitem__)


def create_cohort(*sizes: int, round_num: int = 1, **options) -> dict[str, tf.data.Dataset]:
    """Batches of 5 of such clients (or of three), shuffled anew in every round."""
    data = create_data(*(sizes or (12, 4, 8)))
    preprocessing = Preprocessing(**{"batch_size": 5, "shuffle": True} | options)
    return dict(Cohort(data, data.client_ids, preprocessing, round_num))


def same_bits(first, second) -> bool:
    """Whether two structures hold the same arrays, bit for bit."""
    pairs = zip(tf.nest.flatten(first), tf.nest.flatten(second), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


def example_proto(pixels, label: int) -> bytes:
    """One example as TFF stores it."""
    features = {
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "pixels": tf.train.Feature(float_list=tf.train.FloatList(value=np.ravel(pixels))),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def write_sqlite(path, **splits: MemoryClientData) -> None:
    """Writes a file with the schema of the one that TFF downloads."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE examples (split_name TEXT NOT NULL, client_id TEXT NOT NULL, "
            "serialized_example_proto BLOB NOT NULL)"
        )
        connection.execute("CREATE INDEX by_client ON examples (split_name, client_id)")
        connection.execute(
            "CREATE TABLE client_metadata (client_id TEXT NOT NULL, split_name TEXT NOT NULL, "
            "num_examples INTEGER NOT NULL)"
        )
        for split, data in splits.items():
            for client_id in data.client_ids:
                pixels, labels = data.examples(client_id)
                connection.execute(
                    "INSERT INTO client_metadata VALUES (?, ?, ?)", (client_id, split, len(labels))
                )
                protos = map(example_proto, pixels, labels)
                connection.executemany(
                    "INSERT INTO examples VALUES (?, ?, ?)",
                    [(split, client_id, proto) for proto in protos],
                )


def all_arrays(data):
    """One client after the other: pixels and labels."""
    every = [data.examples(client_id) for client_id in data.client_ids]
    return np.concatenate([e.pixels for e in every]), np.concatenate([e.labels for e in every])


def same_data(first, second):
    return first.client_ids == second.client_ids and same_bits(
        all_arrays(first), all_arrays(second)
    )


# Federated EMNIST's file

TRAIN, TEST = create_data(3, 12, 7), create_data(1, 2, 4)
NAME = "emnist_all.sqlite"


def assert_holds(data, expected):
    assert data.client_ids == expected.client_ids
    for client_id in expected.client_ids:
        assert same_bits(data.examples(client_id), expected.examples(client_id))


def read_all(path, **options):
    for data in load_sqlite(path, **options):
        for client_id in data.client_ids:
            data.examples(client_id)


def leftovers(folder):
    return [path.name for path in folder.rglob("*") if path.name != NAME]


# Runs

TESTS = Path(__file__).parents[1]
TIMEOUT = 120
# How often runs are killed and raced. Before a release: 30.
NUM_REPEATS = int(os.environ.get("FEDLAB_TEST_REPEATS", "3"))
DATA = create_data(12, 4, 8, 5, 9, 10)
COHORT_FN = build_cohort_fn(
    DATA, sampling.uniform(DATA.client_ids, 3, seed=1), Preprocessing(batch_size=5, shuffle=True)
)
FIELDS = "round_num num_clients num_dropped num_examples loss accuracy seconds bytes_down bytes_up".split()
NUM_ROUNDS = 6


def build_process(**options):
    options = {"client_learning_rate": 0.1} | options
    return build_fed_avg(build_functional_model(create_model), **options)


def evaluate(round_num, weights):
    return {"eval_norm": np.linalg.norm(weights.trainable[0])}  # float32, as NumPy has it


def without_seconds(records):
    return [{name: value for name, value in r.items() if name != "seconds"} for r in records]


def assert_same_run(run, other):
    assert same_bits(run.weights, other.weights)
    assert same_bits(run.state, other.state)
    assert without_seconds(run.records) == without_seconds(other.records)


def start(code, *args, **options):
    """Runs a script in another Python."""
    environment = {name: value for name, value in os.environ.items() if name[:3] != "TF_"}
    environment["PYTHONPATH"] = f"{TESTS.parent}:{TESTS}"
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *args], env=environment, text=True, **options
    )


@tff.tensorflow.computation(tf.int32)
def increment(number):
    return number + 1


def call_worker():
    runtime.install("tff")
    return int(increment(1))
