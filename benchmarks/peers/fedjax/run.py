"""FedAvg rounds timed in Google's FedJAX, one of the peers this project is compared with.

Run it in a Python 3.11 environment made from the requirements.txt beside it:

    python run.py --data FILE.npz --rounds 6 --to OUT.json

The framework's own: ``fedjax.algorithms.fed_avg.federated_averaging`` unchanged (client loop,
weighted mean, server step), its "jit" backend of ``for_each_client``, ``ClientDataset`` and its
padded, masked batches, ``model_grad`` (which takes the mean over the mask, so padding never
counts), the optimizers, and the Haiku model wrapped by ``create_model_from_haiku``. Ours is the
model's text, the loading and the clock. jax is held at 0.5.3: fedjax 0.0.17 calls
``jax.tree_map``, which jax 0.6.0 removed.

The "pmap" backend on two virtual CPU devices was not faster than "jit", which already uses both
cores inside an operation, and works only with jax_pmap_no_rank_reduction off; so "jit" it is.
"""

import argparse
import json
import os
import time
from importlib.metadata import version
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"  # before jax is imported

import fedjax
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

BATCH = 20
RATE = 0.02
LAYERS = ("conv", "hidden", "logits")


class OrderedDataset(fedjax.ClientDataset):
    """A client's examples, always in the given order and with a smaller last batch.

    ``fed_avg`` asks for ``shuffle_repeat_batch``, which fills the last batch up with examples
    seen before, even with ``skip_shuffle``. FedJAX's padded batches carry a mask instead. The
    last one is padded to 10 or 20, so only two shapes are compiled and little is wasted.
    """

    def shuffle_repeat_batch(self, hparams=None, **kwargs):
        """Return one pass of padded batches, whatever the shuffling settings say."""
        size = hparams.batch_size if hparams is not None else kwargs["batch_size"]
        return self.padded_batch(batch_size=size, num_batch_size_buckets=2)


def max_pool(x):
    """Take the largest of each 2x2 square of an NHWC array with even sides.

    Equal to ``hk.MaxPool(2, 2, "VALID")``, whose gradient on a CPU is much slower.
    """
    n, height, width, channels = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, channels).max((2, 4))


def forward(batch):
    """Compute the logits of a batch, in Haiku."""
    x = jax.nn.relu(hk.Conv2D(32, 3, padding="VALID", name="conv")(batch["x"]))
    x = hk.Flatten()(max_pool(x))
    x = jax.nn.relu(hk.Linear(128, name="hidden")(x))
    return hk.Linear(10, name="logits")(x)


def cross_entropy(batch, logits):
    """Give the loss of each example; FedJAX takes the mean."""
    chances = jax.nn.log_softmax(logits)
    return -jnp.take_along_axis(chances, batch["y"][:, None], axis=1)[:, 0]


def clients_of(data):
    """Split the examples into FedJAX's triples of client id, dataset and random key."""
    ends = np.cumsum(data["sizes"])[:-1]
    held = zip(np.split(data["images"], ends), np.split(data["labels"], ends), strict=True)
    keys = jax.random.split(jax.random.PRNGKey(0), len(data["sizes"]))  # the algorithm wants them
    return [
        (number, OrderedDataset({"x": x, "y": y}), key)
        for number, ((x, y), key) in enumerate(zip(held, keys, strict=True))
    ]


def train(model, data, rounds):
    """Run FedAvg with all clients in every round; return the weights and each round's seconds."""
    start = {
        layer: {"w": jnp.asarray(data[f"{layer}_kernel"]), "b": jnp.asarray(data[f"{layer}_bias"])}
        for layer in LAYERS
    }
    clients = clients_of(data)
    seconds = []
    with fedjax.for_each_client_backend("jit"):
        algorithm = fedjax.algorithms.fed_avg.federated_averaging(
            fedjax.model_grad(model),
            fedjax.optimizers.sgd(RATE),
            fedjax.optimizers.sgd(1.0),
            fedjax.ShuffleRepeatBatchHParams(batch_size=BATCH, num_epochs=1, skip_shuffle=True),
        )
        state = algorithm.init(start)
        for _ in range(rounds):
            began = time.perf_counter()
            state, diagnostics = algorithm.apply(state, clients)
            jax.block_until_ready((state.params, diagnostics))
            seconds.append(time.perf_counter() - began)
    return state.params, seconds


def mean_loss(model, params, data):
    """Compute the mean cross-entropy over all examples, summed in float64."""
    total = 0.0
    examples = fedjax.ClientDataset({"x": data["images"], "y": data["labels"]})
    for batch in examples.batch(batch_size=1000):  # a bound on memory
        logits = np.asarray(model.apply_for_eval(params, batch), np.float64)
        top = logits.max(axis=1)
        sums = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top
        total += (sums - logits[np.arange(len(logits)), batch["y"]]).sum()
    return float(total / len(data["labels"]))


def main():
    """Read the task, train, and write the times and the loss."""
    parser = argparse.ArgumentParser(description="Time FedAvg rounds in FedJAX.")
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--to", required=True, type=Path)
    asked = parser.parse_args()
    with np.load(asked.data, allow_pickle=False) as file:
        data = dict(file)
    sample = {"x": data["images"][:1], "y": data["labels"][:1]}
    model = fedjax.create_model_from_haiku(hk.transform(forward), sample, cross_entropy)
    params, seconds = train(model, data, asked.rounds)
    names = ("fedjax", "jax", "jaxlib", "dm-haiku", "numpy")
    result = {
        "seconds": seconds,
        "loss": mean_loss(model, params, data),
        "versions": ", ".join(f"{name} {version(name)}" for name in names),
    }
    asked.to.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
