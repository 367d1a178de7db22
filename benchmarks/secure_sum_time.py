"""How long a round takes whose sum no server can read: `python benchmarks/secure_sum_time.py`.

The article's CNN, 693,962 parameters, as integers (TFF's `secure_aggregator`), on the writer digits
where they are, else on the digits. Whole rounds: the clients train, all parties take their turns in
this process, keys included. Interleaved, medians. Beside them the protocol of secure aggregation alone,
without training, with all clients and with 30% gone before they send; its sum is checked.

Writes results/secure_sum_time.csv. About 3 minutes on 2 cores.
"""

import os
from collections.abc import Callable

import numpy as np
import pandas as pd
import tensorflow_federated as tff
from _common import ROOT, choose_path, create_parser, load

from fedlab import learning, models, runtime
from fedlab.data.preprocessing import Cohort, Preprocessing
from fedlab.experiments.results import write_results
from fedlab.experiments.timing import time_in_turn
from fedlab.secure.interface import IntegerSpec
from fedlab.secure.secagg import SecAgg

CASES = [("plain", 10), ("ckks", 10), ("plain", 20), ("secagg", 20), ("shares", 20)]
NUM_RUNS = 3
NUM_PARAMETERS, MAX_VALUE = 693_962, 2**32 - 1
NUM_CLIENTS, NUM_GONE = 20, 6
SEED = 0


def build_round(train, secure_sum: str, num_clients: int) -> Callable[[], object]:
    """Returns a function that runs one round with the first clients."""
    process = learning.build_fed_avg(
        models.build_functional_model(),
        weighted=False,
        aggregator=tff.learning.secure_aggregator(zeroing=False, clipping=False, weighted=False),
        metrics_aggregator=learning.leave_out_metrics,
    )
    runner = runtime.compile(process, secure_sum=secure_sum)
    state = runner.initialize()
    cohort = Cohort(train, train.client_ids[:num_clients], Preprocessing(), 1)
    return lambda: runner.next(state, cohort)


def build_protocol(num_gone: int) -> Callable[[], None]:
    """Returns a function that runs the protocol alone: no training, the vectors drawn before."""
    rng = np.random.default_rng(SEED)
    spec = IntegerSpec((NUM_PARAMETERS,), np.dtype(np.int64), MAX_VALUE)
    vectors = {
        f"client {k}": rng.integers(0, MAX_VALUE, NUM_PARAMETERS) for k in range(NUM_CLIENTS)
    }
    left = list(vectors)[num_gone:]
    expected = np.sum([vectors[name] for name in left], axis=0)

    def run() -> None:
        secure_round = SecAgg().begin_round(list(vectors), [spec])
        for name in left:
            secure_round.add(name, [vectors[name]])
        (found,) = secure_round.finish()
        if not np.array_equal(found, expected):
            raise RuntimeError("The secure sum is not the sum.")

    return run


def main() -> None:
    args = create_parser(__doc__).parse_args()
    dataset = load()
    digests = {dataset.name: dataset.sha256}
    path = choose_path("secure_sum_time.csv", digests, args.to)
    cases = {case: build_round(dataset.train, *case) for case in CASES}
    for gone in (0, NUM_GONE):
        case = f"secagg, no training, {gone} gone", NUM_CLIENTS
        cases[case] = build_protocol(gone)
    for run in cases.values():
        run()
    rows = [
        {"dataset": dataset.name, "sum": kind, "num_clients": size, "seconds": seconds}
        for (kind, size), seconds in time_in_turn(cases, NUM_RUNS).items()
    ]
    table = pd.DataFrame(rows)
    plain = table[table["sum"] == "plain"].set_index("num_clients").seconds
    table["ratio_to_plain"] = table.seconds / table.num_clients.map(plain)
    table = table.assign(num_runs=NUM_RUNS).round(3)
    write_results(path, table, seed=SEED, digests=digests)
    print(table.to_string(index=False))


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
