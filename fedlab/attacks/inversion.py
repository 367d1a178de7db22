"""What a server reads out of one client's update: its labels, its features, its images.

The server is honest but curious: it knows the model and how clients train, and only looks. Clients
train with plain SGD, without momentum or dropout; after one step the gradient is
-delta / learning_rate, after more that is a mean of gradients taken at weights that moved on.
"""

import functools
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlab.data.sampling import check_seed
from fedlab.models import (
    CreateFn,
    build_functional_model,
    create_cnn,
    create_loss,
    restore_eager_keras,
)
from fedlab.runtime.local.map_reduce_form import Piece

Weights = tff.learning.models.ModelWeights
Arrays = Sequence[np.ndarray]


def model_delta(before: Weights, after: Weights) -> list[np.ndarray]:
    """Returns how the trainable weights changed: what a client sends, or a round's mean of that.

    With a server learning rate of 1 and a cohort of one, a round's change is the client's update.
    """
    return [
        np.asarray(b) - np.asarray(a)
        for a, b in zip(before.trainable, after.trainable, strict=True)
    ]


def infer_labels(
    bias_gradient: np.ndarray, num_images: int, *, mean_probabilities: np.ndarray | None = None
) -> np.ndarray:
    """Reads the labels of a batch off the gradient of the last layer's bias.

    It is mean(p) - counts / num_images: the softmax's answers pull up, the true labels down. For
    one image only its label's entry is negative (iDLG, Zhao et al. 2020), whatever the model. For
    more, a label with a negative entry is in the batch for certain; the others are filled up by the
    size of the entries (after Wainakh et al. 2022, LLG), which is a guess.

    Args:
        bias_gradient: float (num_classes,).
        num_images: Images in the batch, at least 1.
        mean_probabilities: float (num_classes,): the server's guess of mean(p), such as the model's
            mean answer to images of its own. Default: all alike, which a fresh model's nearly is.

    Returns:
        int32 (num_images,), sorted; a label comes as often as it was counted.

    Raises:
        ValueError: The gradient is not a finite vector, or `num_images` is below 1.
    """
    gradient = np.asarray(bias_gradient, np.float64)
    if gradient.ndim != 1 or not np.isfinite(gradient).all():
        raise ValueError(
            f"bias_gradient must be a vector of finite numbers. Found shape {gradient.shape}; give "
            "the last trainable array of the update."
        )
    if num_images < 1:
        raise ValueError(f"num_images must be at least 1. Found {num_images}.")
    if mean_probabilities is None:
        mean_probabilities = np.full(len(gradient), 1 / len(gradient))
    if np.shape(mean_probabilities) != gradient.shape:
        raise ValueError(
            f"mean_probabilities must have one number per label, {len(gradient)}. "
            f"Found shape {np.shape(mean_probabilities)}."
        )
    expected = num_images * (np.asarray(mean_probabilities, np.float64) - gradient)
    labels = list(np.argsort(gradient)[: min(num_images, np.sum(gradient < 0))])
    np.subtract.at(expected, labels, 1.0)
    while len(labels) < num_images:
        labels.append(int(expected.argmax()))
        expected[labels[-1]] -= 1.0
    return np.sort(np.array(labels, np.int32))


