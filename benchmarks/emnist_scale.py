"""The course at Federated EMNIST's own size: `python benchmarks/emnist_scale.py`.

3,383 writers, 341,873 digits to train on and 40,832 to test on, in a generated file of Federated
EMNIST's format (1.6 GB in a temporary folder, removed at the end). Each measurement has a process of
its own. Measured are seconds, those of the processor (all cores together, also where other programs
compute), the process's largest resident memory (`peak_bytes`, imports included), and what the step
adds at its peak to what was resident before it (`added_bytes`):

- imports alone; opening the file; reading every digit; the data set's digest
- what lessons 1 to 4 do with the data
- a round of 10 clients, with all writers and with 100, in turn
- a round of 500, 1,000 and all clients, their digits read before
- evaluation on all test digits, federated and as a table, and on all training digits

`--lessons` runs the notebooks of lessons 1 to 4 on the file instead: their memory, and the cells that fail.

Writes results/emnist_scale.csv. Both take minutes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nbclient
import nbformat
import numpy as np
import pandas as pd
import psutil
from _common import ROOT, choose_path, create_parser
from _emnist_file import NAME, write_emnist_file

from fedlab import data, evaluation, learning, models, runtime
from fedlab.data.preprocessing import Preprocessing, build_cohort_fn
from fedlab.data.sampling import fixed, uniform
from fedlab.dataset_names import DATASET_VARIABLE
from fedlab.experiments.results import write_results
from fedlab.experiments.timing import time_in_turn

SEED = 0
COHORT_SIZE, NUM_FEW_WRITERS, NUM_RUNS = 10, 100, 15
ROUND_SIZES = (500, 1_000, 3_383)
NUM_CENTRAL_DIGITS, NUM_ROUNDS, LESSON_COHORT_SIZE = 20_000, 25, 20  # of lessons 2 and 4
LESSONS = ("01", "02", "03", "04")
TELL_MEMORY = """
from pathlib import Path
lines = Path("/proc/self/status").read_text().splitlines()
print(next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")))
"""


class Meter:
    """Measures steps in this process.

    Attributes:
        rows: A row for each step.
    """

    def __init__(self) -> None:
        self.rows: list[dict] = []

    def run(self, measure: str, step: Callable, num_clients: int | None = None) -> None:
        """Runs one step and adds its row."""
        before = psutil.Process().memory_info().rss
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        start, cpu_start = time.perf_counter(), time.process_time()
        step()
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
        peak = peak_bytes()
        self.rows.append(
            {
                "measure": measure,
                "num_clients": num_clients,
                "seconds": seconds,
                "cpu_seconds": cpu_seconds,
                "peak_bytes": peak,
                "added_bytes": peak - before,
            }
        )


def peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def read_all(*splits: data.MemoryClientData, num_clients: int | None = None) -> None:
    for client_data in splits:
        for client_id in client_data.client_ids[:num_clients]:
            client_data.examples(client_id)


def measure_imports(path: str, meter: Meter) -> None:
    meter.run("imports", lambda: None)


def measure_opening(path: str, meter: Meter) -> None:
    meter.run("open the file", lambda: data.load(path))
    train, test = data.load(path)
    meter.run("read every digit", lambda: read_all(train, test))
    meter.run("read every digit again", lambda: read_all(train, test))


def measure_digest(path: str, meter: Meter) -> None:
    dataset = data.load(path)
    meter.run("digest of all data", lambda: dataset.sha256)
    meter.rows[0]["digest"] = dataset.sha256


def measure_data_work(path: str, meter: Meter) -> None:
    """What lessons 1 to 4 do with the data, without the training."""
    meter.run("data work of lessons 1 to 4", lambda: work_on_data(*data.load(path)))


def work_on_data(train: data.MemoryClientData, test: data.MemoryClientData) -> None:
    for client_id in train.client_ids:  # sizes, labels and ink, lesson 1
        pixels, labels = train.examples(client_id)
        pixels.mean(axis=(1, 2))
        np.bincount(labels, minlength=10)
    num_train = sum(train.num_examples(client_id) for client_id in train.client_ids)
    rows = np.random.default_rng(SEED).permutation(num_train)[:NUM_CENTRAL_DIGITS]
    central, everyone = data.take(train, rows), data.pool(test)  # lesson 2, both at a time
    seen, _ = data.split_clients(train, len(train.client_ids) // 5, seed=SEED)
    sample_fn = uniform(seen.client_ids, LESSON_COHORT_SIZE, seed=SEED)
    cohort_fn = build_cohort_fn(seen, sample_fn, Preprocessing(shuffle=True))
    for round_num in range(1, NUM_ROUNDS + 1):  # lessons 3 and 4
        for batches in cohort_fn(round_num).values():
            for _ in batches:
                pass
    del central, everyone


def build_runner() -> tuple[runtime.Runner, learning.TffModel]:
    model = models.build_functional_model(models.create_cnn)
    return runtime.compile(learning.build_fed_avg(model, client_learning_rate=0.02)), model


def measure_small_rounds(path: str, meter: Meter) -> None:
    """Ten clients of all and the same ten of 100, in turn: the rest of the data costs nothing."""
    train, _ = data.load(path)
    read_all(train)
    few = data.MemoryClientData(train.client_ids[:NUM_FEW_WRITERS], train.examples)
    read_all(few)
    runner, _ = build_runner()
    state = runner.initialize()
    cases = {len(each.client_ids): build_small_round(runner, state, each) for each in (train, few)}
    for run in cases.values():
        run()
    for num_writers, seconds in time_in_turn(cases, NUM_RUNS).items():
        measure = f"a round of {COHORT_SIZE} clients, with {num_writers} writers"
        meter.rows.append({"measure": measure, "num_clients": COHORT_SIZE, "seconds": seconds})


def build_small_round(runner: runtime.Runner, state, client_data) -> Callable[[], object]:
    """Returns a round that draws from all writers, and then trains the same ten."""
    client_ids = client_data.client_ids
    sample_fn = uniform(client_ids, COHORT_SIZE, seed=SEED)
    cohort_fn = build_cohort_fn(client_data, fixed(client_ids[:COHORT_SIZE]))

    def run() -> None:
        sample_fn(1)
        runner.next(state, cohort_fn(1))

    return run


def measure_large_round(path: str, meter: Meter, num_clients: int) -> None:
    train, _ = data.load(path)
    client_ids = train.client_ids[:num_clients]
    read_all(train, num_clients=num_clients)
    runner, _ = build_runner()
    state = runner.initialize()
    runner.next(state, build_cohort_fn(train, fixed(client_ids[:2]))(1))
    cohort_fn = build_cohort_fn(train, fixed(client_ids))
    meter.run(
        f"a round of {num_clients} clients", lambda: runner.next(state, cohort_fn(1)), num_clients
    )


def measure_evaluation(path: str, meter: Meter) -> None:
    train, test = data.load(path)
    read_all(train, test)
    runner, model = build_runner()
    weights = runner.get_model_weights(runner.initialize())
    evaluation.build_evaluate_fn(model, test, test.client_ids[:2])(0, weights)  # loads and traces
    for name, client_data in (("test", test), ("training", train)):
        meter.run(
            f"federated evaluation, all {name} digits",
            lambda client_data=client_data: evaluation.build_evaluate_fn(model, client_data)(
                0, weights
            ),
            len(client_data.client_ids),
        )
    meter.run(
        "table of answers, all test digits",
        lambda: evaluation.predict(weights, test),
        len(test.client_ids),
    )


MEASURES: dict[str, Callable] = {
    "imports": measure_imports,
    "opening": measure_opening,
    "data work": measure_data_work,
    "small rounds": measure_small_rounds,
    **{
        f"round of {size}": lambda path, meter, size=size: measure_large_round(path, meter, size)
        for size in ROUND_SIZES
    },
    "evaluation": measure_evaluation,
    "digest": measure_digest,
}


def measure_apart(name: str, path: Path) -> list[dict]:
    """Runs this script for one measurement in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "measured.json"
        command = [sys.executable, __file__, "--measure", name, str(path), str(answer)]
        subprocess.run(command, check=True)
        rows = json.loads(answer.read_text())
    print(pd.DataFrame(rows).round(3).to_string(index=False), flush=True)
    return rows


def run_lesson(number: str, path: Path) -> dict:
    """Runs a notebook on the file, without keeping its outputs."""
    (notebook_path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    notebook = nbformat.read(notebook_path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(TELL_MEMORY))
    resources = {"metadata": {"path": notebook_path.parent}}
    client = nbclient.NotebookClient(notebook, timeout=600, resources=resources, allow_errors=True)
    client.execute(env=os.environ | {DATASET_VARIABLE: str(path)})
    *cells, last = [cell for cell in notebook.cells if cell.cell_type == "code"]
    failed = [
        f"{cell.id}: {output.ename}"
        for cell in cells
        for output in cell.outputs
        if output.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", ())
    ]
    row = {
        "measure": f"lesson {notebook_path.stem}",
        "peak_bytes": int(last.outputs[0].text),
        "failed_cells": "; ".join(failed),
    }
    print(row, flush=True)
    return row


def main() -> None:
    parser = create_parser(__doc__)
    parser.add_argument("--lessons", action="store_true", help="run lessons 1 to 4 instead")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        name, path, answer = args.measure
        meter = Meter()
        MEASURES[name](path, meter)
        Path(answer).write_text(json.dumps(meter.rows))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "emnist_all.sqlite"
        write_emnist_file(path, seed=SEED)
        rows = measure_apart("digest", path)
        digests = {NAME: rows[0].pop("digest")}
        target = choose_path("emnist_scale.csv", digests, args.to)
        if args.lessons:
            rows = [run_lesson(number, path) for number in LESSONS]
        else:
            rows += [
                row for name in MEASURES if name != "digest" for row in measure_apart(name, path)
            ]
    table = pd.DataFrame(rows).round(4)
    table.insert(0, "dataset", NAME)
    first = ["dataset", "measure", "num_clients", "seconds", "cpu_seconds"]
    table = table.reindex(columns=[*first, "peak_bytes", "added_bytes", "failed_cells"])
    for column in ("num_clients", "peak_bytes", "added_bytes"):
        table[column] = table[column].astype("Int64")
    key = ("dataset", "measure")
    write_results(target, table, seed=SEED, digests=digests, key=key)
    print(table.to_string(index=False))


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
