"""FedAvg rounds in Flower's simulation engine. In an environment of its own (requirements/flower.txt).

`python run_flower.py --data FILE.npz --rounds 6 --to OUT.json`; see compare.py

Flower's own: `run_simulation` on Ray (a worker per CPU, a client at a time on each), the messages, and
`FedAvg`, which weights by `num-examples`. Ours: a clock in FedAvg, and the training, which Flower
leaves to its user: here TensorFlow, an epoch compiled as one function.
"""

import os

os.environ |= {  # read by Flower, Ray and TensorFlow while they are imported
    **dict.fromkeys(["FLWR_TELEMETRY_ENABLED", "RAY_USAGE_STATS_ENABLED"], "0"),
    **dict.fromkeys(["TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"], "1"),  # a worker a CPU
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the only switch that keeps Ray on 127.0.0.1
    # Even so Ray (2.55) asks 169.254.169.254 which cloud this is: nobody answers at this proxy.
    **dict.fromkeys(["http_proxy", "https_proxy"], "http://127.0.0.1:9"),
    "no_proxy": "127.0.0.1,localhost",
}

import functools
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from task import BATCH_SIZE, LEARNING_RATE, Task, read_data, read_task, write_result

client_app = ClientApp()


def build_model() -> keras.Model:
    """Returns the CNN, with weights of its own."""
    images = [keras.layers.Conv2D(32, 3, activation="relu"), keras.layers.MaxPooling2D(2)]
    dense = [keras.layers.Dense(128, activation="relu"), keras.layers.Dense(10)]
    return keras.Sequential([keras.Input((28, 28, 1)), *images, keras.layers.Flatten(), *dense])


@functools.cache
def prepare(path: str):
    """Returns a worker's model, its compiled epoch, and all clients' examples: made once."""
    model = build_model()
    clients = [tuple(map(tf.constant, held)) for held in read_data(path).clients()]
    signature = [tf.TensorSpec([None, 28, 28, 1]), tf.TensorSpec([None], tf.int32)]  # of any size

    @tf.function(input_signature=signature)
    def train_epoch(images, labels):
        for start in tf.range(0, tf.shape(images)[0], BATCH_SIZE):
            batch = slice(start, start + BATCH_SIZE)  # the last one is smaller
            with tf.GradientTape() as tape:
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                    labels=labels[batch], logits=model(images[batch])
                )
                loss = tf.reduce_mean(losses)
            weights = model.trainable_variables
            for weight, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
                weight.assign_sub(LEARNING_RATE * gradient)

    return model, train_epoch, clients


@client_app.query()
def start_worker(message: Message, context) -> Message:
    """Has the worker ready, so that the first round does not time how it imports TensorFlow."""
    prepare(message.content["config"]["data"])
    return Message(RecordDict({"worker": MetricRecord({"pid": os.getpid()})}), reply_to=message)


@client_app.train()
def train_client(message: Message, context) -> Message:
    """Trains on one client's examples and replies with the weights."""
    model, train_epoch, clients = prepare(message.content["config"]["data"])
    images, labels = clients[context.node_config["partition-id"]]
    model.set_weights(message.content["arrays"].to_numpy_ndarrays())
    train_epoch(images, labels)
    arrays, metrics = ArrayRecord(model.get_weights()), MetricRecord({"num-examples": len(labels)})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


class TimedFedAvg(FedAvg):
    """Flower's FedAvg; keeps the seconds of each round, from its first step to its last."""

    def configure_train(self, *args):
        self.begun = time.perf_counter()
        return super().configure_train(*args)

    def aggregate_train(self, *args):
        aggregated = super().aggregate_train(*args)
        self.seconds = [*getattr(self, "seconds", []), time.perf_counter() - self.begun]
        return aggregated


def simulate(task: Task) -> tuple[list[float], list[np.ndarray]]:
    """Returns the seconds of each round, and the last weights."""
    server_app, found = ServerApp(), {}
    num_clients, config = len(task.sizes), ConfigRecord({"data": task.path})
    strategy = TimedFedAvg(fraction_evaluate=0.0, min_available_nodes=num_clients)

    @server_app.main()
    def serve(grid, context):
        while len(nodes := list(grid.get_node_ids())) < num_clients:
            time.sleep(0.1)
        queries = [Message(RecordDict({"config": config}), node, "query") for node in nodes]
        found["pids"] = {r.content["worker"]["pid"] for r in grid.send_and_receive(queries)}
        first = ArrayRecord(list(task.weights.values()))
        found["result"] = strategy.start(grid, first, task.num_rounds, train_config=config)

    init = {"address": "local", "include_dashboard": False, "log_to_driver": False}  # its own Ray
    init["num_cpus"] = min(num_clients, len(os.sched_getaffinity(0)))
    backend = {"init_args": init, "client_resources": {"num_cpus": 1, "num_gpus": 0.0}}
    run_simulation(server_app, client_app, num_clients, backend_config=backend)
    while any(Path(f"/proc/{pid}").exists() for pid in found["pids"]):
        time.sleep(0.1)  # workers end a moment after Ray
    return strategy.seconds, found["result"].arrays.to_numpy_ndarrays()


def main() -> None:
    task, path = read_task()
    seconds, weights = simulate(task)
    model = build_model()
    model.set_weights(weights)
    logits = model.predict(task.images, batch_size=500, verbose=0)
    write_result(path, task, seconds, logits, ["flwr", "ray", "tensorflow-cpu"])


if __name__ == "__main__":
    # Ray sends functions of __main__ by value: a worker would compile them anew for each message.
    from run_flower import main

    main()
