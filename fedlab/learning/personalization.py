"""A model for each client: the server's, trained a little further on the client's own examples."""

from collections.abc import Callable, Iterable

import pandas as pd
import tensorflow as tf
import tensorflow_federated as tff

from fedlab.data import client_arrays
from fedlab.data.client_data import check_known
from fedlab.data.preprocessing import INPUT_SPEC, Cohort, Preprocessing
from fedlab.learning.schedules import check_rate
from fedlab.models import CreateFn, assign_weights, create_cnn, create_loss

Weights = tff.learning.models.ModelWeights


def personalize(
    weights: Weights,
    train,
    test,
    client_ids: Iterable[str] | None = None,
    *,
    create_fn: CreateFn = create_cnn,
    learning_rate: float = 0.02,
    num_epochs: int = 1,
    batch_size: int = 20,
    seed: int = 0,
) -> pd.DataFrame:
    """Lets every client fine-tune the model, and measures both on its own unseen examples.

    FedAvg with fine-tuning, as in Wang et al. 2019 (federated evaluation of on-device
    personalization): what a client does is one round's work that it keeps to itself. Each client
    starts from `weights`; nothing is sent back.

    Args:
        weights: Of the model that `create_fn` makes.
        train: `ClientData` to fine-tune on.
        test: `ClientData` of the same clients to measure on.
        client_ids: Default: all of `train`.
        create_fn: Makes the Keras model.
        learning_rate: Of SGD, at least 0.
        num_epochs: Passes over a client's examples, at least 1; shuffled.
        batch_size: At least 1.
        seed: Seed of the shuffling, at least 0.

    Returns:
        One row per client: client_id, num_train, num_examples (tested on), accuracy_global,
        accuracy_personal (in [0, 1]), loss_global, loss_personal (cross-entropy in nats).

    Raises:
        ValueError: A number is out of range, there are no clients, a client is not in both data
            sets, or the weights are another model's.
    """
    check_rate("learning_rate", learning_rate)
    preprocessing = Preprocessing(batch_size, num_epochs, shuffle=True, seed=seed)
    client_ids = list(train.client_ids if client_ids is None else client_ids)
    if not client_ids:
        raise ValueError("client_ids must name at least one client to personalize. Found none.")
    for data in (train, test):
        check_known(client_ids, data.client_ids)
    cohort = Cohort(train, client_ids, preprocessing, round_num=0)
    model = create_fn()
    step_fn, measure_fn = _build_step_fn(model, learning_rate), _build_measure_fn(model)
    rows = []
    for client_id in client_ids:
        pixels, labels = client_arrays(test, client_id)
        held_out = tf.constant(pixels[..., tf.newaxis]), tf.constant(labels)
        assign_weights(model, weights)
        before = measure_fn(*held_out)
        _run_steps(step_fn, cohort[client_id])
        after = measure_fn(*held_out)
        rows.append(
            {
                "client_id": client_id,
                "num_train": len(client_arrays(train, client_id).labels),
                "num_examples": len(labels),
                "accuracy_global": float(before[0]),
                "accuracy_personal": float(after[0]),
                "loss_global": float(before[1]),
                "loss_personal": float(after[1]),
            }
        )
    return pd.DataFrame(rows)


def fine_tune(
    weights: Weights,
    batches: tf.data.Dataset,
    *,
    create_fn: CreateFn = create_cnn,
    learning_rate: float = 0.02,
) -> Weights:
    """Returns the weights after one SGD step on each batch: what a client of FedAvg does in a round.

    Args:
        weights: Of the model that `create_fn` makes; they stay as they are.
        batches: From `fedlab.data.preprocessing`, one client's.
        create_fn: Makes the Keras model.
        learning_rate: At least 0; 0 changes nothing.

    Raises:
        ValueError: The rate is negative, or the weights are another model's.
    """
    check_rate("learning_rate", learning_rate)
    model = assign_weights(create_fn(), weights)
    _run_steps(_build_step_fn(model, learning_rate), batches)
    return Weights(
        tuple(variable.numpy() for variable in model.trainable_weights),
        tuple(variable.numpy() for variable in model.non_trainable_weights),
    )


def _run_steps(step_fn: Callable, batches: tf.data.Dataset) -> None:
    for images, labels in batches:
        step_fn(images, labels)


def _build_step_fn(model: tf.keras.Model, learning_rate: float) -> Callable:
    """One graph for all clients' steps; it changes the model's variables."""
    loss_fn = create_loss()

    @tf.function(input_signature=INPUT_SPEC)
    def step(images, labels):
        with tf.GradientTape() as tape:
            loss = loss_fn(labels, model(images, training=True))
        variables = model.trainable_weights
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(learning_rate * gradient)

    return step


def _build_measure_fn(model: tf.keras.Model) -> Callable:
    """One graph for all clients: accuracy and mean loss."""
    loss_fn = create_loss()

    @tf.function(input_signature=INPUT_SPEC)
    def measure(images, labels):
        logits = model(images, training=False)
        is_right = tf.equal(tf.argmax(logits, axis=1, output_type=tf.int32), labels)
        return tf.reduce_mean(tf.cast(is_right, tf.float32)), loss_fn(labels, logits)

    return measure
