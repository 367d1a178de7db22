"""Checks of text, names, ids, flags and paths."""

import difflib
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from fedlab.checks.describing import describe


def check_text(name: str, value: Any) -> str:
    """Returns text as a str.

    Args:
        name: The parameter's name, for the error.
        value: The text; it may be empty.

    Raises:
        TypeError: `value` is not text.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be text. Found {describe(value)}.")
    return str(value)


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
        return str(value)
    near = difflib.get_close_matches(value, choices, n=1) if isinstance(value, str) else []
    hint = f" Did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(map(str, choices))
    raise ValueError(f"{name} must be one of {listed}. Found {describe(value)}.{hint}")


def check_flag(name: str, value: Any) -> bool:
    """Returns a truth value as a bool.

    Args:
        name: The parameter's name, for the error.
        value: True or False, of Python or NumPy. Text, such as "False", and numbers will not do.

    Raises:
        TypeError: `value` is neither True nor False.
    """
    scalar = value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value
    if not isinstance(scalar, bool | np.bool_):
        raise TypeError(f"{name} must be True or False. Found {describe(value)}.")
    return bool(scalar)


def check_ids(
    name: str,
    values: Any,
    *,
    known: Collection[str] | None = None,
    may_repeat: bool = False,
    may_be_empty: bool = False,
) -> list[str]:
    """Returns ids, such as those of clients, as a list.

    Args:
        name: The parameter's name, for the error.
        values: At least one id, in an order: a list, a tuple, an array or the keys of a dictionary,
            but no set. An id is text that is not empty.
        known: The ids that exist. Default: whatever ids there are.
        may_repeat: Whether an id may appear several times, as in a list of the examples' owners.
        may_be_empty: Whether there may be no id, as in a cohort under Poisson sampling.

    Raises:
        TypeError: `values` is no list of text.
        ValueError: There is no id, an id is empty, does not exist or appears twice.
    """
    if isinstance(values, set | frozenset):
        raise TypeError(
            f"{name} must be in an order, and that of a set differs from process to process; pass "
            f"sorted(...). Found {describe(values)}."
        )
    try:
        if isinstance(values, str | bytes):
            raise TypeError
        ids = list(values)
    except TypeError:
        raise TypeError(f"{name} must be a list of ids. Found {describe(values)}.") from None
    if not ids and not may_be_empty:
        raise ValueError(f"{name} must name at least one client. Found none.")
    for each in ids:
        if not isinstance(each, str):
            raise TypeError(f"{name} must be text. Found {describe(each)} among them.")
        if not each.strip() or "\0" in each:
            raise ValueError(
                f"{name} must be text that is not blank, without NUL. Found {describe(str(each))}."
            )
    if not may_repeat and len(set(ids)) < len(ids):
        twice = next(each for index, each in enumerate(ids) if each in ids[:index])
        raise ValueError(f"{name} must be different. Found {describe(str(twice))} twice.")
    if known is not None:
        known = frozenset(known)
        if unknown := [each for each in ids if each not in known]:
            raise ValueError(
                f"{name} must be ids of the data. There is no client {str(unknown[0])!r}. "
                f"Found {len(known)} others."
            )
    return [str(each) for each in ids]


def check_path(name: str, value: Any) -> Path:
    """Returns a path.

    Args:
        name: The parameter's name, for the error.
        value: Text that is not empty, or a path.

    Raises:
        TypeError: `value` is neither text nor a path.
        ValueError: `value` is empty.
    """
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} must be a path. Found {describe(value)}.")
    if not os.fspath(value):
        raise ValueError(f"{name} must be a path that is not empty. Found {describe(value)}.")
    return Path(value)
