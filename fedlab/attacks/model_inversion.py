"""Model inversion: an image that a classifier takes for a class, from its outputs alone.

The attacker has a trained classifier: as weights (white box), or as a service that answers queries with
confidences, or with labels alone (black box). It has no client's data and no update. It searches for an
image of which the model is surest that it belongs to a class (Fredrikson, Jha and Ristenpart 2015,
"Model Inversion Attacks that Exploit Confidence Information and Basic Countermeasures", CCS).

The result shows what is typical of a class for the model. It is no record of the training data: where
a class is one person, as in the paper's faces, that is a picture of the person; where a class is a digit
of many writers, it is nobody's digit. `fedlab.attacks.image_similarity.score` compares it with digits of
the training data and with digits that the model never saw. Whether single records were memorised is
another question (`fedlab.attacks.membership`).
"""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_federated as tff

from fedlab.attacks import inversion_search
from fedlab.checks import (
    check_array,
    check_callable,
    check_count,
    check_labels,
    check_number,
    check_seed,
    describe,
)
from fedlab.data.elements import DIGIT_SHAPE
from fedlab.models import CreateFn, assign_weights, create_cnn
from fedlab.models.keras_to_tff import check_create_fn, check_weights
from fedlab.random_streams import random_stream

Weights: TypeAlias = tff.learning.models.ModelWeights
QueryFn: TypeAlias = Callable[[np.ndarray], npt.ArrayLike]
_SMALLEST = 1e-12  # of a confidence in a logarithm


@dataclasses.dataclass(frozen=True)
class InvertedClasses:
    """The images that an inversion found, one for each label.

    Attributes:
        images: float32 (n, 28, 28) in [0, 1].
        confidence: float64 (n,) in [0, 1]. With confidences, the model's own for the label; with labels
            alone, the share of the last queries, noisy copies of the image, that got the label.
        num_queries: Number of images in all queries, for all labels together.
    """

    images: np.ndarray
    confidence: np.ndarray
    num_queries: int


def by_gradient(
    weights: Weights,
    labels: npt.ArrayLike,
    *,
    create_fn: CreateFn = create_cnn,
    num_iterations: int = 200,
    step: float = 0.05,
    seed: int = 0,
) -> InvertedClasses:
    """Follows the gradient of the confidence with respect to the image: the white box of the paper.

    Each step moves the image by `step` times the gradient of the log confidence, divided by the largest
    absolute entry of the gradient, and pixels stay in [0, 1]. Where the gradient is 0, as where no unit
    of a layer of ReLUs is active, the search goes on from a random smooth image. The image with the
    largest confidence is returned. The paper's attack on faces follows the gradient, too; its
    processing of the image between steps is left out.

    Args:
        weights: The weights of a model that gives logits, float32 (n, num_classes).
        labels: int (n,), at least one label; the classes to look for. A label may appear again.
        create_fn: Creates the Keras model to which the weights belong.
        num_iterations: Number of steps, at least 1. Each is one query for each label.
        step: Largest change of a pixel in a step, in grey levels, above 0 and at most 1.
        seed: Seed of the starts, which are grey with a little noise, at least 0.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: A number is out of range, or the weights are of another model.
    """
    check_weights("weights", weights)
    model = assign_weights(check_create_fn(create_fn)(), weights)
    wanted = check_labels("labels", labels, num_classes=np.shape(weights.trainable[-1])[-1])
    num_iterations = check_count("num_iterations", num_iterations)
    step = check_number("step", step, above=0, at_most=1)
    seed = check_seed(seed)
    rngs = [random_stream("model inversion: gradient", seed, place) for place in range(len(wanted))]
    noise = np.stack([rng.standard_normal(DIGIT_SHAPE) for rng in rngs])
    images = np.clip(inversion_search.GREY + 0.01 * noise, 0, 1).astype(np.float32)
    best, confidence = images, np.full(len(wanted), -1.0)
    for _ in range(num_iterations):
        current, gradient = _value_and_gradient(model, images, wanted)
        is_better = current > confidence
        best = np.where(is_better[:, None, None], images, best)
        confidence = np.where(is_better, current, confidence)
        images = inversion_search.move(images, gradient, step)
        for place in np.flatnonzero(~gradient.any(axis=(1, 2))):
            images[place] = inversion_search.draw_starts(rngs[place], 1)[0]
    return InvertedClasses(best, confidence, num_iterations * len(wanted))


