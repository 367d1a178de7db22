"""A learner's own arrays: split by client, checked, and every mistake named."""

import time
from collections import Counter

import numpy as np
import pytest
from helpers import tiny

from fedlab import data
from fedlab.data import client_data
from fedlab.data.client_data import Examples, MemoryClientData
from fedlab.random_streams import random_stream

OWNERS = np.repeat(["ann", "bob", "eve"], [2, 10, 7])


def own_data(**changes):
    arguments = {**tiny.create_examples(19)._asdict(), "client_ids": OWNERS} | changes
    return data.from_arrays(**arguments)


@pytest.mark.parametrize("test_fraction", [0.01, 0.2, 0.5, 0.99])
def test_from_arrays_splits_every_client_s_examples(test_fraction):
    train, test = own_data(test_fraction=test_fraction)
    assert train.client_ids == test.client_ids == ["ann", "bob", "eve"]
    examples = tiny.create_examples(19)
    for client_id in train.client_ids:
        sides = [dataset.examples(client_id).pixels for dataset in (train, test)]
        assert min(len(side) for side in sides) >= 1
        found = Counter(pixels.tobytes() for pixels in np.concatenate(sides))
        mine = examples.pixels[client_id == OWNERS]
        assert found == Counter(pixels.tobytes() for pixels in mine)  # all, and none in both


def test_from_arrays_takes_the_fraction_and_keeps_image_and_label_together():
    train, test = own_data(test_fraction=0.3)
    assert len(test.examples("bob").labels) == 3
    label_of = {p.tobytes(): y for p, y in zip(*tiny.create_examples(19), strict=True)}
    for dataset in (train, test):
        for pixels, label in zip(*tiny.all_arrays(dataset), strict=True):
            assert label_of[pixels.tobytes()] == label


def test_from_arrays_is_a_function_of_the_seed():
    assert tiny.same_data(own_data(seed=1)[0], own_data(seed=1)[0])
    assert not tiny.same_data(own_data(seed=1)[0], own_data(seed=2)[0])


def test_from_arrays_keeps_each_client_s_order_where_clients_alternate():
    owners = np.tile(["eve", "ann", "bob"], 7)
    examples = tiny.create_examples(21)
    train, test = data.from_arrays(*examples, owners, test_fraction=0.3, seed=5)
    for client_id in ("ann", "bob", "eve"):
        rows = np.flatnonzero(owners == client_id)[
            random_stream("test examples", 5, client_id).permutation(7)
        ]
        for side, chosen in ((test, rows[:2]), (train, rows[2:])):
            expected = Examples(examples.pixels[chosen], examples.labels[chosen])
            assert tiny.same_bits(side.examples(client_id), expected)


def test_from_arrays_takes_time_in_proportion_to_the_clients():
    def seconds(num_clients):
        num_examples = 4 * num_clients
        pixels = np.broadcast_to(np.float32(1), (num_examples, 28, 28))
        names = np.char.zfill(np.arange(num_clients).astype(str), 400)  # slow to compare
        owners = names.repeat(4)
        start = time.process_time()
        data.from_arrays(pixels, np.zeros(num_examples, int), owners)
        return time.process_time() - start

    few, many = (min(seconds(size) for _ in range(2)) for size in (500, 4000))
    assert many < 3 * 8 * few  # eight times as many clients


def changed(name, index, value, dtype=None):
    array = np.array(tiny.create_examples(19)._asdict()[name], dtype)
    array[index] = value
    return {name: array}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"client_ids": np.repeat(["ann", "bob"], [18, 1])}, "'bob' has 1 example"),
        ({"client_ids": OWNERS[:-1]}, "Found 19, 19 and 18"),
        ({"labels": np.zeros(5, int)}, "Found 19, 5 and 19"),
        (changed("labels", 5, 10), "'bob': labels must lie between 0 and 9. Found 10"),
        (changed("labels", 18, -1), "'eve': labels .* Found -1"),
        (changed("labels", 0, 0, float), "labels must be an array of integers. Found .*float64"),
        ({"labels": np.eye(10, dtype=int)[np.zeros(19, int)]}, r"shape \(n,\). .*argmax"),
        ({"labels": np.zeros((19, 1), int)}, r"shape \(n,\). Found \(19, 1\); pass labels\[:, 0\]"),
        ({"client_ids": [*OWNERS[:-1], None]}, "client_ids must be text. Found None"),
        ({"client_ids": [*OWNERS[:-1], np.nan]}, "client_ids must be text. Found nan"),
        (changed("pixels", 5, np.nan), "'bob': pixels must be finite.* in image 3"),
        (changed("pixels", 12, np.inf), "'eve': pixels must be finite.* in image 0"),
        (changed("pixels", (0, 3, 3), 255), r"'ann': pixels must lie in \[0, 1\].* to 255"),
        (changed("pixels", (18, 0, 0), -0.5), "'eve': pixels .* Found -0.5 to"),
        ({"pixels": np.zeros((19, 784))}, r"\(n, height, width\) or .* Found \(19, 784\)"),
        ({"pixels": np.zeros((19, 0, 8))}, r"Found \(19, 0, 8\)"),
        ({"test_fraction": 0.0}, "test_fraction .* Found 0.0"),
        ({"test_fraction": 1.0}, "test_fraction .* Found 1.0"),
        ({"num_classes": 5}, "between 0 and 4. Found"),
        ({"pixels": np.zeros((0, 28, 28)), "labels": [], "client_ids": []}, "at least one client"),
    ],
)
def test_from_arrays_names_the_client_and_the_value(changes, message):
    with pytest.raises((ValueError, TypeError), match=message):
        own_data(**changes)


def test_black_paper_is_named():
    pixels = np.zeros((19, 28, 28))
    with pytest.warns(UserWarning, match="pixels.*black.*1 - pixels"):
        own_data(pixels=pixels)


def test_bytes_for_pixels_are_told_what_to_do():
    pixels = np.random.default_rng(0).integers(256, size=(19, 28, 28), dtype=np.uint8)
    with pytest.raises(ValueError, match="divide by 255 if they are bytes. Found 0 to 255"):
        own_data(pixels=pixels)


def test_a_client_without_examples_is_named_when_it_is_read():
    nothing = Examples(np.empty((0, 28, 28), np.float32), np.empty(0, np.int32))
    dataset = MemoryClientData(["ann"], lambda client_id: nothing)
    with pytest.raises(ValueError, match="'ann' has no examples. Leave it out"):
        dataset.create_tf_dataset_for_client("ann")


def test_check_examples_brings_types_into_line():
    checked = client_data.check_examples("ann", np.ones((2, 28, 28)), np.array([1, 2], np.int64))
    assert checked.pixels.dtype == np.float32
    assert checked.labels.dtype == np.int32
