"""What the edge takes off the server: `python benchmarks/edge.py`.

The article's CNN is trained until it has 85% of everyone's test digits right: once by a federation (FedAvg,
10 random clients a round), once by a server that has gathered all training digits. Both take SGD steps of
rate 0.1 on batches of 10, and are looked at after as many digits.

CPU seconds, of all threads; looking at the model is not counted. A simulation runs server and clients in one
process, so the server's seconds are those of the same number of rounds in which no client has a digit: the
messages and the mean are there, the training is not. The rest of a round's seconds are the clients'.

Bytes, as they would be sent: a model and an update have 4 bytes a number, a digit has 1 byte a pixel and one for
its label. Writes results/edge.csv, three seeds each. About 3 minutes on 2 cores.
"""

import os
import time
from collections.abc import Callable

import pandas as pd
import tensorflow as tf
from _common import ROOT, WRITER_DIGITS, choose_path, create_parser

from fedlab import data, learning, models, runtime
from fedlab.data import preprocessing, sampling
from fedlab.experiments.central_training import Network, Weights
from fedlab.experiments.results import write_results
from fedlab.random_streams import random_stream
from fedlab.training.rounds import weights_bytes

TARGET, RATE, BATCH_SIZE, NUM_CLIENTS, MAX_ROUNDS = 0.85, 0.1, 10, 10, 100
NUM_SEEDS, NUM_EMPTY_ROUNDS = 3, 5
PIXELS_AND_LABEL = 28 * 28 + 1


def cpu_time(work: Callable):
    """Returns the CPU seconds of some work, and its result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def accuracy(network: Network, dataset: data.FederatedDataset, weights: Weights) -> float:
    examples = dataset.pooled_test
    return float((network.predict(weights, examples).prediction == examples.labels).mean())


def train_federated(runner, network, dataset, seed: int) -> dict:
    """Runs rounds to the target."""
    ids = dataset.train.client_ids
    options = preprocessing.Preprocessing(BATCH_SIZE, shuffle=True, seed=seed)
    sample_fn = sampling.uniform(ids, NUM_CLIENTS, seed=seed)
    cohort_fn = preprocessing.build_cohort_fn(dataset.train, sample_fn, options)
    weights = network.initial_weights(seed)
    state = runner.set_model_weights(runner.initialize(), weights)
    nobody = [cohort_fn(1)[client_id].take(0) for client_id in cohort_fn(1)]
    runner.next(state, cohort_fn(1))  # the first round loads and traces
    runner.next(state, nobody)
    empty, _ = cpu_time(lambda: [runner.next(state, nobody) for _ in range(NUM_EMPTY_ROUNDS)])
    seconds, taken_part = 0.0, set()
    for round_num in range(1, MAX_ROUNDS + 1):
        cohort = cohort_fn(round_num)
        taken_part |= set(cohort)
        spent, output = cpu_time(lambda cohort=cohort, state=state: runner.next(state, cohort))
        seconds, state = seconds + spent, output.state
        reached = accuracy(network, dataset, runner.get_model_weights(state))
        if reached >= TARGET:
            break
    at_server = empty / NUM_EMPTY_ROUNDS * round_num
    sent = round_num * NUM_CLIENTS * weights_bytes(weights)
    return {
        "num_looks": round_num,
        "accuracy": reached,
        "server_cpu_seconds": at_server,
        "clients_cpu_seconds": max(seconds - at_server, 0.0),
        "num_clients": len(taken_part),
        "server_bytes_in": sent,
        "server_bytes_out": sent,
        "client_bytes": 2 * sent / len(taken_part),
    }


def train_centrally(network, dataset, seed: int, train_size: float) -> dict:
    """Gathers all digits, and takes as many as a round has between two looks at the model."""
    pixels, labels = data.pool(dataset.train)
    order = random_stream("edge's order", seed).permutation(len(labels))
    per_look = round(NUM_CLIENTS * train_size)
    starts = [
        start for _ in range(MAX_ROUNDS) for start in range(0, len(order) - per_look + 1, per_look)
    ]

    def batches(start: int) -> tf.data.Dataset:
        rows = order[start : start + per_look]
        slices = (pixels[rows][..., None], labels[rows])
        return tf.data.Dataset.from_tensor_slices(slices).batch(BATCH_SIZE)

    weights = network.initial_weights(seed)
    list(network.fit(weights, [batches(0)], [RATE]))  # the first time traces
    fitted = iter(network.fit(weights, map(batches, starts), [RATE] * len(starts)))
    seconds, num_looks, reached = 0.0, 0, 0.0
    while reached < TARGET and num_looks < MAX_ROUNDS:
        spent, weights = cpu_time(lambda: next(fitted))
        seconds, num_looks = seconds + spent, num_looks + 1
        reached = accuracy(network, dataset, weights)
    gathered = len(labels) * PIXELS_AND_LABEL
    num_clients = len(dataset.train.client_ids)
    return {
        "num_looks": num_looks,
        "accuracy": reached,
        "server_cpu_seconds": seconds,
        "clients_cpu_seconds": 0.0,
        "num_clients": num_clients,
        "server_bytes_in": gathered,
        "server_bytes_out": 0,
        "client_bytes": gathered / num_clients,
    }


def measure(dataset: data.FederatedDataset) -> list[dict]:
    network = Network(models.create_cnn)
    model = models.build_functional_model(models.create_cnn)
    ids = dataset.train.client_ids
    train_size = sum(map(dataset.train.num_examples, ids)) / len(ids)
    rows = []
    with runtime.compile(learning.build_fed_avg(model, client_learning_rate=RATE)) as runner:
        for seed in range(NUM_SEEDS):
            settings = {
                "federated": train_federated(runner, network, dataset, seed),
                "central": train_centrally(network, dataset, seed, train_size),
            }
            for setting, measured in settings.items():
                row = {"dataset": dataset.name, "setting": setting, "seed": seed, "target": TARGET}
                rows.append(row | {name: round(value, 4) for name, value in measured.items()})
                print(rows[-1], flush=True)
    return rows


def main() -> None:
    args = create_parser(__doc__).parse_args()
    names = ["digits", *([str(WRITER_DIGITS)] if WRITER_DIGITS.exists() else [])]
    loaded = [data.load(name) for name in names]
    digests = {dataset.name: dataset.sha256 for dataset in loaded}
    path = choose_path("edge.csv", digests, args.to)
    table = pd.DataFrame(row for dataset in loaded for row in measure(dataset))
    write_results(path, table, seed=table.seed, digests=digests)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
