"""Federated averaging with Apple's pfl-research, for the comparison of frameworks.

    python run.py --data FILE.npz --rounds 6 --to OUT.json

pfl's own are: FederatedAveraging (the loop over rounds, the local training, the server's step),
SimulatedBackend with its aggregator and WeightByDatapoints, TFModel, FederatedDataset with
TFTensorDataset and the sampler. Ours are the Keras model, the clock and the loss at the end.

One process, in which TensorFlow uses both cores: pfl can also share the clients among worker
processes (PFL_WORKER_ADDRESSES), but their TensorFlow servers listen on every network interface.
"""

import argparse
import dataclasses
import json
import os
import time

# pfl finds a model's variables by name. In Keras 3 the kernels of all layers have one name: pfl
# would average the last layer only, without a warning. In Keras 2 each has its own.
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import numpy as np
import pfl
import tensorflow as tf
import tf_keras as keras
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByDatapoints
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import get_user_sampler
from pfl.data.tensorflow import TFTensorDataset
from pfl.hyperparam.base import NNTrainHyperParams
from pfl.metrics import Metrics
from pfl.model.tensorflow import TFModel

LAYERS = ("conv", "hidden", "logits")
WEIGHTS = [f"{layer}_{part}" for layer in LAYERS for part in ("kernel", "bias")]


class TrainingOnly(FederatedAveraging):
    """FederatedAveraging without the evaluation of every client in its first round."""

    def get_next_central_contexts(self, *args, **kwargs):
        """Return pfl's plan for the next round, with evaluation off."""
        contexts, model, metrics = super().get_next_central_contexts(*args, **kwargs)
        if contexts is not None:
            contexts = tuple(dataclasses.replace(c, do_evaluation=False) for c in contexts)
        return contexts, model, metrics


class Clock(TrainingProcessCallback):
    """Takes the time of each round."""

    def __init__(self):
        self.seconds = []

    def on_train_begin(self, *, model):
        """Start the first round's time."""
        self._start = time.perf_counter()
        return Metrics()

    def after_central_iteration(self, aggregate_metrics, model, *, central_iteration):
        """End a round's time, when its weights can be read, and start the next one's."""
        model.keras_model.get_weights()
        now = time.perf_counter()
        self.seconds.append(now - self._start)
        self._start = now
        return False, Metrics()


def make_model(data):
    """Return pfl's model around the Keras model, with the starting weights."""
    layers = [
        keras.layers.Conv2D(32, 3, activation="relu", input_shape=(28, 28, 1)),
        keras.layers.MaxPooling2D(),
        keras.layers.Flatten(),
        keras.layers.Dense(128, activation="relu"),
        keras.layers.Dense(10),
    ]
    net = keras.Sequential(layers)
    net.set_weights([data[name] for name in WEIGHTS])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(optimizer=keras.optimizers.SGD(), loss=loss)  # pfl sets its rate
    # The server's rate of 1 makes the new weights the clients' mean.
    model = TFModel(net, metrics={}, central_optimizer=keras.optimizers.SGD(1.0))
    if len(model.variable_map) != len(WEIGHTS):
        raise RuntimeError(f"pfl sees only the variables {list(model.variable_map)}")
    return model


def make_federated(data):
    """Return the clients as a federated data set that gives them all, in order, every round."""
    ends = np.cumsum(data["sizes"])
    # pfl keeps a client's batches with its data set, so each is made once, not every round.
    clients = [
        TFTensorDataset(tf.constant(data["images"][a:b]), tf.constant(data["labels"][a:b]))
        for a, b in zip(ends - data["sizes"], ends, strict=True)
    ]
    sampler = get_user_sampler("minimize_reuse", range(len(clients)))
    return FederatedDataset(clients.__getitem__, sampler)


def train(model, clients, number, rounds):
    """Train for some rounds with this number of clients; return the seconds of each."""
    clock = Clock()
    TrainingOnly().run(
        NNAlgorithmParams(rounds, rounds, train_cohort_size=number, val_cohort_size=None),
        SimulatedBackend(clients, None, postprocessors=[WeightByDatapoints()]),
        model,
        NNTrainHyperParams(local_batch_size=20, local_num_epochs=1, local_learning_rate=0.02),
        callbacks=[clock],
        send_metrics_to_platform=False,
    )
    return clock.seconds


def mean_loss(net, images, labels):
    """Return the mean cross-entropy over all examples, in float64."""
    logits = net.predict(images, batch_size=500, verbose=0).astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    of_label = logits[np.arange(len(labels)), labels]
    return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - of_label))


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--to", required=True)
    args = parser.parse_args()
    with np.load(args.data, allow_pickle=False) as file:
        data = dict(file)
    model = make_model(data)
    seconds = train(model, make_federated(data), len(data["sizes"]), args.rounds)
    loss = mean_loss(model.keras_model, data["images"], data["labels"])
    versions = f"pfl {pfl.__version__}, tensorflow {tf.__version__}, tf_keras {keras.__version__}"
    with open(args.to, "w") as file:
        json.dump({"seconds": seconds, "loss": loss, "versions": versions}, file)


if __name__ == "__main__":
    main()
