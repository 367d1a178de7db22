"""Where the runs of the privacy studies start and end: their first weights, and their accuracy."""

from collections.abc import Sequence

from fedlab import models
from fedlab.caching import cache_while_alive
from fedlab.data import FederatedDataset, pool
from fedlab.data.preprocessing import Preprocessing
from fedlab.experiments.central_training import Network, Weights, batch_epochs, build_network

NUM_EPOCHS, LEARNING_RATE, DECAY = 60, 1e-3, 0.96  # of Adam; the rate falls with every epoch


NETWORKS = {"small_cnn": models.create_small_cnn, "cnn": models.create_cnn}


def network_of(name: str) -> Network:
    """Returns a network of the privacy studies, a key of `NETWORKS`."""
    return build_network(NETWORKS[name])


def small_network() -> Network:
    """Returns the network of all rows of the ledger."""
    return network_of("small_cnn")


@cache_while_alive
def pretrain(dataset: FederatedDataset, seed: int, name: str = "small_cnn") -> Weights:
    """Trains a network on public digits, shifted and turned anew in every epoch: they are few.

    Args:
        dataset: The data set whose public examples are used.
        seed: Of the initial weights, the order and the augmentation.
        name: A key of `NETWORKS`.

    Returns:
        The weights.
    """
    network = network_of(name)
    batches = Preprocessing(batch_size=32, shuffle=True, seed=seed, augmentation="affine")
    epochs = batch_epochs("pre-training", dataset.public_examples, batches, NUM_EPOCHS)
    rates = [LEARNING_RATE * DECAY**epoch for epoch in range(NUM_EPOCHS)]
    *_, weights = network.fit(network.initial_weights(seed), epochs, rates, "adam")
    return weights


def pooled_accuracy(
    dataset: FederatedDataset,
    weights: Weights,
    client_ids: Sequence[str] | None = None,
    name: str = "small_cnn",
) -> float:
    """Returns the share of right answers on the test examples of some clients, or all, in [0, 1]."""
    test = dataset.pooled_test if client_ids is None else pool(dataset.test.select(client_ids))
    return float((network_of(name).predict(weights, test).prediction == test.labels).mean())
