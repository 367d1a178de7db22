"""Ends calls from another thread."""

import contextlib
import threading
from collections.abc import Callable, Iterator


class Stop:
    """A sign that calls in other threads are to end; it is given once and stays."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_set = False
        self._cancel_fns: set[Callable[[], object]] = set()

    def set(self) -> None:
        """Cancels the calls that run, and those that are yet to begin."""
        with self._lock:
            self._is_set = True
            cancel_fns, self._cancel_fns = self._cancel_fns, set()
        for cancel_fn in cancel_fns:
            cancel_fn()

    def is_set(self) -> bool:
        """Returns whether the sign was given."""
        return self._is_set

    @contextlib.contextmanager
    def calling(self, cancel_fn: Callable[[], object]) -> Iterator[None]:
        """Lets the sign call `cancel_fn`, as long as the context lasts."""
        with self._lock:
            self._cancel_fns.add(cancel_fn)
            is_set = self._is_set
        if is_set:
            cancel_fn()
        try:
            yield
        finally:
            with self._lock:
                self._cancel_fns.discard(cancel_fn)
