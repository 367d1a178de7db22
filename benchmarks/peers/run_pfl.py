"""FedAvg rounds in Apple's pfl-research. In an environment of its own (requirements/pfl.txt).

`python run_pfl.py --data FILE.npz --rounds 6 --to OUT.json`; see compare.py

pfl's own are: FederatedAveraging (the loop over rounds, the local training, the server's step),
SimulatedBackend with its aggregator and WeightByDatapoints, TFModel, FederatedDataset with
TFTensorDataset and the sampler. Ours are the Keras model, the clock and the loss at the end.

One process, in which TensorFlow uses both cores: pfl can also share the clients among worker
processes (PFL_WORKER_ADDRESSES), but their TensorFlow servers listen on every network interface.
"""

import dataclasses
import os
import time

# pfl finds a model's variables by name. In Keras 3 the kernels of all layers have one name: pfl
# would average the last layer only, without a warning. In Keras 2 each has its own.
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

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
from task import BATCH_SIZE, LEARNING_RATE, WEIGHTS, read_task, write_result


class TrainingOnly(FederatedAveraging):
    """FederatedAveraging without the evaluation of every client in its first round."""

    def get_next_central_contexts(self, *args, **kwargs):
        """Returns pfl's plan for the next round, with evaluation off."""
        contexts, model, metrics = super().get_next_central_contexts(*args, **kwargs)
        if contexts is not None:
            contexts = tuple(dataclasses.replace(c, do_evaluation=False) for c in contexts)
        return contexts, model, metrics


class Clock(TrainingProcessCallback):
    """Takes the time of each round."""

    def __init__(self):
        self.seconds = []

    def on_train_begin(self, *, model):
        """Starts the first round's time."""
        self._start = time.perf_counter()
        return Metrics()

    def after_central_iteration(self, aggregate_metrics, model, *, central_iteration):
        """Ends a round's time, when its weights can be read, and starts the next one's."""
        model.keras_model.get_weights()
        now = time.perf_counter()
        self.seconds.append(now - self._start)
        self._start = now
        return False, Metrics()


def make_model(task):
    """Returns pfl's model around the Keras model, with the starting weights."""
    layers = [
        keras.layers.Conv2D(32, 3, activation="relu", input_shape=(28, 28, 1)),
        keras.layers.MaxPooling2D(),
        keras.layers.Flatten(),
        keras.layers.Dense(128, activation="relu"),
        keras.layers.Dense(10),
    ]
    net = keras.Sequential(layers)
    net.set_weights(list(task.weights.values()))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(optimizer=keras.optimizers.SGD(), loss=loss)  # pfl sets its rate
    # The server's rate of 1 makes the new weights the clients' mean.
    model = TFModel(net, metrics={}, central_optimizer=keras.optimizers.SGD(1.0))
    if len(model.variable_map) != len(WEIGHTS):
        raise RuntimeError(f"pfl sees only the variables {list(model.variable_map)}")
    return model


def make_federated(task):
    """Returns the clients as a federated data set that gives them all, in order, every round."""
    # pfl keeps a client's batches with its data set, so each is made once, not every round.
    clients = [TFTensorDataset(*map(tf.constant, held)) for held in task.clients()]
    sampler = get_user_sampler("minimize_reuse", range(len(clients)))
    return FederatedDataset(clients.__getitem__, sampler)


def train(model, task):
    """Trains with all clients; returns the seconds of each round."""
    clock = Clock()
    TrainingOnly().run(
        NNAlgorithmParams(
            task.num_rounds,
            task.num_rounds,  # and so no evaluation but the first, which TrainingOnly leaves out
            train_cohort_size=len(task.sizes),
            val_cohort_size=None,
        ),
        SimulatedBackend(make_federated(task), None, postprocessors=[WeightByDatapoints()]),
        model,
        NNTrainHyperParams(
            local_batch_size=BATCH_SIZE, local_num_epochs=1, local_learning_rate=LEARNING_RATE
        ),
        callbacks=[clock],
        send_metrics_to_platform=False,
    )
    return clock.seconds


def main():
    task, path = read_task()
    model = make_model(task)
    seconds = train(model, task)
    logits = model.keras_model.predict(task.images, batch_size=500, verbose=0)
    write_result(path, task, seconds, logits, ["pfl", "tensorflow", "tf_keras"])


if __name__ == "__main__":
    main()
