"""How long each notebook runs, kernel start and imports included: `python benchmarks/notebook_time.py`.

Writes results/notebook_time.csv: seconds, the median of `--runs` runs (default: three). `--only REGEX` runs
the notebooks whose name it finds and keeps the others' rows.
"""

import os
import re
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
    parser.add_argument("--only", metavar="REGEX", default="", help="run these, keep the others")
    args = parser.parse_args()
    dataset = data.load()  # the one of the lessons
    digests = {dataset.name: dataset.sha256}
    target = choose_path("notebook_time.csv", digests, args.to)
    paths = [
        path
        for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
        if re.search(args.only, path.stem)
    ]
    if not paths:
        parser.error(f"no notebook's name matches {args.only!r}")
    for path in paths:
        seconds = statistics.median(time_notebook(path) for _ in range(args.runs))
        row = {
            "dataset": dataset.name,
            "notebook": path.stem,
            "seconds": round(seconds),
            "num_runs": args.runs,
        }
        # At once: if a later notebook fails, this one's time is kept.
        write_results(target, pd.DataFrame([row]), seed=0, digests=digests, key=["notebook"])
        print(f"{path.stem}: {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
