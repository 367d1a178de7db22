"""The same model in three forms: the same weights, the same answers, the same training."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from helpers import tiny

from fedlab import models, runtime
from fedlab.data.preprocessing import Preprocessing
from fedlab.learning import build_fed_avg

CREATE_FNS = [models.create_cnn, models.create_deeper_cnn, models.create_small_cnn]
BUILD_FNS = [models.build_model_fn, models.build_functional_model]
DEEPER = models.create_deeper_cnn()
every_architecture = pytest.mark.parametrize("create_fn", CREATE_FNS)
IMAGES = tiny.create_examples(6).pixels[..., np.newaxis]
BATCHES = Preprocessing(batch_size=4).apply(tiny.create_data(10).create_tf_dataset_for_client("c0"))


def train_one_round(build_fn, create_fn):
    """The weights after a round of FedAvg with one client."""
    with runtime.compile(build_fed_avg(build_fn(create_fn), client_learning_rate=0.1)) as runner:
        state = runner.next(runner.initialize(), [BATCHES]).state
        return runner.get_model_weights(state)


def train_in_keras(create_fn):
    model, loss_fn = create_fn(), models.create_loss()
    for images, labels in BATCHES:
        with tf.GradientTape() as tape:
            loss = loss_fn(labels, model(images, training=True))
        variables = model.trainable_variables
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(0.1 * gradient)
    return model.get_weights()


@pytest.mark.parametrize(
    "create_fn, num_parameters",
    [
        (models.create_cnn, 693_962),
        (models.create_deeper_cnn, 431_242),
        (models.create_small_cnn, 34_602),
    ],
)
def test_number_of_parameters(create_fn, num_parameters):
    model = create_fn()
    assert model.count_params() == num_parameters
    assert model(IMAGES).shape == (6, 10)
    assert create_fn(num_classes=62)(IMAGES).shape == (6, 62)


def test_the_article_s_cnn_takes_colour_images_of_another_size():
    model = models.create_cnn(input_shape=(32, 32, 3), num_classes=3)
    assert model(np.zeros((2, 32, 32, 3), np.float32)).shape == (2, 3)


def test_the_deeper_cnn_has_the_article_s_layers_in_the_article_s_order():
    shapes = [(type(layer).__name__, layer.output_shape[1:]) for layer in DEEPER.layers]
    assert shapes == [
        ("Conv2D", (26, 26, 32)),
        ("MaxPooling2D", (13, 13, 32)),
        ("Conv2D", (11, 11, 64)),
        ("MaxPooling2D", (5, 5, 64)),
        ("Dropout", (5, 5, 64)),
        ("Flatten", (1600,)),
        ("Dense", (256,)),
        ("Dropout", (256,)),
        ("Dense", (10,)),
    ]


@pytest.mark.parametrize("place, rate", [(4, 0.25), (7, 0.5)])
def test_each_dropout_of_the_deeper_cnn_drops_its_own_fraction(place, rate):
    values = tf.ones((200, *DEEPER.layers[place].output_shape[1:]))
    dropped = np.mean(DEEPER.layers[place](values, training=True) == 0)
    num_values = np.prod(values.shape)
    assert abs(dropped - rate) < 5 * np.sqrt(rate * (1 - rate) / num_values)


def test_the_dropouts_of_the_deeper_cnn_have_a_seed_of_their_own():
    first, second = (
        models.create_deeper_cnn(dropout_rates=(0.5, 0.5)).layers[place] for place in (4, 7)
    )
    values = tf.ones((20, 256))
    assert tiny.same_bits(first(values, training=True), first(values, training=True))
    assert not tiny.same_bits(first(values, training=True), second(values, training=True))


@every_architecture
def test_same_seed_same_bits(create_fn):
    first = create_fn(seed=3).get_weights()
    tf.random.normal([5])  # what was drawn in between does not matter
    assert tiny.same_bits(first, create_fn(seed=3).get_weights())
    kernels = [weights for weights in first if weights.ndim > 1]
    others = [weights for weights in create_fn(seed=4).get_weights() if weights.ndim > 1]
    assert not any(np.array_equal(a, b) for a, b in zip(kernels, others, strict=True))


def test_the_answers_are_logits_not_probabilities():
    logits = models.create_cnn()(IMAGES).numpy()
    assert logits.min() < 0
    labels = np.zeros(6, np.int32)
    by_hand = -np.log(np.exp(logits[:, 0]) / np.exp(logits).sum(axis=1)).mean()
    assert models.create_loss()(labels, logits).numpy() == pytest.approx(by_hand, rel=1e-5)


def answer_functionally(model, images):
    """TFF lets a FunctionalModel made from Keras answer inside TFF's own graphs only."""
    runtime.install()

    @tff.tensorflow.computation
    def predict():
        weights = tf.nest.map_structure(tf.constant, model.initial_weights)
        return model.predict_on_batch(weights, tf.constant(images), training=False)

    models.restore_eager_keras()
    return predict()


