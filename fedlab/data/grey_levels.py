"""Images of at most 256 grey levels, kept in a quarter of the memory without loss."""

from typing import NamedTuple

import numpy as np

_NUM_LEVELS = 256


class GreyLevels(NamedTuple):
    """Images as bytes, and what each byte stands for.

    Attributes:
        levels: uint8 (n, height, width) or (n, height, width, channels).
        palette: float32 (256,): the value of each level, in [0, 1].
    """

    levels: np.ndarray
    palette: np.ndarray

    def expand(self) -> np.ndarray:
        """Returns the images, float32 of the shape of `levels`, bit for bit what they were."""
        return np.take(self.palette, self.levels, mode="clip")  # nothing to clip: it is the fastest


def compress(pixels: np.ndarray) -> GreyLevels | None:
    """Returns images as bytes if this loses nothing.

    It loses nothing of images that were bytes and were divided by 255, as those of MNIST and
    Federated EMNIST (LEAF, Caldas et al. 2018, `data/femnist/preprocess/data_to_json.py`).

    Args:
        pixels: float32 (n, height, width) or (n, height, width, channels) in [0, 1].

    Returns:
        The bytes, or None if two different values lie so close together that one byte would have to
        stand for both.
    """
    levels = np.rint(pixels * (_NUM_LEVELS - 1)).astype(np.uint8)
    palette = np.zeros(_NUM_LEVELS, np.float32)
    palette[levels] = pixels
    compressed = GreyLevels(levels, palette)
    # As bits: -0.0 equals 0.0, and is another value.
    is_same = np.array_equal(compressed.expand().view(np.uint32), pixels.view(np.uint32))
    return compressed if is_same else None
