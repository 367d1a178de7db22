"""Checks of what a user passes, shared by all rooms: each error names the parameter and the value.

A check returns the value in its plain Python type, so that a caller goes on with what was checked.
"""

import difflib
import math
import numbers
import operator
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np


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
        value: A Python or NumPy number; a whole number will do, a truth value or text will not.
        above: The number must be larger than this. Default: no such bound.
        at_least: The number must not be smaller than this. Default: no such bound.
        below: The number must be smaller than this. Default: no such bound.
        at_most: The number must not be larger than this. Default: no such bound.

    Raises:
        TypeError: `value` is not a number.
        ValueError: `value` is NaN, infinite or out of bounds.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number. Found {value!r}.")
    number = float(value)
    within = (
        math.isfinite(number)
        and (above is None or number > above)
        and (at_least is None or number >= at_least)
        and (below is None or number < below)
        and (at_most is None or number <= at_most)
    )
    if not within:
        bounds = _describe_bounds(above, at_least, below, at_most)
        raise ValueError(f"{name} must be {bounds}. Found {value}.")
    return number


def _describe_bounds(
    above: float | None, at_least: float | None, below: float | None, at_most: float | None
) -> str:
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


def check_count(name: str, value: Any, *, at_least: int = 1, at_most: int | None = None) -> int:
    """Returns a whole number within bounds as an int.

    Args:
        name: The parameter's name, for the error.
        value: A Python or NumPy integer; a float, a truth value or text will not do.
        at_least: The smallest value that is allowed.
        at_most: The largest value that is allowed. Default: no such bound.

    Raises:
        TypeError: `value` is not a whole number.
        ValueError: `value` is out of bounds.
    """
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be a whole number. Found {value!r}.")
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number. Found {value!r}.") from None
    if count < at_least:
        raise ValueError(f"{name} must be at least {at_least}. Found {count}.")
    if at_most is not None and count > at_most:
        raise ValueError(f"{name} must be at most {at_most}. Found {count}.")
    return count


def check_seed(seed: Any, name: str = "seed") -> int:
    """Returns a seed of NumPy's generators: a whole number of at least 0.

    Args:
        seed: The seed.
        name: The parameter's name, for the error.

    Raises:
        TypeError: `seed` is not a whole number.
        ValueError: `seed` is negative.
    """
    return check_count(name, seed, at_least=0)


def check_choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """Returns a name that is one of several.

    Args:
        name: The parameter's name, for the error.
        value: The name that was passed.
        choices: The names that are allowed.

    Raises:
        ValueError: `value` is none of them; the message lists them, and the nearest one.
    """
    choices = list(choices)
    if isinstance(value, str) and value in choices:
        return value
    near = difflib.get_close_matches(str(value), choices, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{name} must be one of {', '.join(choices)}. Found {value!r}.{hint}")


def check_not_empty(name: str, values: Collection) -> None:
    """Raises ValueError for a collection without an entry.

    Args:
        name: The parameter's name, for the error.
        values: The collection.
    """
    if len(values) == 0:
        raise ValueError(f"{name} must have at least one entry. Found none.")