@every_architecture
def test_all_forms_give_the_same_answers(create_fn):
    expected = create_fn()(IMAGES, training=False).numpy()
    variable = models.build_model_fn(create_fn)()
    functional = models.build_functional_model(create_fn)
    found = [
        variable.predict_on_batch(IMAGES, training=False),
        answer_functionally(functional, IMAGES),
    ]
    for logits in found:
        np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-6)
    assert tiny.same_bits(functional.initial_weights[0], create_fn().get_weights())


def test_all_forms_train_to_the_same_weights():
    expected = train_in_keras(models.create_cnn)
    start = models.create_cnn().get_weights()
    assert np.abs(expected[0] - start[0]).max() > 1e-4  # it did learn
    for build_fn in BUILD_FNS:
        weights = train_one_round(build_fn, models.create_cnn)
        for found, value in zip(weights.trainable, expected, strict=True):
            np.testing.assert_allclose(found, value, rtol=0, atol=1e-6)


@pytest.mark.parametrize("build_fn", BUILD_FNS)
def test_dropout_trains_and_is_repeatable(build_fn):
    first, again = (train_one_round(build_fn, models.create_deeper_cnn) for _ in range(2))
    assert tiny.same_bits(first, again)
    for rates in ((0.0, 0.5), (0.25, 0.0)):  # and both do drop
        without = functools.partial(models.create_deeper_cnn, dropout_rates=rates)
        assert not tiny.same_bits(first, train_one_round(build_fn, without))


def test_dropout_is_off_when_the_model_answers():
    without = models.create_deeper_cnn(dropout_rates=(0.0, 0.0))
    assert tiny.same_bits(DEEPER(IMAGES, training=False), without(IMAGES, training=True))
    assert not tiny.same_bits(DEEPER(IMAGES, training=True), DEEPER(IMAGES, training=False))


def test_two_dropout_rates_are_two():
    with pytest.raises(ValueError, match=r"dropout_rates must be two numbers. Found \(0.5,\)"):
        models.create_deeper_cnn(dropout_rates=(0.5,))


def test_assign_weights_puts_them_in():
    target = models.create_cnn(seed=2)
    with runtime.compile(build_fed_avg(models.build_model_fn())) as runner:
        weights = runner.get_model_weights(runner.initialize())
    assert models.assign_weights(target, weights) is target
    assert tiny.same_bits(target.get_weights(), models.create_cnn().get_weights())


def test_assign_weights_refuses_another_model_s():
    with runtime.compile(build_fed_avg(models.build_model_fn(tiny.create_model))) as runner:
        weights = runner.get_model_weights(runner.initialize())
    with pytest.raises(
        ValueError, match=r"another model's. Found the shapes \[\(784, 10\), \(10,\)\]"
    ):
        models.assign_weights(models.create_cnn(), weights)


def create_with_batch_normalization():
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            layers.InputLayer(models.INPUT_SHAPE),
            layers.Flatten(),
            layers.BatchNormalization(),
            layers.Dense(10),
        ]
    )


def test_a_functional_model_with_batch_normalization_is_refused_with_the_remedy():
    error = models.KerasFunctionalModelError
    with pytest.raises(error, match="GroupNormalization.*build_model_fn. Found batch_norm"):
        models.build_functional_model(create_with_batch_normalization)


def test_weights_that_are_not_finite_are_refused():
    model = tiny.create_model()
    weights = tff.learning.models.ModelWeights.from_model(model)
    spoilt = tff.learning.models.ModelWeights([np.nan * w.numpy() for w in weights.trainable], [])
    with pytest.raises(ValueError, match="weights must be finite. Found NaN"):
        models.assign_weights(model, spoilt)
