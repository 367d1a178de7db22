"""How long each notebook runs, kernel start and imports included: `python benchmarks/notebook_time.py`.

Writes results/notebook_time.csv: seconds, the median of `--runs` runs (default: three).
"""

import os
import statistics
import time
from pathlib import Path

import nbclient
import nbformat
import pandas as pd
from _common import ROOT, choose_path, create_parser

from fedlab import data
from fedlab.experiments.results import write_results


def time_notebook(path: Path) -> float:
    """Executes a notebook once, without keeping its outputs, and returns the seconds."""
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": path.parent}}
    )
    start = time.perf_counter()
    client.execute()
    return time.perf_counter() - start


def main() -> None:
    parser = create_parser(__doc__)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    dataset = data.load()  # the one of the lessons
    digests = {dataset.name: dataset.sha256}
    target = choose_path("notebook_time.csv", digests, args.to)
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    seconds = {path.stem: [] for path in paths}
    for _ in range(args.runs):
        for path in paths:
            seconds[path.stem].append(time_notebook(path))
    table = pd.DataFrame(
        {"notebook": name, "seconds": round(statistics.median(runs)), "num_runs": args.runs}
        for name, runs in seconds.items()
    )
    table.insert(0, "dataset", dataset.name)
    write_results(target, table, seed=0, digests=digests)
    print(table.to_string(index=False))


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
