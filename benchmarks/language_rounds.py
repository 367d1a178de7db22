"""A round of the language model: against bare TensorFlow, and summed in secret.

    python benchmarks/language_rounds.py

The main model on the longest roles, 32 windows each in batches of 8, SGD. "bare" is one `tf.function` per
client that loops over the same batches, and a mean: nothing of TFF or fedlab, with XLA and without. The
others are whole rounds, `Runner.next`. Then rounds of 12 clients whose updates are summed as integers, in
the clear, by masks, by three servers and under CKKS, for all parameters and for adapters of rank 4, with the
bytes that a client sends. Last, the head's 512 outputs at one place of one window under CKKS: the last step of
a forward pass, one product with a known matrix.

Writes results/language_rounds.csv. Wall seconds, interleaved, medians. About 3 minutes on 2 cores.
"""

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import tenseal as ts
import tensorflow as tf
import tensorflow_federated as tff
from _common import ROOT, choose_path, create_parser

from fedlab import data, learning, models, runtime
from fedlab.data.preprocessing import Cohort, Preprocessing
from fedlab.experiments.results import write_results
from fedlab.experiments.timing import time_in_turn
from fedlab.models.transformer import apply_transformer

RATE, BATCH_SIZE, NUM_WINDOWS, SEED = 0.2, 8, 32, 0
COHORTS = (12, 16)
SUMS = ("plain", "secagg", "shares", "ckks")
NUM_RUNS, NUM_SUM_RUNS = 11, 5
NUM_PRODUCTS = 10_000  # timed together: one alone is shorter than a clock's own cost
TOLERANCE = 1e-4  # XLA adds in another order


