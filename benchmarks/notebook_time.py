"""How long each notebook runs, kernel start and imports included: `python benchmarks/notebook_time.py`.

The data set of a row is that of the lessons on digits (`FEDLAB_DATASET`); lessons on texts have the plays.

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

TEXT_DATA = 'data.load(\\"plays\\")'  # as JSON has it


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
    digits, plays = data.load(), data.load("plays")
    digests = {each.name: each.sha256 for each in (digits, plays)}
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
            "dataset": (plays if TEXT_DATA in path.read_text(encoding="utf-8") else digits).name,
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
