"""FedAvg rounds in Google's FedJAX. In an environment of its own (requirements/fedjax.txt).

`python run_fedjax.py --data FILE.npz --rounds 6 --to OUT.json`; see compare.py

The framework's own: ``fedjax.algorithms.fed_avg.federated_averaging`` unchanged (client loop,
weighted mean, server step), its "jit" backend of ``for_each_client``, ``ClientDataset`` and its
padded, masked batches, ``model_grad`` (which takes the mean over the mask, so padding never
counts), the optimizers, and the Haiku model wrapped by ``create_model_from_haiku``. Ours is the
model's text, the loading and the clock. jax is held at 0.5.3: fedjax 0.0.17 calls
``jax.tree_map``, which jax 0.6.0 removed.

The "pmap" backend on two virtual CPU devices works only with jax_pmap_no_rank_reduction off, and was
not faster when tried by hand; "jit" uses both cores inside an operation.
"""

import os
import time

os.environ["JAX_PLATFORMS"] = "cpu"  # before jax is imported

import fedjax
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from task import BATCH_SIZE, LAYERS, LEARNING_RATE, read_task, write_result

PARTS = (("w", "kernel"), ("b", "bias"))  # Haiku's names, and ours


class OrderedDataset(fedjax.ClientDataset):
    """A client's examples, always in the given order and with a smaller last batch.

    ``fed_avg`` asks for ``shuffle_repeat_batch``, which fills the last batch up with examples
    seen before, even with ``skip_shuffle``. FedJAX's padded batches carry a mask instead. The
    last one is padded to 10 or 20, so only two shapes are compiled and little is wasted.
    """

    def shuffle_repeat_batch(self, hparams=None, **kwargs):
        """Returns one pass of padded batches, whatever the shuffling settings say."""
        size = hparams.batch_size if hparams is not None else kwargs["batch_size"]
        return self.padded_batch(batch_size=size, num_batch_size_buckets=2)


def max_pool(x):
    """Takes the largest of each 2x2 square of an NHWC array with even sides.

    Equal to ``hk.MaxPool(2, 2, "VALID")``, which was slower when tried by hand.
    """
    n, height, width, channels = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, channels).max((2, 4))


def forward(batch):
    """Computes the logits of a batch, in Haiku."""
    x = jax.nn.relu(hk.Conv2D(32, 3, padding="VALID", name="conv")(batch["x"]))
    x = hk.Flatten()(max_pool(x))
    x = jax.nn.relu(hk.Linear(128, name="hidden")(x))
    return hk.Linear(10, name="logits")(x)


def cross_entropy(batch, logits):
    """Returns the loss of each example; FedJAX takes the mean."""
    chances = jax.nn.log_softmax(logits)
    return -jnp.take_along_axis(chances, batch["y"][:, None], axis=1)[:, 0]


def clients_of(task):
    """Returns FedJAX's triples of client id, dataset and random key."""
    keys = jax.random.split(jax.random.PRNGKey(0), len(task.sizes))  # the algorithm wants them
    return [
        (number, OrderedDataset({"x": x, "y": y}), key)
        for number, ((x, y), key) in enumerate(zip(task.clients(), keys, strict=True))
    ]


def train(model, task):
    """Runs FedAvg with all clients in every round; returns the weights and each round's seconds."""
    start = {
        layer: {key: jnp.asarray(task.weights[f"{layer}_{part}"]) for key, part in PARTS}
        for layer in LAYERS
    }
    clients = clients_of(task)
    seconds = []
    with fedjax.for_each_client_backend("jit"):
        algorithm = fedjax.algorithms.fed_avg.federated_averaging(
            fedjax.model_grad(model),
            fedjax.optimizers.sgd(LEARNING_RATE),
            fedjax.optimizers.sgd(1.0),
            fedjax.ShuffleRepeatBatchHParams(
                batch_size=BATCH_SIZE, num_epochs=1, skip_shuffle=True
            ),
        )
        state = algorithm.init(start)
        for _ in range(task.num_rounds):
            began = time.perf_counter()
            state, diagnostics = algorithm.apply(state, clients)
            jax.block_until_ready((state.params, diagnostics))
            seconds.append(time.perf_counter() - began)
    return state.params, seconds


def main():
    task, path = read_task()
    sample = {"x": task.images[:1], "y": task.labels[:1]}
    model = fedjax.create_model_from_haiku(hk.transform(forward), sample, cross_entropy)
    params, seconds = train(model, task)
    examples = fedjax.ClientDataset({"x": task.images})
    batches = examples.batch(batch_size=1000)  # a bound on memory
    logits = np.concatenate([model.apply_for_eval(params, batch) for batch in batches])
    write_result(path, task, seconds, logits, ["fedjax", "jax", "jaxlib", "dm-haiku", "numpy"])


if __name__ == "__main__":
    main()
