"""What the benchmarks share: where things are, and how they time."""

import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path

from matplotlib.figure import Figure

from fedlab import data, files

ROOT = Path(__file__).resolve().parents[1]
WRITER_DIGITS = ROOT.parent / "shared/data/writer-digits/emnist_all.sqlite.lzma"


def load() -> tuple[str, data.MemoryClientData, data.MemoryClientData]:
    """Returns a data set's name, its training and its test half: the best that is there."""
    if WRITER_DIGITS.exists():
        return "writer digits", *data.load_sqlite(WRITER_DIGITS)
    return "digits", *data.load("digits")


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure as a PNG file, as a whole."""
    with files.written_beside(path) as part:
        figure.savefig(part, format="png", dpi=100)


def time_in_turn(
    cases: Mapping[Hashable, Callable[[], object]], num_runs: int
) -> dict[Hashable, float]:
    """Returns the median seconds of each, run in turn: what else the machine does hits all alike.

    Let each run once before: the first run loads and traces.
    """
    seconds = {name: [] for name in cases}
    for _ in range(num_runs):
        for name, run in cases.items():
            begun = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begun)
    return {name: statistics.median(found) for name, found in seconds.items()}
