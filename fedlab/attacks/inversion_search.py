"""The search of model inversion without a gradient, for `fedlab.attacks.model_inversion`."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import scipy.ndimage

from fedlab.data.elements import DIGIT_SHAPE
from fedlab.random_streams import random_stream

RewardFn: TypeAlias = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]
GREY = 0.5
_MOMENTUM = 0.5
_NOISE = 0.2  # of the directions, in grey levels
_START_NOISE = 0.5


def search(
    knowledge: str,
    reward_fn: RewardFn,
    start: np.ndarray,
    label: int,
    place: int,
    *,
    num_iterations: int,
    num_directions: int,
    step: float,
    seed: int,
) -> tuple[np.ndarray, float, int]:
    """Searches for an image of one label by natural evolution strategies.

    Args:
        knowledge: "confidences" or "labels".
        reward_fn: A function from images, float32 (m, 28, 28), and the label to their rewards and their
            confidences, each float64 (m,).
        start: float (28, 28) in [0, 1].
        label: The label.
        place: The place of the label among those that are looked for.
        num_iterations: Number of steps.
        num_directions: Number of pairs of queries in a step.
        step: Largest change of a pixel in a step.
        seed: Seed of the directions.

    Returns:
        The image, float32 (28, 28), its confidence and the number of queries.
    """
    rng = random_stream("model inversion: directions", seed, place, knowledge)
    image, momentum = start.astype(np.float32), np.zeros(DIGIT_SHAPE)
    best, best_confidence = image, -1.0
    for _ in range(num_iterations):
        directions = _smooth(rng, num_directions, 1.0)
        signed = np.concatenate([directions, -directions])
        queries = np.clip(image + _NOISE * signed, 0, 1).astype(np.float32)
        rewards, confidences = reward_fn(queries, label)
        first = int(confidences.argmax())
        if knowledge == "labels":
            best, best_confidence = image, float(confidences[0])
        elif confidences[first] > best_confidence:
            best, best_confidence = queries[first], float(confidences[first])
        estimate = np.tensordot(rewards - rewards.mean(), signed, 1)
        momentum = _MOMENTUM * momentum + estimate
        image = move(image[None], momentum[None], step)[0]
    return best, best_confidence, 2 * num_directions * num_iterations


def find_start(
    reward_fn: RewardFn,
    label: int,
    place: int,
    *,
    num_iterations: int,
    num_directions: int,
    step: float,
    seed: int,
) -> tuple[np.ndarray | None, int]:
    """Draws random images until one gets the label.

    Args:
        reward_fn: As in `search`; the reward is 1 for the label and 0 for another.
        label: The label.
        place: The place of the label among those that are looked for.
        num_iterations: Largest number of batches of queries.
        num_directions: Half the number of images in a batch.
        step: Not used here; the settings are those of `search`.
        seed: Seed of the images.

    Returns:
        The image, float32 (28, 28), or None where no image got the label, and the number of queries.
    """
    rng = random_stream("model inversion: starts", seed, place)
    size = 2 * num_directions
    for number in range(num_iterations):
        images = draw_starts(rng, size)
        is_label, _ = reward_fn(images, label)
        if is_label.any():
            return images[int(is_label.argmax())], size * (number + 1)
    return None, size * num_iterations


def draw_starts(rng: np.random.Generator, num_images: int) -> np.ndarray:
    """Draws random smooth images: float32 (num_images, 28, 28) in [0, 1].

    Args:
        rng: Where they are drawn from.
        num_images: Number of images.
    """
    return np.clip(GREY + _START_NOISE * _smooth(rng, num_images, 2.0), 0, 1).astype(np.float32)


def _smooth(rng: np.random.Generator, num_images: int, width: float) -> np.ndarray:
    """Draws smooth noise with standard deviation 1 in each image: float (num_images, 28, 28)."""
    noise = rng.standard_normal((num_images, *DIGIT_SHAPE))
    noise = scipy.ndimage.gaussian_filter(noise, (0, width, width), mode="wrap")
    return noise / noise.std(axis=(1, 2), keepdims=True)


def move(images: np.ndarray, gradient: np.ndarray, step: float) -> np.ndarray:
    """Returns images after a step along a gradient, with pixels in [0, 1].

    Args:
        images: float32 (n, 28, 28).
        gradient: float (n, 28, 28); each is divided by its largest absolute entry.
        step: Largest change of a pixel.
    """
    largest = np.abs(gradient).max(axis=(1, 2), keepdims=True)
    scaled = np.divide(gradient, largest, out=np.zeros_like(gradient), where=largest > 0)
    return np.clip(images + step * scaled, 0, 1).astype(np.float32)
