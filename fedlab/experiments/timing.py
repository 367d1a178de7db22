"""Fair timing of several cases on one machine."""

import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)


def time_in_turn(cases: Mapping[Name, Callable[[], object]], num_runs: int) -> dict[Name, float]:
    """Times each case, run in turn: another load of the machine slows all of them alike.

    Run each case once before: its first run loads and traces.

    Args:
        cases: The cases by name.
        num_runs: How often each case is run, at least 1.

    Returns:
        The median seconds of each case.
    """
    seconds: dict[Name, list[float]] = {name: [] for name in cases}
    for _ in range(num_runs):
        for name, run in cases.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}
