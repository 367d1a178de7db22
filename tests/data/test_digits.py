"""The embedded digits: every real one once, by simulated writers, in Federated EMNIST's convention."""

import itertools
import time

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from helpers import tiny
from sklearn.datasets import load_digits as load_sklearn_digits

from fedlab import data
from fedlab.data import digits

EMNIST_SPEC = {
    "label": tf.TensorSpec((), tf.int32),
    "pixels": tf.TensorSpec((28, 28), tf.float32),
}


@pytest.fixture(scope="module")
def digit_splits():
    return data.load_digits()


def test_digits_come_in_the_element_of_tff_s_emnist(digit_splits):
    tffs_own = tff.simulation.datasets.emnist.get_synthetic().element_type_structure
    for split in digit_splits:
        assert isinstance(split, tff.simulation.datasets.ClientData)
        dataset = split.create_tf_dataset_for_client(split.client_ids[0])
        assert split.element_type_structure == dataset.element_spec == EMNIST_SPEC
        assert list(dataset.element_spec) == list(tffs_own) == ["label", "pixels"]
        assert dict(dataset.element_spec) == dict(tffs_own)


def test_digits_are_dark_ink_on_white_paper(digit_splits):
    for split in digit_splits:
        pixels, labels = tiny.all_arrays(split)
        assert pixels.min() >= 0.0
        assert pixels.max() == 1.0
        border = np.concatenate([pixels[:, [0, -1]].ravel(), pixels[:, :, [0, -1]].ravel()])
        assert np.median(border) == 1.0
        assert (pixels.min(axis=(1, 2)) < 0.5).all()  # every image has ink
        assert set(labels) == set(range(10))


@pytest.mark.parametrize("num_clients", [2, 30, 100, 359])
def test_every_source_image_is_used_once(num_clients):
    writers = digits.create_writers(num_clients)
    assert len(writers) == num_clients
    rows = [rows for writer in writers.values() for rows in (writer.train_rows, writer.test_rows)]
    np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(1797))
    assert all(len(writer.train_rows) >= 4 for writer in writers.values())
    assert all(len(writer.test_rows) >= 1 for writer in writers.values())


def test_every_writer_is_in_train_and_in_test(digit_splits):
    train, test = digit_splits
    assert train.client_ids == test.client_ids
    assert len(train.client_ids) == 100


def test_digits_carry_the_labels_of_their_source(digit_splits):
    source, writers = load_sklearn_digits().target, digits.create_writers(100)
    for client_id, writer in writers.items():
        train, test = (split.examples(client_id).labels for split in digit_splits)
        np.testing.assert_array_equal(train, source[writer.train_rows])
        np.testing.assert_array_equal(test, source[writer.test_rows])


def test_digits_are_a_function_of_the_seed(digit_splits):
    for first, again in zip(digit_splits, data.load_digits(), strict=True):
        assert tiny.same_data(first, again)
    assert not tiny.same_data(digit_splits[0], data.load_digits(seed=1)[0])


def test_writers_have_sizes_styles_and_label_mixes_of_their_own():
    writers = digits.create_writers(50)
    assert len({writer.style for writer in writers.values()}) == 50
    assert len({len(writer.train_rows) for writer in writers.values()}) > 5
    image = load_sklearn_digits().images[:1] / 16
    drawn = [digits.render(image, writer.style) for writer in writers.values()]
    assert all(np.abs(a - b).max() > 0.1 for a, b in itertools.pairwise(drawn))


def test_small_alpha_gives_a_writer_fewer_labels():
    def num_labels(alpha):
        train, _ = data.load_digits(50, alpha=alpha)
        return np.mean([len(set(train.examples(k).labels)) for k in train.client_ids])

    assert num_labels(0.1) + 2 < num_labels(100.0)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_clients": 360}, "num_clients must be at most 359. Found 360"),
        ({"num_clients": 1}, "num_clients must be at least 2. Found 1"),
        ({"alpha": 0.0}, "alpha must be .* above 0. Found 0.0"),
    ],
)
def test_digits_refuse_what_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        data.load_digits(**options)


def test_all_of_them_are_drawn_in_under_three_seconds():
    start = time.monotonic()
    for split in data.load("digits"):
        tiny.all_arrays(split)
    assert time.monotonic() - start < 3
