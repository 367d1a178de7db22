"""How long a round takes in other frameworks: `python benchmarks/peers/compare.py`.

The article's CNN, SGD 0.02, batches of 20 in order, one epoch, the first 5 and 20 clients of the writer
digits where they are, else of the digits; all of them in each round. Each framework lives in an
environment of its own, which this makes in the user's cache folder from `requirements/` (5 GB in
all, once). Each run starts from the same weights and ends with a
loss that must be the same: else its time does not count. Processes of their own, in turn; the median of
the rounds after the first of each.

Writes results/peers.csv. About 10 minutes on 2 cores, after the environments are there.
"""

import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import numpy as np
import pandas as pd
import task

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from _common import ROOT, choose_path, create_parser, load  # noqa: E402

from fedlab import files, models  # noqa: E402
from fedlab.experiments.results import write_results  # noqa: E402

OURS = "fedlab"
NUDGED = {
    f"{OURS}, first weights nudged up": np.float32(np.inf),
    f"{OURS}, first weights nudged down": np.float32(-np.inf),
}
# By how much the losses may differ. With 20 clients a step comes close to a kink of the network, and
# rounding alone moves the loss: the rows of `NUDGED`, whose first weights are the next floats.
COHORT_SIZES = {5: 1e-4, 20: 5e-4}
NUM_ROUNDS, NUM_TURNS = 6, 3
RUN_SECONDS = 600  # then a run is given up
SEED = 0


def write_data(train, num_clients: int, folder: Path) -> tuple[Path, dict[str, Path]]:
    """Writes the clients' digits with the first weights, and with weights nudged up and down."""
    held = [train.examples(client_id) for client_id in train.client_ids[:num_clients]]
    weights = models.create_cnn(seed=SEED).get_weights()
    path, nudged = folder / f"{num_clients}.npz", {}
    task.write_data(path, held, weights)
    for name, end in NUDGED.items():
        nudged[name] = folder / f"{num_clients} {name}.npz"
        task.write_data(nudged[name], held, [np.nextafter(one, end) for one in weights])
    return path, nudged


def build_environment(name: str) -> str:
    """Returns the Python of a framework's own environment, made if it is not there."""
    if name == OURS:
        return sys.executable
    requirements = HERE / "requirements" / f"{name}.txt"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    folder = files.cache_dir() / "peers" / f"{name}-{digest}"
    python = folder / "bin" / "python"
    built = folder / "built"
    if not built.exists():
        print(f"Building {folder}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        install = ["-m", "pip", "install", "--quiet", "--no-deps", "--requirement", requirements]
        subprocess.run([python, *install], check=True)
        built.touch()
    return str(python)


def run(name: str, python: str, data: Path, folder: Path) -> dict:
    """Runs a framework once, in a process of its own."""
    found, log = folder / "found.json", folder / f"{name}.log"
    script = HERE / f"run_{name}.py"
    command = [python, script, "--data", data, "--rounds", str(NUM_ROUNDS), "--to", found]
    # A file, not a pipe: a worker that is left behind would keep a pipe open.
    with log.open("w") as output:
        ended = subprocess.run(
            command, stdout=output, stderr=subprocess.STDOUT, check=False, timeout=RUN_SECONDS
        )
    if ended.returncode:
        raise RuntimeError(f"{name} failed: {log.read_text()[-2000:]}")
    result = json.loads(found.read_text())
    found.unlink()
    return result


def compare(pythons: dict[str, str], data: Path, folder: Path, tolerance: float) -> list[dict]:
    """Runs all in turn, and returns a row for each whose loss is the one of all others."""
    runs = {name: [] for name in pythons}
    for _ in range(NUM_TURNS):
        for name, python in pythons.items():
            runs[name].append(run(name, python, data, folder))
            difference = abs(runs[name][-1]["loss"] - runs[OURS][0]["loss"])
            if difference > tolerance:
                raise RuntimeError(f"{name}: the loss is {difference:.2g} from the others'.")
    return [
        {
            "framework": name,
            "seconds": statistics.median(s for one in found for s in one["seconds"][1:]),
            "first_round_seconds": statistics.median(one["seconds"][0] for one in found),
            "loss": found[0]["loss"],
            "framework_versions": found[0]["versions"],
        }
        for name, found in runs.items()
    ]


def main() -> None:
    parser = create_parser(__doc__)
    parser.add_argument("--only", nargs="*", metavar="NAME", help="compare with these alone")
    args = parser.parse_args()
    others = args.only or sorted(path.stem for path in (HERE / "requirements").glob("*.txt"))
    dataset = load()
    digests = {dataset.name: dataset.sha256}
    path = choose_path("peers.csv", digests, args.to)
    pythons = {name: build_environment(name) for name in (OURS, *others)}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for num_clients, tolerance in COHORT_SIZES.items():
            data, nudged = write_data(dataset.train, num_clients, Path(folder))
            found = compare(pythons, data, Path(folder), tolerance)
            for name, path in nudged.items():
                loss = run(OURS, pythons[OURS], path, Path(folder))["loss"]
                found.append({"framework": name, "loss": loss})
            found = pd.DataFrame(found)
            found.insert(1, "num_clients", num_clients)
            found.insert(3, "ratio_to_local", found.seconds / found.seconds[0])
            found["loss_difference"] = (found.loss - found.loss[0]).map("{:.1e}".format)
            rows.append(found)
    table = pd.concat(rows, ignore_index=True)
    table.insert(0, "dataset", dataset.name)
    table = table.assign(num_rounds=NUM_ROUNDS - 1, num_runs=NUM_TURNS)
    write_results(path, table.round(4), seed=SEED, digests=digests)
    print(table.round(3).to_string(index=False))


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
