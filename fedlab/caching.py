"""A cache that does not keep the objects alive that its results were computed from."""

import functools
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class CachedFunction(Generic[Result]):
    """What `cache_while_alive` makes of a function."""

    def __init__(self, function: Callable[..., Result]):
        functools.update_wrapper(self, function)
        self._function = function
        self._results: weakref.WeakKeyDictionary[Any, dict[tuple, Result]]
        self._results = weakref.WeakKeyDictionary()

    def __call__(self, first: Any, *others: Any) -> Result:
        """Returns the function's result for these arguments, computed now or before."""
        results = self._results.setdefault(first, {})
        if others not in results:
            results[others] = self._function(first, *others)
        return results[others]

    def cache_clear(self) -> None:
        """Forgets all results."""
        self._results.clear()


def cache_while_alive(function: Callable[..., Result]) -> CachedFunction[Result]:
    """Remembers a function's results for as long as the first argument of the call is alive.

    `functools.lru_cache` holds its arguments, and a data set that it holds is never freed.

    Args:
        function: Takes positional arguments, all hashable. The first one must allow weak references,
            and the result must not refer to it: both would then stay alive.

    Returns:
        A function of the same arguments that computes each result once.
    """
    return CachedFunction(function)
