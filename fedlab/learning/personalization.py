"""Personalization: each client trains the server's model a little further on its own examples."""

from collections.abc import Callable, Iterable
from typing import TypeAlias

import pandas as pd
import tensorflow as tf
import tensorflow_federated as tff

from fedlab.checks import check_ids, check_instance, check_number, describe
from fedlab.data import client_arrays
from fedlab.data.elements import add_channel, check_client_data
from fedlab.data.preprocessing import Cohort, Preprocessing, build_input_spec
from fedlab.models import CreateFn, assign_weights, create_cnn, create_loss
from fedlab.models.keras_to_tff import check_create_fn, check_weights

InputSpec: TypeAlias = tuple[tf.TensorSpec, tf.TensorSpec]
Weights: TypeAlias = tff.learning.models.ModelWeights


def personalize(
    weights: Weights,
    train: tff.simulation.datasets.ClientData,
    test: tff.simulation.datasets.ClientData,
    client_ids: Iterable[str] | None = None,
    *,
    create_fn: CreateFn = create_cnn,
    learning_rate: float = 0.02,
    num_epochs: int = 1,
    batch_size: int = 20,
    seed: int = 0,
) -> pd.DataFrame:
    """Fine-tunes the model for each client and measures it before and after on unseen examples.

    Each client starts from `weights` and trains with SGD, as in a round of FedAvg, but sends nothing
    back (Wang et al. 2019, Federated Evaluation of On-device Personalization).

    Args:
        weights: Weights of the model that `create_fn` makes.
        train: Examples to fine-tune on, images of any shape.
        test: Examples of the same clients to measure on, images of the same shape.
        client_ids: Ids of the clients. None: all clients of `train`.
        create_fn: A function that makes the Keras model, for images of this shape.
        learning_rate: Step size of SGD, at least 0.
        num_epochs: Passes over a client's shuffled training examples, at least 1.
        batch_size: Examples in a batch, at least 1.
        seed: Seed of the shuffling, at least 0.

    Returns:
        A table with one row per client and the columns client_id; num_train and num_examples, the
        numbers of training and test examples; accuracy_global and accuracy_personal, before and
        after, in [0, 1]; loss_global and loss_personal, mean cross-entropies in nats.

    Raises:
        TypeError: An argument has another type.
        ValueError: A number is out of range, there are no clients, a client is named twice or is
            not in both data sets, or the weights belong to another model or are not finite.
    """
    learning_rate = check_number("learning_rate", learning_rate, at_least=0)
    preprocessing = Preprocessing(batch_size, num_epochs, shuffle=True, seed=seed)
    check_weights("weights", weights)
    for name, client_data in (("train", train), ("test", test)):
        check_client_data(name, client_data)
    client_ids = train.client_ids if client_ids is None else client_ids
    for client_data in (train, test):
        client_ids = check_ids("client_ids", client_ids, known=client_data.client_ids)
    cohort = Cohort(train, client_ids, preprocessing, round_num=0)
    model = check_create_fn(create_fn)()
    input_spec = build_input_spec(train.element_type_structure["pixels"].shape)
    step_fn = _build_step_fn(model, learning_rate, input_spec)
    measure_fn = _build_measure_fn(model, input_spec)
    rows = []
    for client_id in client_ids:
        pixels, labels = client_arrays(test, client_id)
        test_batch = tf.constant(add_channel(pixels)), tf.constant(labels)
        assign_weights(model, weights)
        before = measure_fn(*test_batch)
        _run_steps(step_fn, cohort[client_id])
        after = measure_fn(*test_batch)
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
    """Trains as a client of FedAvg does in a round: one step of SGD on each batch.

    Args:
        weights: Weights of the model that `create_fn` makes; they are not changed.
        batches: A client's batches `(images, labels)`, float32 (b, height, width, channels) and
            int32 (b,), as `fedlab.data.preprocessing` makes them.
        create_fn: A function that makes the Keras model.
        learning_rate: Step size of SGD, at least 0.

    Returns:
        The weights after the last step, as NumPy arrays.

    Raises:
        TypeError: An argument has another type.
        ValueError: The rate is negative, the batches have another structure or no end, or the
            weights belong to another model or are not finite.
    """
    learning_rate = check_number("learning_rate", learning_rate, at_least=0)
    _check_batches(batches)
    check_weights("weights", weights)
    model = assign_weights(check_create_fn(create_fn)(), weights)
    _run_steps(_build_step_fn(model, learning_rate, batches.element_spec), batches)
    return Weights(
        tuple(variable.numpy() for variable in model.trainable_weights),
        tuple(variable.numpy() for variable in model.non_trainable_weights),
    )


def _check_batches(batches: tf.data.Dataset) -> None:
    check_instance("batches", batches, tf.data.Dataset, "a tf.data.Dataset")
    spec = batches.element_spec
    if not isinstance(spec, tuple) or len(spec) != 2:
        raise ValueError(f"batches must be pairs (images, labels). Found {describe(spec)}.")
    if batches.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            "batches must be finite. Found a dataset without an end; leave out repeat()."
        )


def _run_steps(step_fn: Callable, batches: tf.data.Dataset) -> None:
    for images, labels in batches:
        step_fn(images, labels)


def _build_step_fn(model: tf.keras.Model, learning_rate: float, input_spec: InputSpec) -> Callable:
    """Returns a step of SGD on a batch, one graph for all clients, that changes `model`."""
    loss_fn = create_loss()

    @tf.function(input_signature=input_spec)
    def step(images, labels):
        with tf.GradientTape() as tape:
            loss = loss_fn(labels, model(images, training=True))
        variables = model.trainable_weights
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(learning_rate * gradient)

    return step


def _build_measure_fn(model: tf.keras.Model, input_spec: InputSpec) -> Callable:
    """Returns a function from a batch to accuracy and mean loss, one graph for all clients."""
    loss_fn = create_loss()

    @tf.function(input_signature=input_spec)
    def measure(images, labels):
        logits = model(images, training=False)
        is_right = tf.equal(tf.argmax(logits, axis=1, output_type=tf.int32), labels)
        return tf.reduce_mean(tf.cast(is_right, tf.float32)), loss_fn(labels, logits)

    return measure
