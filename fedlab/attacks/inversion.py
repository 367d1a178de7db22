"""Reconstruction of a client's data from its update: its labels, its features and its images.

The attacker is a server that is honest but curious: it knows the model and how clients train, and it
follows the protocol. Clients train with plain SGD without momentum or dropout. After one step, the
gradient is -delta / learning_rate. After several steps, the same expression is a mean of gradients at
weights that change from step to step.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlab.attacks import gradient_matching
from fedlab.checks import (
    check_array,
    check_count,
    check_labels,
    check_list,
    check_number,
    check_pixels,
    check_seed,
)
from fedlab.data.elements import DIGIT_SHAPE
from fedlab.models import CreateFn, create_cnn
from fedlab.models.keras_to_tff import check_create_fn, check_weights
from fedlab.random_streams import random_stream

Weights: TypeAlias = tff.learning.models.ModelWeights
Arrays = Sequence[np.ndarray]


def model_delta(before: Weights, after: Weights) -> list[np.ndarray]:
    """Returns the change of the trainable weights in a round: the mean of the clients' updates.

    With a server learning rate of 1 and a cohort of one client, it is that client's update.

    Args:
        before: The model weights before the round.
        after: The model weights after it.

    Raises:
        TypeError: An argument is not `ModelWeights`.
        ValueError: The shapes differ, or a weight is not finite.
    """
    for name, weights in (("before", before), ("after", after)):
        check_weights(name, weights)
    shapes = [[np.shape(array) for array in each.trainable] for each in (before, after)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"before and after must be of one model. Found {shapes[0]} and {shapes[1]}."
        )
    return [
        np.asarray(new) - np.asarray(old)
        for old, new in zip(before.trainable, after.trainable, strict=True)
    ]


def infer_labels(
    bias_gradient: np.ndarray, num_images: int, *, mean_probabilities: np.ndarray | None = None
) -> np.ndarray:
    """Infers the labels of a batch from the gradient of the last layer's bias.

    With softmax outputs p and cross-entropy, this gradient is mean(p) - counts / num_images, where
    counts[c] is the number of images with label c. For one image, only the entry of its label is
    negative (iDLG, Zhao et al. 2020), for every model. For several images, each label with a negative
    entry is in the batch for certain. The other labels are estimated from the sizes of the entries
    (after Wainakh et al. 2022, LLG).

    Args:
        bias_gradient: float (num_classes,).
        num_images: Number of images in the batch, at least 1.
        mean_probabilities: float (num_classes,), the server's estimate of mean(p), for example the
            model's mean output for images of the server. Default: equal probabilities, which is
            nearly correct for an untrained model.

    Returns:
        int32 (num_images,), sorted. A label appears as often as it was counted.

    Raises:
        ValueError: The gradient is not a finite vector, or another argument does not fit it.
        TypeError: `num_images` is not a whole number.
    """
    gradient = check_array("bias_gradient", bias_gradient, (None,)).astype(np.float64)
    num_images = check_count("num_images", num_images)
    if mean_probabilities is None:
        mean_probabilities = np.full(len(gradient), 1 / len(gradient))
    mean_probabilities = check_array(
        "mean_probabilities", mean_probabilities, gradient.shape, at_least=0
    )
    counts = num_images * (np.asarray(mean_probabilities, np.float64) - gradient)
    # First the certain labels, once each; then always the label of which most images are missing.
    labels = list(np.argsort(gradient)[: min(num_images, np.sum(gradient < 0))])
    np.subtract.at(counts, labels, 1.0)
    while len(labels) < num_images:
        labels.append(int(counts.argmax()))
        counts[labels[-1]] -= 1.0
    return np.sort(np.array(labels, np.int32))


def dense_inputs(kernel_gradient: np.ndarray, bias_gradient: np.ndarray) -> np.ndarray:
    """Computes the inputs of a dense layer from its gradient, exactly: dW[:, j] / db[j].

    The gradient of the weights of unit j is input * db[j] (Phong et al. 2018, section 3). For one image,
    every row of the result is its input. For several images, a row is a weighted mean of the inputs of
    the images that activate the unit, and exactly one input where only one image activates it (Boenisch
    et al. 2023).

    Args:
        kernel_gradient: float (num_inputs, num_units).
        bias_gradient: float (num_units,).

    Returns:
        float (num_active, num_inputs), one row for each unit whose bias has a nonzero gradient, in the
        order of falling absolute gradients.

    Raises:
        ValueError: The shapes do not fit, or all bias gradients are zero.
    """
    kernel = check_array("kernel_gradient", kernel_gradient, (None, None))
    bias = check_array("bias_gradient", bias_gradient, (None,))
    if bias.shape != kernel.shape[1:]:
        raise ValueError(
            "kernel_gradient and bias_gradient must have the shapes (num_inputs, num_units) and "
            f"(num_units,) of one dense layer. Found {kernel.shape} and {bias.shape}."
        )
    strongest = np.argsort(-np.abs(bias))[: np.count_nonzero(bias)]
    if not len(strongest):
        raise ValueError("bias_gradient must have a nonzero entry. Found only zeros.")
    return (kernel[:, strongest] / bias[strongest]).T


def client_delta(
    weights: Weights,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    create_fn: CreateFn = create_cnn,
    learning_rate: float,
    num_steps: int = 1,
    batch_size: int | None = None,
) -> list[np.ndarray]:
    """Trains as a client does, with plain SGD, and returns the client's update.

    Args:
        weights: The model weights that the server broadcast.
        images: float32 (n, 28, 28).
        labels: int32 (n,).
        create_fn: Creates the Keras model to which the weights belong.
        learning_rate: The client's learning rate, above 0.
        num_steps: Number of SGD steps, at least 1. Step k takes the k-th batch, and begins again with the
            first batch after the last.
        batch_size: Images per step, at least 1. Default: all images.

    Returns:
        The changes of the weights, arrays in the order of `weights.trainable`.

    Raises:
        ValueError: A shape does not fit or a number is out of range.
        TypeError: An argument is not a number.
    """
    labels = check_labels("labels", labels, num_classes=_num_classes(weights)).astype(np.int32)
    images = check_pixels("images", images, (None, *DIGIT_SHAPE)).astype(np.float32)
    if len(images) != len(labels):
        raise ValueError(
            f"images and labels must be as many. Found {len(images)} and {len(labels)}."
        )
    check_create_fn(create_fn)
    learning_rate, num_steps, batch_size = _check_training(learning_rate, num_steps, batch_size)
    simulate, _ = gradient_matching.build_functions(create_fn, len(images), num_steps, batch_size)
    rate = np.float32(learning_rate)
    delta = simulate(*weights.trainable, images[..., np.newaxis], labels, rate)
    return [array.numpy() for array in delta]


def invert(
    delta: Arrays,
    weights: Weights,
    labels: np.ndarray,
    *,
    create_fn: CreateFn = create_cnn,
    learning_rate: float,
    num_steps: int = 1,
    batch_size: int | None = None,
    tv_weight: float = 0.2,
    num_iterations: int = 300,
    num_restarts: int = 1,
    seed: int = 0,
) -> np.ndarray:
    """Searches for the images that explain a client's update (gradient matching, Geiping et al. 2020).

    The search starts at random grey images. It minimises the cosine distance between the update that the
    candidate images would give and the client's update, plus the total variation of the images, which
    is small for smooth images. Each iteration applies the sign of the gradient with Adam. For several
    local steps, it differentiates through the client's whole training (section 5 of the paper). The sum
    of many clients' updates, as secure aggregation leaves it, is treated as one large batch with one
    step. The cosine distance does not depend on the length of the update, so clipping is no defence.

    Args:
        delta: The client's update, arrays in the order of `weights.trainable`.
        weights: The model weights that the server broadcast.
        labels: int (n,), the labels of the images, for example from `infer_labels`.
        create_fn: Creates the Keras model to which the weights belong.
        learning_rate: The client's learning rate, above 0.
        num_steps: Number of the client's SGD steps, at least 1. Time and memory grow with it.
        batch_size: Images per step, at least 1. Default: all images.
        tv_weight: Weight of the total variation per pixel, at least 0.
        num_iterations: Iterations of the search, at least 1.
        num_restarts: Number of searches from different starts, at least 1. The result with the lowest
            value is returned.
        seed: Seed of the starts.

    Returns:
        float32 (n, 28, 28) in [0, 1]. Images with the same label may be in any order;
        `fedlab.attacks.image_similarity.match` pairs them with the originals.

    Raises:
        ValueError: A number is out of range, or the update is zero, not finite or of another model.
        TypeError: An argument is not a number.
    """
    seed = check_seed(seed)
    learning_rate, num_steps, batch_size = _check_training(learning_rate, num_steps, batch_size)
    tv_weight = check_number("tv_weight", tv_weight, at_least=0)
    num_iterations = check_count("num_iterations", num_iterations)
    num_restarts = check_count("num_restarts", num_restarts)
    check_create_fn(create_fn)
    true_labels = check_labels("labels", labels, num_classes=_num_classes(weights)).astype(np.int32)
    delta = _check_delta(delta, weights.trainable)
    _, objective = gradient_matching.build_functions(
        create_fn, len(true_labels), num_steps, batch_size
    )
    fixed = [tf.constant(array, tf.float32) for array in (*weights.trainable, *_normalize(delta))]
    numbers = [tf.constant(number, tf.float32) for number in (learning_rate, tv_weight)]

    def value_and_gradient(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return objective(*fixed, images, tf.constant(true_labels), *numbers)

    results = []
    for restart in range(num_restarts):
        rng = random_stream("inversion: start", seed, restart)
        start = rng.uniform(size=(len(true_labels), *DIGIT_SHAPE, 1)).astype(np.float32)
        results.append(gradient_matching.minimize(value_and_gradient, start, num_iterations))
    _, images = min(results, key=lambda result: result[0])
    return images[..., 0]


def _normalize(delta: Arrays) -> list[tf.Tensor]:
    norm = tf.linalg.global_norm([tf.constant(array) for array in delta])
    return [array / norm for array in delta]


def _num_classes(weights: Weights) -> int:
    """Returns the length of the last layer's bias."""
    check_weights("weights", weights)
    shape = np.shape(weights.trainable[-1]) if len(weights.trainable) else ()
    if not shape:
        raise ValueError(f"weights must be of a model. Found {len(weights.trainable)} arrays.")
    return shape[-1]


def _check_training(
    learning_rate: float, num_steps: int, batch_size: int | None
) -> tuple[float, int, int | None]:
    return (
        check_number("learning_rate", learning_rate, above=0),
        check_count("num_steps", num_steps),
        None if batch_size is None else check_count("batch_size", batch_size),
    )


def _check_delta(delta: Arrays, weights: Arrays) -> Arrays:
    delta = check_list("delta", delta)
    delta_shapes, shapes = (
        [tuple(np.shape(array)) for array in arrays] for arrays in (delta, weights)
    )
    if delta_shapes != shapes:
        raise ValueError(
            f"delta must have the shapes of the model's weights, {shapes}. Found {delta_shapes}."
        )
    for array in delta:
        check_array("delta", array, np.shape(array), hint=" Leave this client out.")
    if not any(np.any(array) for array in delta):
        raise ValueError(
            "delta must not be zero, because a zero update says nothing about images. Found zeros."
        )
    return delta