def dense_inputs(kernel_gradient: np.ndarray, bias_gradient: np.ndarray) -> np.ndarray:
    """Reads the inputs of a dense layer off its gradient, exactly: dW[:, j] / db[j].

    A unit's weights have the gradient input * db[j] (Phong et al. 2018, section 3). For one image
    all rows are its input; for more, a row is a mix of the inputs of those images for which the
    unit is active, and one image alone where no other activates it (Boenisch et al. 2023).

    Args:
        kernel_gradient: float (num_inputs, num_units).
        bias_gradient: float (num_units,).

    Returns:
        float (num_active, num_inputs): one row for each unit whose bias has a gradient, the
        strongest first.

    Raises:
        ValueError: The shapes do not fit, or no unit has a gradient.
    """
    kernel, bias = np.asarray(kernel_gradient), np.asarray(bias_gradient)
    if kernel.ndim != 2 or bias.shape != kernel.shape[1:]:
        raise ValueError(
            "kernel_gradient and bias_gradient must be of one dense layer, (num_inputs, num_units) "
            f"and (num_units,). Found {kernel.shape} and {bias.shape}."
        )
    strongest = np.argsort(-np.abs(bias))[: np.count_nonzero(bias)]
    if not len(strongest):
        raise ValueError("No unit of this layer has a gradient: there is nothing to divide by.")
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
    """Trains as a client does, with plain SGD, and returns its update.

    Args:
        weights: What the server broadcast; of the model that `create_fn` makes.
        images: float32 (n, 28, 28).
        labels: int32 (n,).
        create_fn: Makes the Keras model.
        learning_rate: The client's, above 0.
        num_steps: SGD steps. Step k takes the k-th batch, from the first again after the last.
        batch_size: Images a step. Default: all.

    Returns:
        Arrays in the order of `weights.trainable`.

    Raises:
        ValueError: A number is out of range.
    """
    images, labels = np.asarray(images, np.float32), np.asarray(labels, np.int32)
    if images.shape != (len(labels), 28, 28) or not len(labels):
        raise ValueError(
            "images must be (n, 28, 28), one label each. "
            f"Found {images.shape} and {len(labels)} labels."
        )
    _check_numbers(learning_rate=learning_rate, num_steps=num_steps, batch_size=batch_size)
    simulate, _ = _build_functions(create_fn, len(images), num_steps, batch_size)
    rate = np.float32(learning_rate)
    delta = simulate(*weights.trainable, images[..., np.newaxis], labels, rate)
    return [one.numpy() for one in delta]


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
    """Looks for images with which a client would have sent this update (Geiping et al. 2020).

    From random greys on, signed gradient steps of Adam lower the cosine distance between the update
    that the images would give and the one that was sent, plus total variation, which prefers smooth
    pictures. For several local steps the whole training is differentiated (their section 5). The
    sum of many clients, as secure aggregation leaves it, is one large batch where each took one
    step. The cosine does not see an update's length: clipping changes nothing.

    Args:
        delta: The client's update, in the order of `weights.trainable`.
        weights: What the server broadcast; of the model that `create_fn` makes.
        labels: int (n,): of the images sought, as from `infer_labels`.
        create_fn: Makes the Keras model.
        learning_rate: The client's, above 0.
        num_steps: SGD steps that the client took; time and memory grow with it.
        batch_size: Images a step. Default: all.
        tv_weight: Weight of the total variation per pixel, at least 0.
        num_iterations: Steps of the search, at least 1.
        num_restarts: Searches from other greys; the one that ends lowest is kept.
        seed: Seed of the greys.

    Returns:
        float32 (n, 28, 28) in [0, 1], in an order of its own wherever labels repeat: see
        `fedlab.attacks.image_similarity.match`.

    Raises:
        ValueError: A number is out of range, or the update is zero, not finite or another model's.
    """
    check_seed(seed)
    _check_numbers(learning_rate=learning_rate, num_steps=num_steps, batch_size=batch_size)
    _check_numbers(num_iterations=num_iterations, num_restarts=num_restarts)
    _check_delta(delta, weights.trainable)
    if not tv_weight >= 0:
        raise ValueError(f"tv_weight must be at least 0. Found {tv_weight}.")
    labels = tf.constant(labels, tf.int32)
    if labels.shape.rank != 1 or not len(labels):
        raise ValueError(f"labels must be a vector of at least one label. Found {labels.shape}.")
    _, objective = _build_functions(create_fn, len(labels), num_steps, batch_size)
    fixed = [tf.constant(one, tf.float32) for one in (*weights.trainable, *_normalize(delta))]
    numbers = [tf.constant(one, tf.float32) for one in (learning_rate, tv_weight)]

    def value_and_gradient(images):
        return objective(*fixed, images, labels, *numbers)

    found = []
    for restart in range(num_restarts):
        rng = np.random.default_rng([seed, restart])
        start = rng.uniform(size=(len(labels), 28, 28, 1)).astype(np.float32)
        found.append(_minimize(value_and_gradient, start, num_iterations))
    return min(found, key=lambda one: one[0])[1][..., 0]


