"""A digest is the same for two builds of one process, and another one if a number in it is."""

import functools

import pytest
import tensorflow as tf
import tensorflow_federated as tff
from helpers import tiny

from fedlab import learning, models
from fedlab.learning import schedules
from fedlab.runtime import digest_computation

sgd = tff.learning.optimizers.build_sgdm


def create_unseeded(rate: float = 0.5) -> tf.keras.Sequential:
    layers = tf.keras.layers
    parts = [layers.Flatten(), layers.Dropout(rate), layers.Dense(10)]
    return tf.keras.Sequential([layers.InputLayer(models.INPUT_SHAPE), *parts])


def build_variable(rate: float = 0.5, **options):
    model_fn = models.build_model_fn(functools.partial(create_unseeded, rate))
    return tff.learning.algorithms.build_weighted_fed_avg(model_fn, sgd(0.1), sgd(1.0), **options)


def build_scheduled(num_rounds: int):
    decay = schedules.exponential_decay(0.1, factor=0.5, num_rounds=num_rounds)
    return tiny.build_process(client_learning_rate=decay)


# Each with its neighbours, from which it differs by one setting.
BUILDS = {
    "FedAvg": tiny.build_process,
    "another rate": lambda: tiny.build_process(client_learning_rate=0.2),
    "unweighted": lambda: tiny.build_process(weighted=False),
    "Adam": lambda: tiny.build_process(client_optimizer="adam"),
    "FedProx": lambda: learning.build_fed_prox(
        models.build_functional_model(tiny.create_model), mu=0.1, client_learning_rate=0.1
    ),
    "another model": lambda: learning.build_fed_avg(
        models.build_functional_model(models.create_cnn), client_learning_rate=0.1
    ),
    "20 rounds": lambda: build_scheduled(20),
    "21 rounds": lambda: build_scheduled(21),
    "variables": build_variable,
    "another dropout": lambda: build_variable(0.4),
    "robust": lambda: build_variable(model_aggregator=tff.learning.robust_aggregator()),
}
CODE = """
from helpers import tiny
from fedlab.runtime import digest_computation
tiny.build_process(client_learning_rate=0.3)  # so that TensorFlow has counted on
open({path!r}, "w").write(digest_computation(tiny.build_process().next))
"""


@pytest.fixture(scope="module")
def digests():
    return {name: digest_computation(build().next) for name, build in BUILDS.items()}


def test_every_setting_is_in_the_digest(digests):
    assert len(set(digests.values())) == len(BUILDS)


@pytest.mark.parametrize("name", BUILDS)
def test_another_build_has_the_same_digest(digests, name):
    assert digest_computation(BUILDS[name]().next) == digests[name]


def test_so_has_another_process(digests, tmp_path):
    path = tmp_path / "digest"
    assert tiny.start(CODE.format(path=str(path))).wait(tiny.TIMEOUT) == 0
    assert path.read_text() == digests["FedAvg"]


def test_what_is_connected_with_what_counts():
    def digest(function):
        return digest_computation(tff.tensorflow.computation(function, (tf.float32, tf.float32)))

    assert digest(lambda a, b: a - b) == digest(lambda a, b: a - b)
    assert digest(lambda a, b: a - b) != digest(lambda a, b: b - a)
    assert digest(lambda a, b: (a - b) * a) != digest(lambda a, b: a - b * a)
    assert digest(lambda a, b: tf.cond(a > b, lambda: a, lambda: b)) != digest(
        lambda a, b: tf.cond(a > b, lambda: b, lambda: a)
    )