def from_confidences(
    query_fn: QueryFn,
    labels: npt.ArrayLike,
    *,
    num_iterations: int = 100,
    num_directions: int = 25,
    step: float = 0.1,
    seed: int = 0,
) -> InvertedClasses:
    """Searches with the confidences that a service answers, without a gradient (black box).

    In each iteration the attacker queries pairs of images, the current one plus and minus a smooth
    random direction. Their differences of the log confidence estimate the gradient (natural evolution
    strategies with antithetic sampling, Ilyas et al. 2018), in place of a finite difference
    for each pixel. The image queried with the largest confidence is returned.

    Args:
        query_fn: A function from images, float32 (m, 28, 28) in [0, 1], to their confidences,
            float (m, num_classes) in [0, 1].
        labels: int (n,), at least one label, the classes to look for.
        num_iterations: Number of steps, at least 1.
        num_directions: Number of directions in an iteration, at least 1; each is two queries.
        step: Largest change of a pixel in a step, in grey levels, above 0 and at most 1.
        seed: Seed of the directions, at least 0.

    Raises:
        TypeError: An argument has the wrong type, or the answers are no numbers.
        ValueError: A number is out of range, or the answers have another shape or are out of [0, 1].
    """
    check_callable("query_fn", query_fn)
    wanted, options = _check_search(labels, num_iterations, num_directions, step, seed)

    def reward_fn(images: np.ndarray, label: int) -> tuple[np.ndarray, np.ndarray]:
        answer = check_array(
            "the answer of query_fn", query_fn(images), (len(images), None), at_least=0, at_most=1
        )
        confidence = _take(answer, label)
        return np.log(np.maximum(confidence, _SMALLEST)), confidence

    results = [
        inversion_search.search(
            "confidences",
            reward_fn,
            np.full(DIGIT_SHAPE, inversion_search.GREY),
            label,
            place,
            **options,
        )
        for place, label in enumerate(wanted)
    ]
    images, confidence, num_queries = zip(*results, strict=True)
    return InvertedClasses(np.stack(images), np.array(confidence), sum(num_queries))


def from_labels(
    query_fn: QueryFn,
    labels: npt.ArrayLike,
    *,
    num_iterations: int = 100,
    num_directions: int = 25,
    step: float = 0.1,
    seed: int = 0,
) -> InvertedClasses:
    """Searches with nothing but the label that a service answers for each image (black box).

    It is the search of `from_confidences` with the answer 1 for the label that is looked for and 0 for
    any other, so an image is the better, the more of its noisy copies get the label (compare Kahla et
    al. 2022, who use copies at a distance). The start is the first of at most
    `num_iterations * 2 * num_directions` random smooth images that gets the label. If none does, the
    attack has failed: the image is grey, and its confidence is 0.

    Args:
        query_fn: A function from images, float32 (m, 28, 28) in [0, 1], to their labels, int (m,).
        labels: int (n,), at least one label, the classes to look for.
        num_iterations: Number of steps, at least 1.
        num_directions: Number of directions in an iteration, at least 1; each is two queries.
        step: Largest change of a pixel in a step, in grey levels, above 0 and at most 1.
        seed: Seed of the starts and of the directions, at least 0.

    Raises:
        TypeError: An argument has the wrong type, or the answers are no numbers.
        ValueError: A number is out of range, or the answers are no labels of the images.
    """
    check_callable("query_fn", query_fn)
    wanted, options = _check_search(labels, num_iterations, num_directions, step, seed)

    def reward_fn(images: np.ndarray, label: int) -> tuple[np.ndarray, np.ndarray]:
        answer = check_labels("the answer of query_fn", query_fn(images))
        if len(answer) != len(images):
            raise ValueError(
                f"query_fn must answer one label for each of {len(images)} images. "
                f"Found {len(answer)}."
            )
        is_label = (answer == label).astype(np.float64)
        return is_label, np.full(len(images), is_label.mean())

    results = []
    for place, label in enumerate(wanted):
        start, num_queries = inversion_search.find_start(reward_fn, label, place, **options)
        if start is None:
            results.append(
                (np.full(DIGIT_SHAPE, inversion_search.GREY, np.float32), 0.0, num_queries)
            )
            continue
        image, confidence, more = inversion_search.search(
            "labels", reward_fn, start, label, place, **options
        )
        results.append((image, confidence, num_queries + more))
    images, shares, numbers = zip(*results, strict=True)
    return InvertedClasses(np.stack(images), np.array(shares), sum(numbers))


def _check_search(
    labels: Any, num_iterations: Any, num_directions: Any, step: Any, seed: Any
) -> tuple[list[int], dict[str, Any]]:
    options = {
        "num_iterations": check_count("num_iterations", num_iterations),
        "num_directions": check_count("num_directions", num_directions),
        "step": check_number("step", step, above=0, at_most=1),
        "seed": check_seed(seed),
    }
    wanted = [int(each) for each in check_labels("labels", labels)]
    if min(wanted) < 0:
        raise ValueError(f"labels must be classes of the model, from 0 on. Found {min(wanted)}.")
    return wanted, options


def _take(answer: np.ndarray, label: int) -> np.ndarray:
    if label >= answer.shape[1]:
        raise ValueError(
            f"labels must be classes of the model, below {answer.shape[1]}. Found {describe(label)}."
        )
    return answer[:, label].astype(np.float64)


def _value_and_gradient(
    model: tf.keras.Model, images: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the confidences in the labels, float (n,), and gradients of their logarithms."""
    batch = tf.constant(images[..., np.newaxis])
    with tf.GradientTape() as tape:
        tape.watch(batch)
        chosen = tf.gather(
            tf.nn.log_softmax(model(batch, training=False)), labels.astype(np.int32), batch_dims=1
        )
    gradient = tape.gradient(chosen, batch)
    return np.exp(chosen.numpy().astype(np.float64)), gradient.numpy()[..., 0]
