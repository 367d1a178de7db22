"""Random changes of a client's images, drawn anew in every epoch.

The argument `augmentation` of `fedlab.data.preprocessing.Preprocessing` takes the name of a function
of this module, or another function with the same parameters and result. Such a function is pure:
the same images and seed give the same result.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import tensorflow as tf

from fedlab import _tensorflow as _tensorflow
from fedlab.checks import check_choice

AugmentFn: TypeAlias = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
BACKGROUND = 1.0
MAX_BRIGHTNESS_CHANGE = 0.1
MAX_SHIFT = 2  # pixels, up or down, left or right
MAX_ROTATION = 12.0  # degrees
MAX_ZOOM = 0.1


def mirror(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mirrors each image, left to right, with probability 1/2, as the article suggests.

    This suits photographs. It does not suit digits: nobody writes a mirrored 2, which looks almost
    like a 5.

    Args:
        images: float32 (n, height, width, channels).
        seed: Seed of the draws, an integer tensor (2,).

    Returns:
        The images, of the same shape and dtype.
    """
    is_mirrored = _uniform(images, seed) < 0.5
    return tf.where(is_mirrored[:, tf.newaxis, tf.newaxis], tf.reverse(images, [2]), images)


def brightness(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Makes each image darker or brighter by up to 0.1, as the article suggests.

    One number is added to all pixels of an image. As in the article nothing is clipped, so white
    paper can become brighter than 1, and black ink darker than 0.

    Args:
        images: float32 (n, height, width, channels) in [0, 1].
        seed: Seed of the draws, an integer tensor (2,).

    Returns:
        The images, of the same shape and dtype, in [-0.1, 1.1].
    """
    return images + _uniform(images, seed, MAX_BRIGHTNESS_CHANGE)[:, tf.newaxis, tf.newaxis]


def mirror_and_brightness(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Applies `mirror` and then `brightness`, as the article's code does.

    Args:
        images: float32 (n, height, width, channels) in [0, 1].
        seed: Seed of the draws, an integer tensor (2,).

    Returns:
        The images, of the same shape and dtype, in [-0.1, 1.1].
    """
    seeds = tf.random.experimental.stateless_split(seed, 2)
    return brightness(mirror(images, seeds[0]), seeds[1])


def shift(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Moves each image by up to 2 whole pixels in each direction, and fills with the background.

    Args:
        images: float32 (n, height, width, channels) with background 1.0.
        seed: Seed of the draws, an integer tensor (2,).

    Returns:
        The images, of the same shape and dtype.
    """
    draws = _uniform(images, seed, MAX_SHIFT + 0.5, num_draws=2)
    right, down = tf.unstack(tf.round(draws), axis=1)
    scale, zero = tf.ones_like(right), tf.zeros_like(right)
    return _warp(images, (scale, zero, -right), (zero, scale, -down))


def affine(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Rotates (by up to 12 degrees), zooms (0.9 to 1.1) and moves (up to 2 pixels) each image.

    The rotation and the zoom are about the image's center, with bilinear interpolation. The changes
    are so small that a digit remains the same digit.

    Args:
        images: float32 (n, height, width, channels) with background 1.0.
        seed: Seed of the draws, an integer tensor (2,).

    Returns:
        The images, of the same shape and dtype.
    """
    angle, zoom, right, down = tf.unstack(_uniform(images, seed, 1.0, num_draws=4), axis=1)
    angle, zoom = angle * math.radians(MAX_ROTATION), 1 + zoom * MAX_ZOOM
    cos, sin = tf.cos(angle) / zoom, tf.sin(angle) / zoom
    center_x, center_y = (images.shape[2] - 1) / 2, (images.shape[1] - 1) / 2
    x, y = center_x + MAX_SHIFT * right, center_y + MAX_SHIFT * down  # of the moved center
    return _warp(
        images,
        (cos, sin, center_x - cos * x - sin * y),
        (-sin, cos, center_y + sin * x - cos * y),
    )


AUGMENTATIONS: dict[str, AugmentFn] = {
    function.__name__: function
    for function in (mirror, brightness, mirror_and_brightness, shift, affine)
}


def get_augmentation(augmentation: str | AugmentFn) -> AugmentFn:
    """Returns the function with a name, or the function itself.

    Args:
        augmentation: A key of `AUGMENTATIONS`, or a function from images and seed to images.

    Raises:
        ValueError: The name is not a key of `AUGMENTATIONS`.
    """
    if callable(augmentation):
        return augmentation
    return AUGMENTATIONS[check_choice("augmentation", augmentation, AUGMENTATIONS)]


def _uniform(
    images: tf.Tensor, seed: tf.Tensor, limit: float | None = None, *, num_draws: int = 1
) -> tf.Tensor:
    """Draws float32 (n, num_draws) in [-limit, limit), or in [0, 1)."""
    bounds = (0.0, 1.0) if limit is None else (-limit, limit)
    shape = (tf.shape(images)[0], num_draws)
    return tf.random.stateless_uniform(shape, seed, *bounds)


def _warp(images: tf.Tensor, row_x: tuple, row_y: tuple) -> tf.Tensor:
    """Reads each pixel (x, y) at `(a x + b y + c, d x + e y + f)`; outside is background.

    Args:
        images: float32 (n, height, width, channels).
        row_x: The coefficients (a, b, c), each float32 (n,).
        row_y: The coefficients (d, e, f), each float32 (n,).
    """
    zero = tf.zeros_like(row_x[0])
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([*row_x, *row_y, zero, zero], axis=1),
        output_shape=images.shape[1:3],
        fill_value=BACKGROUND,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
