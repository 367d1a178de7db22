"""Fine-tuning is a FedAvg client's own round; what it gains is measured on unseen examples."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from helpers import tiny

from fedlab import data, evaluation, models, runtime
from fedlab.data.client_data import Examples, MemoryClientData
from fedlab.data.preprocessing import Cohort, Preprocessing
from fedlab.learning import build_fed_avg
from fedlab.learning.personalization import fine_tune, personalize

TRAIN, TEST = tiny.create_data(30, 24, 18), tiny.create_data(8, 6, 7)
START = tff.learning.models.ModelWeights(tuple(tiny.create_model().get_weights()), ())
OPTIONS = {"create_fn": tiny.create_model, "learning_rate": 0.1, "batch_size": 5}


def test_fine_tuning_is_a_round_of_fed_avg_with_one_client():
    batches = tiny.create_cohort(30, num_epochs=2)["c0"]
    model = models.build_functional_model(tiny.create_model)
    runner = runtime.compile(build_fed_avg(model, client_learning_rate=0.1))
    output = runner.next(runner.initialize(), [batches])
    expected = runner.get_model_weights(output.state).trainable
    tuned = fine_tune(START, batches, create_fn=tiny.create_model, learning_rate=0.1)
    for actual, desired in zip(tuned.trainable, expected, strict=True):
        np.testing.assert_allclose(actual, desired, rtol=0, atol=1e-6)
        assert np.abs(actual).max() > 0


def test_a_rate_of_0_changes_nothing():
    batches = tiny.create_cohort(30)["c0"]
    tuned = fine_tune(START, batches, create_fn=tiny.create_model, learning_rate=0.0)
    assert tiny.same_bits(tuned, START)
    table = personalize(START, TRAIN, TEST, **OPTIONS | {"learning_rate": 0.0})
    assert (table.loss_personal == table.loss_global).all()
    assert (table.accuracy_personal == table.accuracy_global).all()


def test_one_row_a_client_and_the_global_model_s_own_figures():
    table = personalize(START, TRAIN, TEST, **OPTIONS)
    assert list(table.client_id) == TRAIN.client_ids
    assert list(table.num_train) == [30, 24, 18]
    assert list(table.num_examples) == [8, 6, 7]
    predictions = evaluation.predict(START, TEST, create_fn=tiny.create_model)
    expected = evaluation.per_client(predictions)
    np.testing.assert_allclose(table.accuracy_global, expected.accuracy, atol=1e-6)
    np.testing.assert_allclose(table.loss_global, expected.loss, rtol=1e-5)


def test_the_personal_figures_are_the_fine_tuned_model_s():
    table = personalize(START, TRAIN, TEST, ["c1"], num_epochs=2, seed=3, **OPTIONS)
    preprocessing = Preprocessing(5, num_epochs=2, shuffle=True, seed=3)
    batches = Cohort(TRAIN, ["c1"], preprocessing, round_num=0)["c1"]
    tuned = fine_tune(START, batches, create_fn=tiny.create_model, learning_rate=0.1)
    predictions = evaluation.predict(tuned, TEST, ["c1"], create_fn=tiny.create_model)
    assert table.accuracy_personal[0] == pytest.approx(evaluation.accuracy(predictions))
    assert table.loss_personal[0] == pytest.approx(predictions.loss.mean(), rel=1e-5)


def test_every_client_starts_from_the_server_s_weights():
    whole = personalize(START, TRAIN, TEST, **OPTIONS)
    alone = personalize(START, TRAIN, TEST, ["c2"], **OPTIONS)
    assert whole[whole.client_id == "c2"].reset_index(drop=True).equals(alone)


def test_a_client_with_labels_of_its_own_gains():
    """Client k calls everything k: no one model is right, and a personal one is."""

    def relabel(client_data):
        examples = {
            client_id: Examples(pixels, np.full_like(labels, k))
            for k, client_id in enumerate(client_data.client_ids)
            for pixels, labels in [client_data.examples(client_id)]
        }
        return MemoryClientData(examples, examples.__getitem__)

    table = personalize(START, relabel(TRAIN), relabel(TEST), num_epochs=3, **OPTIONS)
    assert table.accuracy_global.mean() < 0.5
    assert (table.accuracy_personal == 1).all()


@pytest.mark.parametrize("image_shape", [(32, 32, 3), (12, 16), (8, 8, 1)])
def test_images_of_any_shape_are_personalized(image_shape):
    rng = np.random.default_rng(0)
    pixels = rng.uniform(size=(40, *image_shape)).astype(np.float32)
    client_ids = np.repeat(["bright", "dark"], 20)
    labels = np.repeat([1, 0], 20)
    train, test = data.from_arrays(pixels, labels, client_ids)

    def create_fn():
        input_shape = (*image_shape, 1)[:3]
        layers = [tf.keras.layers.Flatten(input_shape=input_shape), tf.keras.layers.Dense(10)]
        return tf.keras.Sequential(layers)

    weights = tff.learning.models.ModelWeights(tuple(create_fn().get_weights()), ())
    options = {"create_fn": create_fn, "learning_rate": 0.01}
    table = personalize(weights, train, test, num_epochs=5, batch_size=4, **options)
    assert (table.loss_personal < table.loss_global).all()
    batches = Preprocessing(4, num_epochs=5, shuffle=True).apply_to_arrays(
        *train.examples("dark"), 0, "dark"
    )
    tuned = fine_tune(weights, batches, **options)
    predictions = evaluation.predict(tuned, test, ["dark"], create_fn=create_fn)
    assert table.loss_personal[1] == pytest.approx(predictions.loss.mean(), rel=1e-5)


def test_is_a_function_of_the_seed():
    def losses(seed):
        return list(personalize(START, TRAIN, TEST, seed=seed, **OPTIONS).loss_personal)

    assert losses(1) == losses(1) != losses(2)


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"learning_rate": -0.1},
            "learning_rate must be a finite number of at least 0. Found -0.1",
        ),
        ({"num_epochs": 0}, "num_epochs must be at least 1. Found 0"),
        ({"batch_size": 0}, "batch_size must be at least 1. Found 0"),
        ({"seed": -1}, "seed must be at least 0. Found -1"),
        ({"client_ids": []}, "client_ids must name at least one client"),
        ({"client_ids": ["c9"]}, "no client 'c9'"),
        ({"create_fn": models.create_cnn}, "These weights are another model's"),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        personalize(START, TRAIN, TEST, **OPTIONS | options)


def test_a_client_that_has_nothing_to_test_on_is_named():
    with pytest.raises(ValueError, match="no client 'c2'"):
        personalize(START, TRAIN, tiny.create_data(8, 6), **OPTIONS)
