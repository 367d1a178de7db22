"""The objective and the search of gradient matching (Geiping et al. 2020), for `inversion.invert`."""

import functools
import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlab.models import (
    INPUT_SHAPE,
    CreateFn,
    build_functional_model,
    create_loss,
    restore_eager_keras,
)
from fedlab.runtime.local.map_reduce_form import Piece


@functools.lru_cache(maxsize=8)
def build_functions(
    create_fn: CreateFn, num_images: int, num_steps: int, batch_size: int | None
) -> tuple[Callable, Callable]:
    """Builds the client's training and the objective of the search.

    Args:
        create_fn: Creates the Keras model.
        num_images: Number of images in the client's data.
        num_steps: Number of the client's SGD steps.
        batch_size: Images per step. `None`: all images.

    Returns:
        Two functions of tensors:
        (*weights, images, labels, learning_rate) -> update, and (*weights, *unit_target, images, labels,
        learning_rate, tv_weight) -> value, gradient with respect to the images. Images are float32
        (num_images, 28, 28, 1), labels int32 (num_images,).
    """
    model = build_functional_model(create_fn)
    loss_fn = create_loss()
    batch_size = batch_size or num_images
    batches = [slice(start, start + batch_size) for start in range(0, num_images, batch_size)]
    spec = tff.to_type([(np.float32, np.shape(array)) for array in model.initial_weights[0]])
    images_spec = tff.TensorType(np.float32, (num_images, *INPUT_SHAPE))
    labels_spec = tff.TensorType(np.int32, (num_images,))

    def train(
        weights: list[tf.Tensor], images: tf.Tensor, labels: tf.Tensor, rate: tf.Tensor
    ) -> list[tf.Tensor]:
        # The client's SGD as one graph. Each new weight is a tensor that depends on the images, so the
        # update of several steps can be differentiated with respect to them.
        new = list(weights)
        for step in range(num_steps):
            rows = batches[step % len(batches)]
            logits = model.predict_on_batch((new, []), images[rows], training=True)
            gradients = tf.gradients(loss_fn(labels[rows], logits), new)
            new = [w - rate * gradient for w, gradient in zip(new, gradients, strict=True)]
        return [after - before for after, before in zip(new, weights, strict=True)]

    @tff.tensorflow.computation(spec, images_spec, labels_spec, np.float32)
    def simulate(weights, images, labels, rate):
        return train(list(weights), images, labels, rate)

    @tff.tensorflow.computation(spec, spec, images_spec, labels_spec, np.float32, np.float32)
    def objective(weights, unit_target, images, labels, rate, tv_weight):
        # Cosine distance: 1 - <delta, target> / (|delta| |target|), where the target has norm 1.
        # The small number keeps the division defined when no weight changes.
        delta = train(list(weights), images, labels, rate)
        products = [tf.reduce_sum(d * t) for d, t in zip(delta, list(unit_target), strict=True)]
        distance = 1 - tf.add_n(products) / (tf.linalg.global_norm(delta) + 1e-20)
        variation = tf.reduce_mean(tf.image.total_variation(images)) / math.prod(INPUT_SHAPE)
        value = distance + tv_weight * variation
        return value, tf.gradients(value, images)[0]

    # Tracing the two computations made Keras models inside graphs.
    restore_eager_keras()
    simulate_piece, objective_piece = map(Piece.from_computation, (simulate, objective))
    return simulate_piece.load(), objective_piece.load()


def minimize(
    value_and_gradient: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    start: np.ndarray,
    num_iterations: int,
) -> tuple[float, np.ndarray]:
    """Searches for the images with the lowest value of the objective, from a start.

    Args:
        value_and_gradient: Function of images, float32 (num_images, 28, 28, 1), to the objective and its
            gradient.
        start: float32 (num_images, 28, 28, 1) in [0, 1].
        num_iterations: Number of iterations.

    Returns:
        The lowest value that the search reaches, and the images that have it.
    """
    # The constraint projects the pixels back into [0, 1] after each step.
    point = tf.Variable(start, constraint=lambda images: tf.clip_by_value(images, 0.0, 1.0))
    schedule = tf.keras.optimizers.schedules.CosineDecay(0.1, num_iterations)
    optimizer = tf.keras.optimizers.Adam(schedule)
    best_value, best_images = np.inf, start
    for _ in range(num_iterations):
        value, gradient = value_and_gradient(point)
        if value < best_value:
            best_value, best_images = float(value), point.numpy()
        # Only the sign is used: the gradient's size varies by orders of magnitude during the search.
        optimizer.apply_gradients([(tf.sign(gradient), point)])
    return best_value, best_images
