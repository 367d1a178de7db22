"""A study as small as it can be: a few clients, one dense layer."""

import functools
from pathlib import Path

import tensorflow as tf
from helpers import tiny

from fedlab import models
from fedlab.data import FederatedDataset
from fedlab.experiments import RunConfig, Study, studies
from fedlab.experiments.privacy import start
from fedlab.experiments.settings import vary
from fedlab.models import INPUT_SHAPE

ROOT = Path(__file__).parents[2]
TRAIN, TEST = tiny.create_data(12, 9, 8, 5, 9, 10, 7), tiny.create_data(4, 3, 2, 2, 5, 4, 6)
CONFIG = RunConfig(
    name="small", client_learning_rate=0.1, num_rounds=3, num_clients=3, batch_size=4
)


def create_model(seed: int = 0) -> tf.keras.Sequential:
    """One dense layer: 7,850 parameters."""
    layers = tf.keras.layers
    initializer = tf.keras.initializers.GlorotUniform(seed=seed)
    return tf.keras.Sequential(
        [
            layers.InputLayer(INPUT_SHAPE),
            layers.Flatten(),
            layers.Dense(10, kernel_initializer=initializer),
        ]
    )


def make_privacy_studies_small(monkeypatch) -> None:
    """The privacy studies train the one dense layer, and pre-train it for two epochs."""
    monkeypatch.setattr(models, "create_small_cnn", create_model)
    monkeypatch.setitem(start.NETWORKS, "small_cnn", create_model)
    monkeypatch.setattr(start, "NUM_EPOCHS", 2)


def create_dataset(name: str = "tiny", train=TRAIN, test=TEST, **options) -> FederatedDataset:
    return FederatedDataset(name, train, test, **options)


def change(config: RunConfig = CONFIG, **changes) -> RunConfig:
    return vary(config, **changes)


def build_study(*configs: RunConfig, name: str = "rates") -> Study:
    """Returns a study whose runs train the one dense layer."""
    run_fn = functools.partial(studies.run_training, create_fn=create_model)
    return studies.build_training_study(name, list(configs), run_fn)
