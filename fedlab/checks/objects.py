"""Checks of objects: their type, and that there is something in them."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import pandas as pd

from fedlab.checks.describing import describe


def check_instance(name: str, value: Any, types: Any, what: str) -> Any:
    """Returns an object of the right type.

    Args:
        name: The parameter's name, for the error.
        value: The object.
        types: A type, or several, as `isinstance` takes them.
        what: The expected object in words, such as "a TFF ClientData", and where it comes from.

    Raises:
        TypeError: The object is of another type.
    """
    if not isinstance(value, types):
        raise TypeError(f"{name} must be {what}. Found {describe(value)}.")
    return value


def check_callable(name: str, value: Any) -> Callable:
    """Returns a function.

    Args:
        name: The parameter's name, for the error.
        value: The function, or another object that can be called.

    Raises:
        TypeError: It cannot be called.
    """
    if not callable(value):
        raise TypeError(f"{name} must be a function. Found {describe(value)}.")
    return value


def check_list(name: str, values: Any) -> list[Any]:
    """Returns a list.

    Args:
        name: The parameter's name, for the error.
        values: Anything in an order but text and mappings.

    Raises:
        TypeError: It is something else.
    """
    if isinstance(values, str | bytes | set | Mapping) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a list. Found {describe(values)}.")
    try:
        return list(values)
    except TypeError:  # an array without dimensions
        raise TypeError(f"{name} must be a list. Found {describe(values)}.") from None


def check_mapping(name: str, value: Any) -> dict[Any, Any]:
    """Returns a mapping, such as from names to values, as a dictionary.

    Args:
        name: The parameter's name, for the error.
        value: A dictionary or a pandas Series, with at least one entry.

    Raises:
        TypeError: It is no mapping.
        ValueError: It is empty.
    """
    if not isinstance(value, Mapping | pd.Series):
        raise TypeError(f"{name} must be a dictionary. Found {describe(value)}.")
    check_not_empty(name, value)
    return dict(value)


def check_table(name: str, value: Any, columns: Iterable[str]) -> pd.DataFrame:
    """Returns a table that has some columns and at least one row.

    Args:
        name: The parameter's name, for the error.
        value: A DataFrame.
        columns: The columns that it must have.

    Raises:
        TypeError: It is no table.
        ValueError: A column is missing, or there are no rows.
    """
    if not isinstance(value, pd.DataFrame):
        raise TypeError(f"{name} must be a pandas DataFrame. Found {describe(value)}.")
    if missing := [column for column in columns if column not in value]:
        raise ValueError(
            f"{name} must have a column {missing[0]!r}. Found {describe(list(value.columns))}."
        )
    check_not_empty(name, value)
    return value


def check_not_empty(name: str, values: Collection) -> None:
    """Raises ValueError for a collection without an entry.

    Args:
        name: The parameter's name, for the error.
        values: The collection.
    """
    if len(values) == 0:
        raise ValueError(f"{name} must have at least one entry. Found none.")
