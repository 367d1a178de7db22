"""Data sets by name: what they know of themselves, and new ones, of images of any shape."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from helpers import tiny

from fedlab import data, evaluation, learning, models
from fedlab.data import registry, sampling
from fedlab.data.preprocessing import Preprocessing, build_cohort_fn, build_input_spec
from fedlab.training import run_rounds

COLOUR_SHAPE = (32, 32, 3)


@pytest.mark.parametrize("name", ["digits"])
def test_a_data_set_knows_itself(name):
    dataset = data.load(name)
    train, test = dataset
    assert (train, test) == (dataset.train, dataset.test)
    assert train.client_ids == test.client_ids
    assert dataset.element_spec["pixels"] == tf.TensorSpec((28, 28), tf.float32)
    assert dataset.num_classes == 10
    assert dataset.licence and dataset.source and dataset.description == data.describe(name)


def load_colours(num_clients: int = 4):
    """Images whose label is their brightest channel."""
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=40 * num_clients)
    pixels = rng.uniform(0, 0.5, size=(len(labels), *COLOUR_SHAPE)).astype(np.float32)
    pixels[np.arange(len(labels)), :, :, labels] += 0.5
    owners = np.repeat([f"camera_{k}" for k in range(num_clients)], 40)
    return data.from_arrays(pixels, labels, owners)


COLOURS = data.DatasetEntry("colours", "colours", "none", "this test", load_colours)


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))
    data.register(COLOURS)


def create_colour_model():
    layers = tf.keras.layers
    pool, dense = layers.AveragePooling2D(16), layers.Dense(10, kernel_initializer="zeros")
    return tf.keras.Sequential([layers.InputLayer(COLOUR_SHAPE), pool, layers.Flatten(), dense])


def test_colour_images_go_all_the_way(registered):
    dataset = data.load("colours", num_clients=3)
    assert dataset.element_spec["pixels"] == tf.TensorSpec(COLOUR_SHAPE, tf.float32)
    input_spec = build_input_spec(dataset.train.image_shape)
    accuracies = []
    for build_fn in (models.build_functional_model, models.build_model_fn):
        model = build_fn(create_colour_model, input_spec=input_spec)
        ids = dataset.train.client_ids
        batches = Preprocessing(batch_size=8, num_epochs=2, shuffle=True)
        cohort_fn = build_cohort_fn(dataset.train, sampling.fixed(ids), batches)
        run = run_rounds(
            learning.build_fed_avg(model, client_learning_rate=0.5),
            cohort_fn,
            num_rounds=3,
            evaluate_fn=evaluation.build_evaluate_fn(model, dataset.test),
            callbacks=[],
        )
        accuracies.append(run.records[-1]["eval_accuracy"])
    assert accuracies[0] == pytest.approx(accuracies[1], abs=1e-6)
    assert accuracies[0] > 0.9


def test_results_say_what_data_they_are_of(registered):
    assert data.cite("colours") == "colours. Source: this test. Licence: none."
    data.register(
        dataclasses.replace(COLOURS, name="shades", name_in_results="Shades", note="Few.")
    )
    assert data.show_name("shades") == data.load("shades").name == "Shades"
    assert data.cite("Shades").endswith("Licence: none. Few.")
    assert data.cite("shades") == data.cite("own.sqlite") == ""
    cited = data.cite("writer digits")
    for said in (
        "NIST Special Database 19",
        "BSD-3-Clause",
        "CC BY-SA 3.0",
        "not Federated EMNIST",
    ):
        assert said in cited


def test_a_name_is_given_once_and_is_no_path(registered):
    assert {"colours", "digits", "emnist", "writer_digits"} <= set(data.names())
    with pytest.raises(ValueError, match="a data set 'colours' already"):
        data.register(COLOURS)
    for name in ("", "my/data", "data.sqlite"):
        with pytest.raises(ValueError, match="must have no '/' and no full stop"):
            data.register(dataclasses.replace(COLOURS, name=name))


def test_tff_s_own_data_of_colour_images_are_read_alike():
    train, _ = load_colours()
    tffs = train.preprocess(lambda dataset: dataset)
    assert tiny.same_bits(data.client_arrays(tffs, "camera_1"), train.examples("camera_1"))
