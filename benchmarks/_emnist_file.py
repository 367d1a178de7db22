"""A generated file with the size and the format of Federated EMNIST's digits.

The images are scikit-learn's digits, drawn again and again in simulated writers' styles. It shows what
data of this size cost, and nothing about accuracy.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from fedlab.data.digits import Style, render
from fedlab.random_streams import random_stream

# As TFF's documentation of `tff.simulation.datasets.emnist.load_data` gives them.
NUM_WRITERS = 3_383
NUM_DIGITS = {"digits_only_train": 341_873, "digits_only_test": 40_832}
NAME = "generated, Federated EMNIST's size"  # in results
NUM_STYLES = 16
_MAX_SHIFT = 2  # pixels up, down, left and right
_NUM_LEVELS = 255  # LEAF divides bytes by 255
_SCHEMA = (
    "CREATE TABLE examples (split_name TEXT NOT NULL, client_id TEXT NOT NULL, "
    "serialized_example_proto BLOB NOT NULL)",
    "CREATE TABLE client_metadata (client_id TEXT NOT NULL, split_name TEXT NOT NULL, "
    "num_examples INTEGER NOT NULL)",
)
_INDICES = (
    "CREATE INDEX idx_examples ON examples (split_name, client_id)",
    "CREATE INDEX idx_metadata ON client_metadata (split_name, client_id)",
)


def write_emnist_file(path: Path, *, seed: int) -> None:
    """Writes the file, of 1.6 GB.

    Args:
        path: The file, which must not exist.
        seed: Seed of sizes, styles and digits.
    """
    images, labels = _draw_images(seed), load_digits().target
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")  # the file is not kept
        for statement in _SCHEMA:
            connection.execute(statement)
        for split, num_digits in NUM_DIGITS.items():
            sizes = _draw_sizes(num_digits, random_stream("benchmark sizes", seed))
            for number, size in enumerate(sizes.tolist()):
                client_id = f"writer_{number:04d}"
                rng = random_stream("benchmark digits", seed, split, client_id)
                style, shift = _choose_style(number)
                rows = rng.integers(len(labels), size=size)
                drawn = np.roll(images[style, rows], shift, axis=(1, 2))
                connection.execute(
                    "INSERT INTO client_metadata VALUES (?, ?, ?)", (client_id, split, size)
                )
                connection.executemany(
                    "INSERT INTO examples VALUES (?, ?, ?)",
                    ((split, client_id, proto) for proto in _serialize(drawn, labels[rows])),
                )
        for statement in _INDICES:
            connection.execute(statement)


def _draw_images(seed: int) -> np.ndarray:
    """Returns each of scikit-learn's digits in each style: uint8 (styles, digits, 28, 28)."""
    rng, source = random_stream("benchmark styles", seed), load_digits().images / 16
    styles = [
        Style(rng.normal(0.1, 0.2), rng.uniform(0.8, 1.05), rng.uniform(0.8, 1.1), 0.4)
        for _ in range(NUM_STYLES)
    ]
    drawn = np.stack([render(source, style) for style in styles])
    return np.rint(drawn * _NUM_LEVELS).astype(np.uint8)


def _choose_style(number: int) -> tuple[int, tuple[int, int]]:
    """Returns a writer's style, and how far its digits are moved; 400 different ones in all."""
    position, style = divmod(number, NUM_STYLES)
    down, right = np.unravel_index(position % (2 * _MAX_SHIFT + 1) ** 2, (2 * _MAX_SHIFT + 1,) * 2)
    return style, (int(down) - _MAX_SHIFT, int(right) - _MAX_SHIFT)


def _draw_sizes(num_digits: int, rng: np.random.Generator) -> np.ndarray:
    """Returns unequal numbers of digits by writer (log-normal), at least one each."""
    spread = rng.lognormal(sigma=0.3, size=NUM_WRITERS)
    sizes = 1 + np.floor((num_digits - NUM_WRITERS) * spread / spread.sum()).astype(int)
    sizes[: num_digits - sizes.sum()] += 1  # the digits that the rounding left out
    return sizes


def _serialize(images: np.ndarray, labels: np.ndarray) -> Iterator[bytes]:
    """Yields the `tf.train.Example` of each digit, as bytes put into those of an example."""
    label_mark, pixels_mark = 7, np.full(images[0].size, 0.5, np.float32)
    features = {
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label_mark])),
        "pixels": tf.train.Feature(float_list=tf.train.FloatList(value=pixels_mark)),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    serialized = bytearray(example.SerializeToString(deterministic=True))
    label_at = serialized.index(b"label") + len(b"label") + 6
    pixels_at = serialized.index(pixels_mark.tobytes())
    if serialized[label_at] != label_mark:
        raise RuntimeError("The bytes of a tf.train.Example are not in the order that is expected.")
    pixels = images.astype(np.float32) / np.float32(_NUM_LEVELS)
    for image, label in zip(pixels, labels.tolist(), strict=True):
        serialized[label_at] = label
        serialized[pixels_at : pixels_at + image.nbytes] = image.tobytes()
        yield bytes(serialized)
