"""Other versions of a client's images, drawn anew in every epoch.

Every function here is pure: images float32 (n, 28, 28, 1) in [0, 1], paper 1.0 and ink 0.0, and a
seed, an integer tensor (2,); to images of the same shape. Each image gets a draw of its own. Give
one of the names, or such a function of your own, to `Preprocessing(augmentation=…)`.
"""

import math
from collections.abc import Callable

import tensorflow as tf

from fedlab import _tensorflow as _tensorflow

AugmentFn = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
PAPER = 1.0
MAX_BRIGHTNESS_CHANGE = 0.1
MAX_SHIFT = 2  # pixels, up or down, left or right
MAX_ROTATION = 12.0  # degrees
MAX_ZOOM = 0.1


def mirror(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Turns every other image, on average, left to right, as the article suggests.

    Right for cats, wrong for digits: nobody writes a 2 like this, and a mirrored 2 is nearly a 5.
    """
    is_mirrored = _uniform(images, seed) < 0.5
    return tf.where(is_mirrored[:, tf.newaxis, tf.newaxis], tf.reverse(images, [2]), images)


def brightness(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Makes each image darker or brighter by up to 0.1, as the article suggests; cut to [0, 1]."""
    change = _uniform(images, seed, MAX_BRIGHTNESS_CHANGE)[:, tf.newaxis, tf.newaxis]
    return tf.clip_by_value(images + change, 0.0, 1.0)


def mirror_and_brightness(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Does both, as the article's code does."""
    seeds = tf.random.experimental.stateless_split(seed, 2)
    return brightness(mirror(images, seeds[0]), seeds[1])


def shift(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Moves each image by up to 2 whole pixels each way; what comes in is paper."""
    draws = _uniform(images, seed, MAX_SHIFT + 0.5, num_draws=2)
    right, down = tf.unstack(tf.round(draws), axis=1)
    one, zero = tf.ones_like(right), tf.zeros_like(right)
    return _warp(images, (one, zero, -right), (zero, one, -down))


def affine(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Turns (up to 12 degrees), zooms (0.9 to 1.1) and moves (up to 2 pixels) each image.

    About its middle, by bilinear interpolation. Small enough for a digit to stay what it is.
    """
    angle, zoom, right, down = tf.unstack(_uniform(images, seed, 1.0, num_draws=4), axis=1)
    angle, zoom = angle * math.radians(MAX_ROTATION), 1 + zoom * MAX_ZOOM
    cos, sin = tf.cos(angle) / zoom, tf.sin(angle) / zoom
    middle = (images.shape[1] - 1) / 2
    x, y = middle + MAX_SHIFT * right, middle + MAX_SHIFT * down  # where the middle goes
    return _warp(
        images,
        (cos, sin, middle - cos * x - sin * y),
        (-sin, cos, middle + sin * x - cos * y),
    )


AUGMENTATIONS: dict[str, AugmentFn] = {
    function.__name__: function
    for function in (mirror, brightness, mirror_and_brightness, shift, affine)
}


def get_augmentation(augmentation: str | AugmentFn) -> AugmentFn:
    """Returns the function of that name, or the function given.

    Raises:
        ValueError: There is none of that name.
    """
    if callable(augmentation):
        return augmentation
    if augmentation not in AUGMENTATIONS:
        raise ValueError(
            f"augmentation must be None, a function or one of {', '.join(AUGMENTATIONS)}. "
            f"Found {augmentation!r}."
        )
    return AUGMENTATIONS[augmentation]


def _uniform(
    images: tf.Tensor, seed: tf.Tensor, limit: float | None = None, *, num_draws: int = 1
) -> tf.Tensor:
    """Draws float32 (n, num_draws) in [-limit, limit), or in [0, 1)."""
    bounds = (0.0, 1.0) if limit is None else (-limit, limit)
    shape = (tf.shape(images)[0], num_draws)
    return tf.random.stateless_uniform(shape, seed, *bounds)


def _warp(images: tf.Tensor, row_x: tuple, row_y: tuple) -> tf.Tensor:
    """Looks up each pixel (x, y) at `(a x + b y + c, d x + e y + f)`; outside lies paper."""
    zero = tf.zeros_like(row_x[0])
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([*row_x, *row_y, zero, zero], axis=1),
        output_shape=images.shape[1:3],
        fill_value=PAPER,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
