"""Where the private runs start from: the small CNN, trained on digits that are public."""

from fedlab.data.client_data import Examples
from fedlab.data.preprocessing import Preprocessing
from fedlab.experiments import central_training
from fedlab.models import create_small_cnn

NUM_EPOCHS, LEARNING_RATE, DECAY = 60, 1e-3, 0.96  # of Adam; the rate falls with every epoch


def pretrain(public: Examples, seed: int) -> central_training.Weights:
    """Trains on public digits, shifted and turned anew in every epoch: they are few."""
    network = central_training.build_network(create_small_cnn)
    batches = Preprocessing(batch_size=32, shuffle=True, seed=seed, augmentation="affine")
    epochs = central_training.batch_epochs(public, batches, NUM_EPOCHS)
    rates = [LEARNING_RATE * DECAY**epoch for epoch in range(NUM_EPOCHS)]
    *_, weights = network.fit(network.initial_weights(seed), epochs, rates, "adam")
    return weights
