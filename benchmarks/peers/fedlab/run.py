"""The course's local runtime, as a peer of the others: see ../compare.py. In the course's environment.

`python run.py --data FILE.npz --rounds 6 --to OUT.json`
"""

import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlab import algorithms, models, runtime

BATCH_SIZE, LEARNING_RATE = 20, 0.02
WEIGHTS = "conv_kernel conv_bias hidden_kernel hidden_bias logits_kernel logits_bias".split()


def build_cohort(data) -> list[tf.data.Dataset]:
    """Returns each client's batches, in the order of the file."""
    ends = np.cumsum(data["sizes"])
    clients = zip(
        np.split(data["images"], ends[:-1]), np.split(data["labels"], ends[:-1]), strict=True
    )
    return [tf.data.Dataset.from_tensor_slices(client).batch(BATCH_SIZE) for client in clients]


def measure_loss(data, weights) -> float:
    """Returns the mean cross-entropy of all examples."""
    model = models.create_cnn()
    model.set_weights(weights)
    logits = np.concatenate([model(part).numpy() for part in np.array_split(data["images"], 50)])
    logits = logits.astype(np.float64)
    of_label = np.take_along_axis(logits, data["labels"][:, None], axis=1)[:, 0]
    return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - of_label))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--to", type=Path, required=True)
    args = parser.parse_args()
    with np.load(args.data, allow_pickle=False) as file:
        data = dict(file)
    cohort = build_cohort(data)
    process = algorithms.build_fed_avg(
        models.build_functional_model(), client_learning_rate=LEARNING_RATE
    )
    runner = runtime.compile(process)
    weights = tff.learning.models.ModelWeights([data[name] for name in WEIGHTS], [])
    state = process.set_model_weights(runner.initialize(), weights)
    seconds = []
    for _ in range(args.rounds):
        begun = time.perf_counter()
        state, _ = runner.next(state, cohort)
        seconds.append(time.perf_counter() - begun)
    loss = measure_loss(data, state.global_model_weights.trainable)
    names = ("tensorflow-federated", "tensorflow")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    args.to.write_text(json.dumps({"seconds": seconds, "loss": loss, "versions": versions}))


if __name__ == "__main__":
    main()
