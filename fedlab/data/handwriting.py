"""Fixed changes of the size, the place and the strokes of handwritten digits.

MNIST's digits are cut out, scaled to 20 pixels and centred. LEAF's preparation of Federated EMNIST
(Caldas et al. 2018, `data/femnist/preprocess/data_to_json.py`) shrinks the whole cell of 128 x 128
pixels to 28 x 28 and cuts nothing out: a digit keeps its size within the cell, and its place. Here
are MNIST's digits made smaller, moved, thinner or thicker. All functions are pure.
"""

from typing import Literal, TypeAlias

import numpy as np
import scipy.ndimage

from fedlab.checks import check_array, check_choice, check_number, check_pixels

Stroke: TypeAlias = Literal["as written", "thin", "thick"]
STROKES = ("as written", "thin", "thick")
_WINDOW = (1, 2, 2)  # the smallest there is: a stroke loses or gains one pixel


def scale_digits(pixels: np.ndarray, scale: float) -> np.ndarray:
    """Shrinks each digit about the centre of its image; around it is paper.

    Ink is blurred before it is read at fewer points (a Gaussian of (1 / scale - 1) / 2 pixels), then
    interpolated linearly.

    Args:
        pixels: float32 (n, height, width) in [0, 1], 1.0 is paper.
        scale: Of height and width, in (0, 1].

    Returns:
        Images of the same shape and dtype, in [0, 1].

    Raises:
        TypeError: An argument has another type.
        ValueError: A shape is wrong, a pixel is out of [0, 1] or not finite, or `scale` is out of
            range.
    """
    images = _check_images(pixels)
    scale = check_number("scale", scale, above=0, at_most=1)
    if scale == 1:
        return images.copy()
    blur = (1 / scale - 1) / 2
    ink = scipy.ndimage.gaussian_filter(1 - images, (0, blur, blur), mode="constant")
    centre = (np.array(images.shape) - 1) / 2
    matrix = np.array([1, 1 / scale, 1 / scale])
    ink = scipy.ndimage.affine_transform(
        ink, matrix, offset=centre - matrix * centre, order=1, mode="constant"
    )
    return 1 - np.clip(ink, 0, 1)


def shift_digits(pixels: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Moves each digit by whole pixels; what leaves the image is lost, what comes in is paper.

    Args:
        pixels: float32 (n, height, width) in [0, 1], 1.0 is paper.
        shifts: int (n, 2): how many pixels each image moves down and to the right.

    Returns:
        Images of the same shape and dtype.

    Raises:
        TypeError: An argument has another type.
        ValueError: A shape is wrong, or a pixel is out of [0, 1] or not finite.
    """
    images = _check_images(pixels)
    shifts = check_array("shifts", shifts, (len(images), 2))
    if not np.issubdtype(shifts.dtype, np.integer):
        raise TypeError(f"shifts must be whole numbers of pixels. Found {shifts.dtype}.")
    moved = [
        scipy.ndimage.shift(image, shift, order=0, cval=1.0)
        for image, shift in zip(images, shifts, strict=True)
    ]
    return np.stack(moved)


def change_strokes(pixels: np.ndarray, stroke: Stroke) -> np.ndarray:
    """Makes the strokes of each digit one pixel thinner or thicker.

    Thin: each pixel becomes the lightest of a window of 2 x 2 (a grey erosion of the ink). Thick: it
    becomes the darkest (a dilation).

    Args:
        pixels: float32 (n, height, width) in [0, 1], 1.0 is paper.
        stroke: One of `STROKES`; "as written" changes nothing.

    Returns:
        Images of the same shape and dtype.

    Raises:
        TypeError: An argument has another type.
        ValueError: A shape is wrong, a pixel is out of [0, 1] or not finite, or there is no such
            stroke.
    """
    images = _check_images(pixels)
    if check_choice("stroke", stroke, STROKES) == "as written":
        return images.copy()
    filter_fn = scipy.ndimage.maximum_filter if stroke == "thin" else scipy.ndimage.minimum_filter
    return filter_fn(images, size=_WINDOW, mode="constant", cval=1.0)


def _check_images(pixels: np.ndarray) -> np.ndarray:
    return check_pixels("pixels", pixels, (None, None, None)).astype(np.float32, copy=False)
