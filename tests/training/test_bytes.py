"""What a round counts as sent."""

import tensorflow as tf
from helpers import tiny

from fedlab import models
from fedlab.learning import build_fed_avg
from fedlab.training import run_rounds


class _Scale(tf.keras.layers.Layer):
    """Has a thousand numbers that do not train."""

    def build(self, input_shape):
        self.factors = self.add_weight("factors", (1000,), initializer="ones", trainable=False)

    def call(self, inputs):
        return inputs * self.factors[0]


def test_what_does_not_train_goes_down_and_not_up():
    def create():
        layers = tf.keras.layers
        shape = models.INPUT_SHAPE
        parts = [layers.InputLayer(shape), layers.Flatten(), _Scale(), layers.Dense(10)]
        return tf.keras.Sequential(parts)

    process = build_fed_avg(models.build_functional_model(create))
    (record,) = run_rounds(process, tiny.COHORT_FN, 1, callbacks=[]).records
    assert record["bytes_up"] == 3 * 7850 * 4
    assert record["bytes_down"] == 3 * (7850 + 1000) * 4