def build_bare(shape, base, cohort, *, is_compiled: bool) -> Callable[[], list[np.ndarray]]:
    """Returns a function that trains each client in turn and returns the mean of the weights."""
    names = list(base)

    @tf.function(jit_compile=is_compiled, reduce_retracing=True)
    def train(weights, tokens, next_tokens):
        for k in range(NUM_WINDOWS // BATCH_SIZE):
            with tf.GradientTape() as tape:
                tape.watch(weights)
                logits = apply_transformer(dict(zip(names, weights, strict=True)), tokens[k], shape)
                loss = tf.reduce_mean(
                    tf.nn.sparse_softmax_cross_entropy_with_logits(next_tokens[k], logits)
                )
            gradients = tape.gradient(loss, weights)
            weights = [
                weight - RATE * tf.convert_to_tensor(gradient)
                for weight, gradient in zip(weights, gradients, strict=True)
            ]
        return weights

    start = [tf.constant(array) for array in base.values()]
    batches = [
        [tf.stack(list(part)) for part in zip(*dataset, strict=True)] for dataset in cohort.values()
    ]

    def run() -> list[np.ndarray]:
        trained = [train(start, *each) for each in batches]
        return [np.mean(arrays, axis=0) for arrays in zip(*trained, strict=True)]

    return run


def build_round(model, cohort, secure_sum: str | None = None) -> tuple[runtime.Runner, Callable]:
    """Returns a runner, and a function that runs one round of it; without a sum's name: of floats."""
    integers = (
        None
        if secure_sum is None
        else tff.learning.secure_aggregator(zeroing=False, clipping=False, weighted=False)
    )
    process = learning.build_fed_avg(
        model.build_tff_model(),
        client_learning_rate=RATE,
        weighted=False,
        aggregator=integers,
        metrics_aggregator=learning.leave_out_metrics,
    )
    runner = runtime.compile(process, secure_sum=secure_sum or "plain")
    state = runner.initialize()
    return runner, lambda: runner.next(state, cohort)


def compare_with_bare(model, shape, base, cohort_of) -> list[dict[str, Any]]:
    """Measures rounds beside the bare loops; a time counts only if the weights agree."""
    rows = []
    for num_clients in COHORTS:
        cohort = cohort_of(num_clients)
        bare = build_bare(shape, base, cohort, is_compiled=False)
        compiled = build_bare(shape, base, cohort, is_compiled=True)
        runner, run_round = build_round(model, cohort)
        ours = runner.get_model_weights(run_round().state).trainable
        for trained in (bare(), compiled()):
            for one, other in zip(ours, trained, strict=True):
                np.testing.assert_allclose(one, other, atol=TOLERANCE)
        cases = {"bare": bare, "bare, XLA": compiled, "fedlab": run_round}
        seconds = time_in_turn(cases, NUM_RUNS)
        rows += [
            {
                "part": "against bare TensorFlow",
                "model": "all parameters",
                "how": how,
                "num_clients": num_clients,
                "seconds": value,
                "ratio": value / seconds["bare"],
                "num_runs": NUM_RUNS,
            }
            for how, value in seconds.items()
        ]
    return rows


def compare_sums(name: str, model, cohort) -> list[dict[str, Any]]:
    """Measures rounds whose sums are more or less secret, and what a client sends."""
    rounds = {kind: build_round(model, cohort, kind) for kind in SUMS}
    for _, run_round in rounds.values():
        run_round()
    seconds = time_in_turn({kind: run for kind, (_, run) in rounds.items()}, NUM_SUM_RUNS)
    rows = []
    for kind, (runner, _) in rounds.items():
        plain = 4 * model.num_trainable  # 32-bit numbers
        costs = runner.secure_sum.costs if runner.secure_sum else None
        sent = plain if costs is None else statistics.median(costs.bytes_up.values())
        rows.append(
            {
                "part": "secure sums",
                "model": name,
                "how": kind,
                "num_clients": len(cohort),
                "seconds": seconds[kind],
                "ratio": seconds[kind] / seconds["plain"],
                "bytes_up_per_client": sent,
                "num_trainable": model.num_trainable,
                "num_runs": NUM_SUM_RUNS,
            }
        )
    return rows


def encrypt_head(base) -> list[dict[str, Any]]:
    """Measures the head's outputs at one place: a product of an encrypted vector and a plain matrix."""
    context = ts.context(
        ts.SCHEME_TYPE.CKKS, poly_modulus_degree=8192, coeff_mod_bit_sizes=[60, 40, 40, 60]
    )
    context.global_scale = 2**40
    context.generate_galois_keys()
    hidden = np.random.default_rng(SEED).normal(size=base["head"].shape[0])
    head = base["head"].astype(np.float64)
    times: dict[str, list[float]] = {"plain": [], "ckks": []}
    for _ in range(NUM_SUM_RUNS):
        begin = time.perf_counter()
        for _ in range(NUM_PRODUCTS):
            expected = hidden @ head
        times["plain"].append((time.perf_counter() - begin) / NUM_PRODUCTS)
        encrypted = ts.ckks_vector(context, hidden.tolist())
        begin = time.perf_counter()
        product = encrypted.matmul(head.tolist())
        times["ckks"].append(time.perf_counter() - begin)
        np.testing.assert_allclose(product.decrypt(), expected, atol=1e-3)
    medians = {kind: statistics.median(values) for kind, values in times.items()}
    return [
        {
            "part": "the head at one place",
            "model": "head",
            "how": kind,
            "num_clients": 1,
            "seconds": value,
            "ratio": value / medians["plain"],
            "num_runs": NUM_SUM_RUNS,
        }
        for kind, value in medians.items()
    ]


def main() -> None:
    args = create_parser(__doc__).parse_args()
    dataset = data.load("plays")
    path = choose_path("language_rounds.csv", {dataset.name: dataset.sha256}, args.to)
    shape, base = models.load_base()
    sizes = {each: dataset.train.num_examples(each) for each in dataset.train.client_ids}
    longest = sorted(sizes, key=lambda each: (-sizes[each], each))
    options = Preprocessing(BATCH_SIZE, max_examples=NUM_WINDOWS)

    def cohort_of(num_clients: int) -> Cohort:
        return Cohort(dataset.train, sorted(longest[:num_clients]), options, 1)

    full = models.build_full_model(shape, base)
    rows = compare_with_bare(full, shape, base, cohort_of)
    adapters = models.build_lora_model(shape, base, rank=4, seed=SEED)
    for name, model in (("all parameters", full), ("adapters, rank 4", adapters)):
        rows += compare_sums(name, model, cohort_of(COHORTS[0]))
    rows += encrypt_head(base)
    table = pd.DataFrame(rows).assign(dataset=dataset.name).round(9)
    write_results(path, table, seed=SEED, digests={dataset.name: dataset.sha256})
    print(table.to_string(index=False))


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
