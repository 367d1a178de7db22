"""A model and data as small as they can be: for tests where the learning is not the point."""

import contextlib
import sqlite3

import numpy as np
import tensorflow as tf

from fedlab.datasets.client_data import Examples, MemoryClientData
from fedlab.models import IMAGE_SHAPE


def create_model() -> tf.keras.Sequential:
    """One dense layer: 7,850 parameters."""
    layers = tf.keras.layers
    initializer = tf.keras.initializers.GlorotUniform(seed=5)
    return tf.keras.Sequential(
        [
            layers.InputLayer(IMAGE_SHAPE),
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