@functools.lru_cache(maxsize=8)
def _build_functions(
    create_fn: CreateFn, num_images: int, num_steps: int, batch_size: int | None
) -> tuple[Callable, Callable]:
    """Returns the client's training, and the value and gradient of the search, on flat tensors."""
    model = build_functional_model(create_fn)
    loss_fn = create_loss()
    batch_size = batch_size or num_images
    batches = [slice(k, k + batch_size) for k in range(0, num_images, batch_size)]
    spec = tff.to_type([(np.float32, np.shape(one)) for one in model.initial_weights[0]])
    images_spec = tff.TensorType(np.float32, (num_images, 28, 28, 1))
    labels_spec = tff.TensorType(np.int32, (num_images,))

    def train(weights, images, labels, rate):
        new = list(weights)
        for step in range(num_steps):
            rows = batches[step % len(batches)]
            logits = model.predict_on_batch((new, []), images[rows], training=True)
            gradients = tf.gradients(loss_fn(labels[rows], logits), new)
            new = [weight - rate * one for weight, one in zip(new, gradients, strict=True)]
        return [after - before for after, before in zip(new, weights, strict=True)]

    @tff.tensorflow.computation(spec, images_spec, labels_spec, np.float32)
    def simulate(weights, images, labels, rate):
        return train(list(weights), images, labels, rate)

    @tff.tensorflow.computation(spec, spec, images_spec, labels_spec, np.float32, np.float32)
    def objective(weights, unit_target, images, labels, rate, tv_weight):
        delta = train(list(weights), images, labels, rate)
        dot = tf.add_n(
            [tf.reduce_sum(a * b) for a, b in zip(delta, list(unit_target), strict=True)]
        )
        variation = tf.reduce_mean(tf.image.total_variation(images)) / (28 * 28)
        value = 1 - dot / (tf.linalg.global_norm(delta) + 1e-20) + tv_weight * variation
        return value, tf.gradients(value, images)[0]

    restore_eager_keras()  # the computations have made models inside graphs
    return tuple(Piece.from_computation(one).load() for one in (simulate, objective))


def _minimize(value_and_gradient, start: np.ndarray, num_iterations: int):
    """Returns the lowest value met, and where; every number stays in [0, 1]."""
    point = tf.Variable(start, constraint=lambda images: tf.clip_by_value(images, 0.0, 1.0))
    schedule = tf.keras.optimizers.schedules.CosineDecay(0.1, num_iterations)
    optimizer = tf.keras.optimizers.Adam(schedule)
    best = np.inf, start
    for _ in range(num_iterations):
        value, gradient = value_and_gradient(point)
        if value < best[0]:
            best = float(value), point.numpy()
        optimizer.apply_gradients([(tf.sign(gradient), point)])
    return best


def _normalize(delta: Arrays) -> list[tf.Tensor]:
    norm = tf.linalg.global_norm([tf.constant(one) for one in delta])
    return [one / norm for one in delta]


def _check_numbers(**numbers: float | None) -> None:
    for name, value in numbers.items():
        if name == "learning_rate" and not value > 0:
            raise ValueError(f"learning_rate must be above 0. Found {value}.")
        if name != "learning_rate" and value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1. Found {value}.")


def _check_delta(delta: Arrays, weights: Arrays) -> None:
    found, shapes = ([tuple(np.shape(one)) for one in arrays] for arrays in (delta, weights))
    if found != shapes:
        raise ValueError(f"This update is another model's: shapes {found}. The model has {shapes}.")
    if not all(np.isfinite(one).all() for one in delta):
        raise ValueError("The update is not finite. Leave this client out.")
    if not any(np.any(one) for one in delta):
        raise ValueError("The update is zero: it holds nothing to match.")
