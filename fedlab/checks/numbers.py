"""Checks of numbers, counts and seeds."""

import math
import numbers
import operator
from decimal import Decimal
from typing import Any

import numpy as np

from fedlab.checks.describing import describe

INT32_MAX = 2**31 - 1


def check_number(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
) -> float:
    """Returns a finite number within bounds as a float.

    Args:
        name: The parameter's name, for the error.
        value: A number of Python or NumPy, a Fraction, a Decimal or an array without dimensions; a
            whole number will do, a truth value or text will not.
        above: The number must be larger than this. Default: no such bound.
        at_least: The number must not be smaller than this. Default: no such bound.
        below: The number must be smaller than this. Default: no such bound.
        at_most: The number must not be larger than this. Default: no such bound.

    Raises:
        TypeError: `value` is not a number.
        ValueError: `value` is NaN, infinite or out of bounds.
    """
    scalar = _to_scalar(value)
    is_number = isinstance(scalar, numbers.Real | Decimal)
    if isinstance(scalar, bool | np.bool_) or not is_number:
        raise TypeError(f"{name} must be a number. Found {describe(value)}.")
    try:
        number = float(scalar)
    except (OverflowError, ValueError):  # an int beyond 1e308, a signalling NaN
        number = math.nan
    within = (
        math.isfinite(number)
        and (above is None or number > above)
        and (at_least is None or number >= at_least)
        and (below is None or number < below)
        and (at_most is None or number <= at_most)
    )
    if not within:
        bounds = describe_bounds(above, at_least, below, at_most)
        raise ValueError(f"{name} must be {bounds}. Found {describe(scalar)}.")
    return number


def describe_bounds(
    above: float | None, at_least: float | None, below: float | None, at_most: float | None
) -> str:
    """Returns the text of bounds, such as "a number in (0, 1]".

    Args:
        above: The number must be larger than this. None: no such bound.
        at_least: The number must not be smaller than this. None: no such bound.
        below: The number must be smaller than this. None: no such bound.
        at_most: The number must not be larger than this. None: no such bound.
    """
    lower = at_least if above is None else above
    upper = at_most if below is None else below
    if lower is not None and upper is not None:
        opening, closing = "[" if above is None else "(", "]" if below is None else ")"
        return f"a number in {opening}{lower:g}, {upper:g}{closing}"
    if lower is not None:
        return f"a finite number {'of at least' if above is None else 'above'} {lower:g}"
    if upper is not None:
        return f"a finite number {'of at most' if below is None else 'below'} {upper:g}"
    return "a finite number"


def check_count(
    name: str, value: Any, *, at_least: int = 1, at_most: int | None = INT32_MAX
) -> int:
    """Returns a whole number within bounds as an int.

    Args:
        name: The parameter's name, for the error.
        value: A Python or NumPy integer; a float, a truth value or text will not do.
        at_least: The smallest value that is allowed.
        at_most: The largest value that is allowed; None: no such bound. Default: the largest int32,
            since TensorFlow has no room for more.

    Raises:
        TypeError: `value` is not a whole number.
        ValueError: `value` is out of bounds.
    """
    scalar = _to_scalar(value)
    try:
        if isinstance(scalar, bool | np.bool_) or np.ndim(scalar):
            raise TypeError
        count = operator.index(scalar)
    except TypeError:
        raise TypeError(f"{name} must be a whole number. Found {describe(value)}.") from None
    if count < at_least:
        raise ValueError(f"{name} must be at least {at_least}. Found {describe(count)}.")
    if at_most is not None and count > at_most:
        raise ValueError(f"{name} must be at most {at_most}. Found {describe(count)}.")
    return count


def check_seed(seed: Any, name: str = "seed", *, at_most: int | None = None) -> int:
    """Returns a seed: a whole number of at least 0.

    Args:
        seed: The seed.
        name: The parameter's name, for the error.
        at_most: The largest seed that the generator takes. Default: no such bound, as in NumPy.

    Raises:
        TypeError: `seed` is not a whole number.
        ValueError: `seed` is out of bounds.
    """
    return check_count(name, seed, at_least=0, at_most=at_most)


def _to_scalar(value: Any) -> Any:
    """Returns the number in an array without dimensions, and any other value as it is."""
    return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value
