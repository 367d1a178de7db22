"""Good values that several tables share, and the kinds of objects such as models and client data."""

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff
from helpers import tiny
from helpers.border.kinds import (
    BELOW_ONE,
    CALLABLE,
    FLAG,
    INF,
    NAN,
    NOT_NEGATIVE,
    POSITIVE,
    choice,
    count,
    ids,
    instance,
    optional,
)

from fedlab import data, evaluation, models
from fedlab.data import preprocessing
from fedlab.learning import aggregators, leave_out_metrics

IDS = ["ann", "bob", "eve", "dan"]
CLIENTS = ids(IDS)
DATA = tiny.create_data(3, 4)
KNOWN = ids(DATA.client_ids, must_exist=True)
LABELS = np.array([0, 1, 2, 1, 0, 2, 1, 0])
PIXELS = np.full((8, 28, 28), 0.75)
OWNERS = np.repeat(["ann", "bob"], 4)
WEIGHTS = tff.learning.models.ModelWeights.from_model(tiny.create_model())
WEIGHTS = tff.learning.models.ModelWeights([w.numpy() for w in WEIGHTS.trainable], [])
MODEL = models.build_functional_model(tiny.create_model)
SHAPE = instance((28,), (28, 0), (28, 28, 1, 1), (28, -1), (28, 2.5), (28, True), "ab", (28, None))
SEED32 = count(at_least=0)


def other_weights(change) -> tff.learning.models.ModelWeights:
    return tff.learning.models.ModelWeights([change(w) for w in WEIGHTS.trainable], [])


OTHER_SHAPES = other_weights(lambda w: w[:1])
BAD_WEIGHTS = instance(
    WEIGHTS.trainable,
    other_weights(lambda w: np.where(w == w.max(), NAN, w)),
    other_weights(lambda w: np.where(w == w.max(), INF, w)),
    OTHER_SHAPES,
    other_weights(lambda w: w.astype(str)),
    other_weights(lambda w: None),
    tff.learning.models.ModelWeights(None, None),
)


def unlike(name="pixels", image_shape=(28, 28)) -> tff.simulation.datasets.ClientData:
    """TFF's client data whose elements have another name or shape."""
    element = {"label": np.int32(1), name: np.ones(image_shape, np.float32)}
    return tff.simulation.datasets.TestClientData({"c0": {k: [v] for k, v in element.items()}})


CLIENT_DATA = instance(DATA.client_ids, unlike("image"))
MODEL_KIND = instance(tiny.create_model(), 3.5)
SPEC = preprocessing.INPUT_SPEC
SPEC_KIND = instance(SPEC[:1], (28, 28), [SPEC[0], 5])
DATASET = tf.data.Dataset.from_tensor_slices(
    {"label": LABELS.astype(np.int32), "pixels": PIXELS.astype(np.float32)}
)
DATASET_KIND = instance(
    DATASET.repeat(),
    DATASET.batch(2).map(lambda element: (element["pixels"], element["label"])),
    DATASET.map(lambda element: {"label": element["label"], "image": element["pixels"]}),
)
BATCHES = next(iter(tiny.create_cohort().values()))
PREDICTIONS = evaluation.predict(WEIGHTS, DATA, create_fn=tiny.create_model)
ENTRY = data.DatasetEntry("table", "d", "l", "s", data.load_digits)
METRICS = {"metrics_aggregator": (leave_out_metrics, optional(CALLABLE))}
OPTIONS = {
    **METRICS,
    "client_learning_rate": (0.5, NOT_NEGATIVE),
    "client_optimizer": ("sgd", choice("sgd", "adam")),
    "weighted": (False, FLAG),
    "aggregator": (aggregators.median(), optional(instance("median", aggregators.median))),
}
MODEL_OPTION = {"model": (MODEL, MODEL_KIND)}
SERVER_RATE = {"server_learning_rate": (1.0, NOT_NEGATIVE)}
ADAPTIVE = {"beta_1": (0.5, BELOW_ONE), "beta_2": (0.5, BELOW_ONE), "epsilon": (0.125, POSITIVE)}
