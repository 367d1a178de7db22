"""A cache that does not keep the objects alive that its results were computed from."""

import functools
import weakref
from collections.abc import Callable
from typing import Any


def cache_while_alive(function: Callable[..., Any]) -> Callable[..., Any]:
    """Remembers a function's results for as long as the first argument of the call is alive.

    `functools.lru_cache` holds its arguments, and a data set that it holds is never freed.

    Args:
        function: Takes positional arguments, all hashable. The first one must allow weak references,
            and the result must not refer to it: both would then stay alive.

    Returns:
        A function of the same arguments that computes each result once; its `cache_clear()` forgets
        all of them, as with `functools.lru_cache`.
    """
    results_by_object: weakref.WeakKeyDictionary[Any, dict] = weakref.WeakKeyDictionary()

    @functools.wraps(function)
    def cached(first, *others):
        results = results_by_object.setdefault(first, {})
        if others not in results:
            results[others] = function(first, *others)
        return results[others]

    cached.cache_clear = results_by_object.clear
    return cached
