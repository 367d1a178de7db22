"""What is done with digits in one place: the central ceiling, pre-training, the pooled test."""

import functools
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlab.data.client_data import Examples
from fedlab.data.preprocessing import INPUT_SPEC, Preprocessing
from fedlab.models import assign_weights, create_loss

CreateSeededFn: TypeAlias = Callable[..., tf.keras.Model]  # takes `seed`
Weights: TypeAlias = tff.learning.models.ModelWeights

PRETRAINING = Preprocessing(batch_size=32, shuffle=True)
PRETRAINING_EPOCHS = 10
PRETRAINING_RATE = 1e-3  # of Adam
_EVALUATION_BATCH = 256


class Predictions(NamedTuple):
    """A model's predictions: loss float32 (n,), in nats; prediction int64 (n,), the class."""

    loss: np.ndarray
    prediction: np.ndarray


class Network:
    """One Keras model, traced once, that takes on any weights of its kind.

    Args:
        create_fn: Makes the model; takes the seed of the initial weights.
    """

    def __init__(self, create_fn: CreateSeededFn):
        self.create_fn = create_fn
        self._model = create_fn(seed=0)
        self._optimizers: dict[str, tuple[tf.keras.optimizers.Optimizer, Callable]] = {}
        self._predict = tf.function(self._predict_batch, input_signature=INPUT_SPEC)

    def initial_weights(self, seed: int) -> Weights:
        """Returns the weights that a new model has."""
        return _copy_weights(self.create_fn(seed=seed))

    def predict(self, weights: Weights, examples: Examples) -> Predictions:
        """Returns the loss and the predicted class of each example.

        Federated evaluation gives the same sums: an example counts once, whoever holds it. The
        batches go to a thread per core; no prediction depends on another, so their order changes
        nothing.
        """
        assign_weights(self._model, weights)
        starts = range(0, len(examples.labels), _EVALUATION_BATCH)
        batches = [[array[k : k + _EVALUATION_BATCH] for array in examples] for k in starts]
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
            predicted = list(
                threads.map(lambda batch: self._predict(batch[0][..., None], batch[1]), batches)
            )
        return Predictions(*(np.concatenate(parts) for parts in zip(*predicted, strict=True)))

    def _predict_batch(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits = self._model(images, training=False)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return losses, tf.argmax(logits, axis=1)

    def fit(
        self,
        weights: Weights,
        epochs: Iterable[tf.data.Dataset],
        learning_rates: Iterable[float],
        optimizer: str = "sgd",
    ) -> Iterable[Weights]:
        """Trains centrally, by Keras's own optimizers.

        Args:
            weights: To start from.
            epochs: The batches of each epoch, as from `Preprocessing`.
            learning_rates: Of each epoch.
            optimizer: "sgd" or "adam".

        Yields:
            The weights after each epoch.
        """
        if optimizer not in self._optimizers:
            self._optimizers[optimizer] = self._build_step(optimizer)
        keras_optimizer, run_epoch = self._optimizers[optimizer]
        for variable in keras_optimizer.variables:  # moments and the number of steps
            variable.assign(tf.zeros_like(variable))
        for batches, learning_rate in zip(epochs, learning_rates, strict=False):
            keras_optimizer.learning_rate.assign(learning_rate)
            assign_weights(self._model, weights)
            run_epoch(batches)
            weights = _copy_weights(self._model)
            yield weights

    def _build_step(self, name: str) -> tuple[tf.keras.optimizers.Optimizer, Callable]:
        kinds = {"sgd": tf.keras.optimizers.SGD, "adam": tf.keras.optimizers.Adam}
        optimizer, loss_fn = kinds[name](), create_loss()
        variables = self._model.trainable_variables
        optimizer.build(variables)

        @tf.function(input_signature=[tf.data.DatasetSpec(INPUT_SPEC)])
        def run_epoch(batches: tf.data.Dataset) -> None:
            for images, labels in batches:
                with tf.GradientTape() as tape:
                    loss = loss_fn(labels, self._model(images, training=True))
                optimizer.apply_gradients(
                    zip(tape.gradient(loss, variables), variables, strict=True)
                )

        return optimizer, run_epoch


def _copy_weights(model: tf.keras.Model) -> Weights:
    return tf.nest.map_structure(
        lambda variable: variable.numpy(), Weights.from_model(model), expand_composites=False
    )


@functools.lru_cache(maxsize=16)
def build_network(create_fn: CreateSeededFn) -> Network:
    """Returns the one `Network` of a model: tracing takes longer than a round."""
    return Network(create_fn)


def batch_epochs(
    use: str, examples: Examples, preprocessing: Preprocessing, num_epochs: int
) -> Iterable[tf.data.Dataset]:
    """Returns the batches of each epoch; where they are shuffled, each has an order of its own.

    Args:
        use: What is trained, such as "pre-training": two uses of one seed draw different orders.
        examples: The examples of all epochs.
        preprocessing: How they become batches.
        num_epochs: Number of epochs, at least 0.
    """
    for epoch in range(1, num_epochs + 1):
        yield preprocessing.apply_to_arrays(*examples, use, epoch)


def is_finite(weights: Weights) -> bool:
    """Whether no weight is NaN or infinite."""
    return all(np.isfinite(leaf).all() for leaf in tf.nest.flatten(weights))
