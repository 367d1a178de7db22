"""Keras models stay usable, eagerly, after TFF's builders have used Keras's graph mode."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from helpers import tiny
from keras.src.legacy_tf_layers import base

from fedlab import models, runtime
from fedlab.data.preprocessing import Preprocessing
from fedlab.learning import build_evaluation, build_fed_avg

CREATE_FNS = [models.create_cnn, models.create_deeper_cnn, models.create_small_cnn]
BUILD_FNS = [models.build_model_fn, models.build_functional_model]
IMAGES = tiny.create_examples(6).pixels[..., np.newaxis]
BATCHES = Preprocessing(batch_size=4).apply(tiny.create_data(10).create_tf_dataset_for_client("c0"))


@pytest.mark.parametrize("build_fn", BUILD_FNS)
@pytest.mark.parametrize("build", [build_fed_avg, build_evaluation])
def test_keras_models_from_before_still_work_after_tff_s_builders(build_fn, build):
    pairs = [(create_fn(), create_fn()) for create_fn in CREATE_FNS]
    expected = [called(IMAGES) for called, _ in pairs]
    build(build_fn(models.create_deeper_cnn))
    for (called, waiting), logits in zip(pairs, expected, strict=True):
        for model in (called, waiting):  # no new model in between: making one would mend these
            np.testing.assert_array_equal(model(IMAGES), logits)
            assert tiny.same_bits(model.get_weights(), called.get_weights())
        called.compile("sgd", models.create_loss())
        called.fit(IMAGES, np.zeros(len(IMAGES)), verbose=0)


class Scale(tf.keras.layers.Layer):
    """A learner's own layer, defined after fedlab was imported."""

    def build(self, input_shape):
        self.factor = self.add_weight("factor", shape=(), initializer="ones")

    def call(self, inputs):
        return self.factor * inputs


class OwnModel(tf.keras.Model):
    def __init__(self):
        super().__init__()
        self.dense, self.scale = tf.keras.layers.Dense(10), Scale()

    def call(self, inputs):
        return self.scale(self.dense(tf.reshape(inputs, (-1, 784))))


def create_with_own_layer():
    layers = [tf.keras.layers.Flatten(input_shape=(28, 28, 1)), tf.keras.layers.Dense(10), Scale()]
    return tf.keras.Sequential(layers)


def create_functional():
    inputs = tf.keras.Input((28, 28, 1))
    outputs = Scale()(tf.keras.layers.Dense(10)(tf.keras.layers.Flatten()(inputs)))
    return tf.keras.Model(inputs, outputs)


def build_by_tff(create_fn):
    """TFF's own builder, with a model_fn that is nothing of fedlab's."""
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return tff.learning.algorithms.build_fed_eval(
        lambda: tff.learning.models.from_keras_model(
            create_fn(), loss=loss, input_spec=BATCHES.element_spec
        )
    )


OWN_MODELS = [create_with_own_layer, create_functional, OwnModel, models.create_cnn]
restore = pytest.mark.parametrize(
    "restore_fn", [lambda process: models.restore_eager_keras(), runtime.compile]
)


@restore
def test_eager_models_work_again_after_tff_s_own_builder(restore_fn):
    pairs = [(create_fn(), create_fn()) for create_fn in OWN_MODELS]
    expected = [called(IMAGES) for called, _ in pairs]
    for called, _ in pairs:
        called.compile("sgd", models.create_loss(), metrics=["accuracy"])
        called.evaluate(IMAGES, np.zeros(len(IMAGES)), verbose=0)
    process = build_by_tff(create_with_own_layer)
    for called, _ in pairs:
        with pytest.raises(ValueError, match="invalid state"):  # else this test shows nothing
            called(IMAGES)
    restore_fn(process)
    for (called, waiting), logits in zip(pairs, expected, strict=True):
        np.testing.assert_array_equal(called(IMAGES), logits)
        assert waiting(IMAGES).shape == logits.shape
        called.fit(IMAGES, np.zeros(len(IMAGES)), verbose=0)
    for create_fn in OWN_MODELS:
        assert create_fn()(IMAGES).shape == (6, 10)


def test_eager_models_work_between_build_and_rounds():
    keras_models = [create_fn() for create_fn in OWN_MODELS]
    expected = [model(IMAGES) for model in keras_models]

    def check_answers():
        for model, logits in zip(keras_models, expected, strict=True):
            np.testing.assert_array_equal(model(IMAGES), logits)

    process = build_fed_avg(models.build_model_fn(create_with_own_layer))
    check_answers()
    with runtime.compile(process) as runner:
        check_answers()
        state = runner.next(runner.initialize(), [BATCHES]).state
        check_answers()
        build_by_tff(models.create_cnn)  # the compiled process does not care
        runner.next(state, [BATCHES])


def test_an_eager_model_works_after_a_builder_has_failed():
    model = models.create_cnn()
    with pytest.raises(RuntimeError, match="no model"):
        build_fed_avg(models.build_model_fn(create_cnn_then_fail))
    assert model(IMAGES).shape == (6, 10)


def create_cnn_then_fail():
    models.create_cnn()
    raise RuntimeError("no model")


def test_classes_that_keras_itself_puts_on_its_graph_version_stay_there():
    bases = base.Layer.__bases__
    models.restore_eager_keras()
    assert base.Layer.__bases__ == bases
