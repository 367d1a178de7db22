"""Checks of arrays: numbers, labels, pixels and truth values."""

import warnings
from typing import Any

import numpy as np

from fedlab.checks.describing import describe
from fedlab.checks.numbers import describe_bounds

Shape = tuple[int | None, ...]  # None: any length of at least 1
_DARK = 0.25  # a median below this means that the paper is black


def check_array(
    name: str,
    values: Any,
    shape: Shape,
    *,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    is_finite: bool = True,
    hint: str = "",
) -> np.ndarray:
    """Returns numbers as an array; its dtype stays that of the values.

    Args:
        name: The parameter's name, for the error.
        values: An array, a list or a table of integers or floats. Truth values, complex numbers,
            dates, text, objects and masked arrays will not do.
        shape: The length of each dimension; None: any length of at least 1.
        above: Each number must be larger than this. Default: no such bound.
        at_least: No number may be smaller than this. Default: no such bound.
        at_most: No number may be larger than this. Default: no such bound.
        is_finite: Whether infinity is refused. NaN is in any case.
        hint: A remedy that ends the error of a number out of bounds.

    Raises:
        TypeError: The values are not such numbers.
        ValueError: The shape is another one, or a number is NaN, infinite or out of bounds.
    """
    array = _to_array(name, values, "iuf", "numbers")
    check_shape(name, array, shape)
    wrong = ~np.isfinite(array) if is_finite else np.isnan(array)
    if above is not None:
        wrong |= array <= above
    if at_least is not None:
        wrong |= array < at_least
    if at_most is not None:
        wrong |= array > at_most
    if wrong.any():
        place = np.argwhere(wrong)[0].tolist()
        bounds = describe_bounds(above, at_least, None, at_most).replace("a number", "numbers")
        bounds = bounds.replace("a finite number", "finite numbers" if is_finite else "numbers")
        raise ValueError(f"{name} must be {bounds}. Found {array[wrong][0]} at {place}.{hint}")
    return array


def check_shape(name: str, array: np.ndarray, shape: Shape) -> None:
    """Raises ValueError for an array of another shape.

    Args:
        name: The parameter's name, for the error.
        array: The array.
        shape: The length of each dimension; None: any length of at least 1.
    """
    is_alike = array.ndim == len(shape) and all(
        found >= 1 if length is None else found == length
        for found, length in zip(array.shape, shape, strict=True)
    )
    if not is_alike:
        letters = iter("nmkl")
        lengths = [next(letters) if length is None else str(length) for length in shape]
        expected = f"({', '.join(lengths)}{',' if len(lengths) == 1 else ''})"
        at_least = ", n at least 1" if None in shape else ""
        raise ValueError(f"{name} must have shape {expected}{at_least}. Found {array.shape}.")


def check_labels(name: str, values: Any, *, num_classes: int | None = None) -> np.ndarray:
    """Returns labels as an array of integers, (n,).

    Args:
        name: The parameter's name, for the error.
        values: The labels, integers; n at least 1.
        num_classes: Labels must lie in [0, num_classes). Default: any integers.

    Raises:
        TypeError: The labels are no integers.
        ValueError: The shape is another one, or a label is out of range.
    """
    array = _to_array(name, values, "iu", "integers")
    if array.ndim == 2:
        remedy = "labels[:, 0]" if array.shape[1] == 1 else "labels.argmax(axis=1)"
        raise ValueError(f"{name} must have shape (n,). Found {array.shape}; pass {remedy}.")
    check_shape(name, array, (None,))
    if num_classes is not None and (array.min() < 0 or array.max() >= num_classes):
        bad = array[(array < 0) | (array >= num_classes)][0]
        raise ValueError(f"{name} must lie between 0 and {num_classes - 1}. Found {bad}.")
    return array


def check_pixels(name: str, values: Any, shape: Shape) -> np.ndarray:
    """Returns images as an array; its dtype stays that of the values.

    Args:
        name: The parameter's name, for the error.
        values: Finite numbers in [0, 1].
        shape: The length of each dimension; None: any length of at least 1.

    Raises:
        TypeError: The values are no integers or floats.
        ValueError: The shape is another one, or a value is not finite or out of range.
    """
    array = _to_array(name, values, "iuf", "numbers")
    check_shape(name, array, shape)
    if not np.isfinite(array).all():
        image = int(np.argwhere(~np.isfinite(array))[0][0])
        raise ValueError(f"{name} must be finite numbers. Found NaN or infinity in image {image}.")
    if array.min() < 0.0 or array.max() > 1.0:
        raise ValueError(
            f"{name} must lie in [0, 1] with 1.0 for the background; divide by 255 if they are "
            f"bytes. Found {array.min():g} to {array.max():g}."
        )
    return array


def warn_if_inverted(name: str, pixels: np.ndarray) -> None:
    """Warns of grey images whose background is black, as those of MNIST.

    Args:
        name: The parameter's name, for the warning.
        pixels: (n, height, width), in [0, 1]; images of another number of dimensions have colours,
            and no paper.
    """
    if pixels.ndim == 3 and np.median(pixels) < _DARK:
        warnings.warn(
            f"{name}: more than half of the pixels are below {_DARK}, so the paper seems to be black. "
            "In the lessons' data 1.0 is paper and 0.0 ink; pass 1 - pixels if these are digits.",
            stacklevel=3,
        )


def check_bools(name: str, values: Any, shape: Shape) -> np.ndarray:
    """Returns truth values as an array of bools.

    Args:
        name: The parameter's name, for the error.
        values: Truth values, or the numbers 0 and 1. Text, such as "False", will not do: NumPy
            takes every text that is not empty for True.
        shape: The length of each dimension; None: any length of at least 1.

    Raises:
        TypeError: The values are of another type.
        ValueError: The shape is another one, or a number is neither 0 nor 1.
    """
    array = _to_array(name, values, "biuf", "truth values")
    check_shape(name, array, shape)
    wrong = (array != 0) & (array != 1)
    if wrong.any():
        raise ValueError(f"{name} must be truth values. Found {array[wrong][0]}.")
    return array.astype(bool)


def _to_array(name: str, values: Any, kinds: str, what: str) -> np.ndarray:
    """Returns an array whose dtype is one of the kinds (letters of `np.dtype.kind`)."""
    try:
        if isinstance(values, np.ma.MaskedArray) or values is None:
            raise TypeError
        array = np.asarray(values)
        if array.ndim == 0 or (array.size and array.dtype.kind not in kinds):
            raise TypeError
    except (TypeError, ValueError):
        found = describe(values)
        raise TypeError(f"{name} must be an array of {what}. Found {found}.") from None
    return array
