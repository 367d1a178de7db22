"""Accuracy against epsilon, and an audit of the same runs: `python benchmarks/privacy_epsilon.py`.

The small CNN, trained on public digits first, then DP-FedAvg: cohorts by Poisson sampling, each update
clipped, noise on the sum, for several epsilons and seeds. Beside them the same run without noise, and
one without noise or clip. Epsilon is of whole clients, over all rounds, at delta = population^-1.1.

In the noised runs there are canaries, too: made-up clients whose coins an auditor guesses from the
final model. `audit_epsilon` is the lower bound that this gives, with 95% confidence; the accountant's
`epsilon` is the upper one. All canaries of a round together are shorter than its noise.

Sampling and noise are seeded, so that the figures repeat: a real run must leave the seeds out. Writes
results/privacy_epsilon.csv: the digits, and the writer digits where they are. About 25 minutes on 2
cores.
"""

import functools
import math
import os
import statistics

import numpy as np
import pandas as pd
from _common import ROOT, WRITER_DIGITS, choose_path, create_parser
from _privacy_start import pretrain

from fedlab import data, learning, models, runtime
from fedlab.data.preprocessing import Preprocessing, build_cohort_fn
from fedlab.dp import audit, canaries
from fedlab.dp.mechanisms import PrivacyPlan
from fedlab.experiments import central_training
from fedlab.experiments.results import write_results
from fedlab.runtime import Runner
from fedlab.training import run_rounds

EPSILONS = (1.0, 2.0, 4.0, 8.0)
SEEDS = (0, 1, 2)
CLIP, NO_CLIP = 0.5, 1e6
CLIENT_RATE, BATCH_SIZE = 0.2, 20
SERVER_RATE = {CLIP: 2.0, NO_CLIP: 1.0}  # without a clip, steps of 2 diverge at once
NUM_ROUNDS = 40
EXPECTED_NUM_CLIENTS = 200  # of the writer digits' 640; the digits' writers all take part
NUM_CANARIES, NUM_GUESSES = 1000, 100
SHOWN = ["dataset", "target_epsilon", "clip", "accuracy", "audit_epsilon"]


class World:
    """A data set, who takes part, and the model that every run starts from."""

    def __init__(self, argument: str):
        self.dataset = data.load(argument)
        self.train = self.dataset.participants(pretrained=True)
        self.network = central_training.build_network(models.create_small_cnn)
        self.model = models.build_functional_model(models.create_small_cnn)
        self.num_params = models.create_small_cnn().count_params()
        self.start = functools.cache(lambda seed: pretrain(self.dataset.public_examples, seed))

    def plan(self, target: float, clip: float) -> PrivacyPlan:
        """Returns the plan for an epsilon; without noise for an infinite one."""
        population = len(self.train.client_ids)
        run = {
            "population": population,
            "expected_num_clients": min(EXPECTED_NUM_CLIENTS, population),
            "num_rounds": NUM_ROUNDS,
            "clip": clip,
        }
        if target == math.inf:
            return PrivacyPlan(noise_multiplier=0.0, **run)
        return PrivacyPlan.for_epsilon(target, **run)

    def compile(self, plan: PrivacyPlan, seed: int) -> Runner:
        """Returns DP-FedAvg: SGD at the clients and, with a rate of its own, at the server."""
        return runtime.compile(
            learning.build_fed_avg(
                self.model,
                client_learning_rate=CLIENT_RATE,
                server_learning_rate=SERVER_RATE[plan.clip],
                weighted=False,
                aggregator=plan.build_aggregator(insecure_seed=seed),
            )
        )

    def accuracy(self, weights: central_training.Weights) -> float:
        """Returns the share of right answers on everybody's test digits."""
        test = self.dataset.pooled_test
        return float((self.network.answer(weights, test).prediction == test.labels).mean())


def run(world: World, target: float, clip: float, seed: int) -> dict[str, float]:
    """Trains once, and audits the run if it is noised."""
    plan = world.plan(target, clip)
    is_noised = plan.noise_multiplier > 0
    sample_fn = plan.sample_fn(world.train.client_ids, insecure_seed=seed)
    cohort_fn = build_cohort_fn(
        world.train, sample_fn, Preprocessing(BATCH_SIZE, shuffle=True, seed=seed)
    )
    start = world.start(seed)
    included = canaries.flip_coins(NUM_CANARIES, seed=seed)
    with world.compile(plan, seed) as runner:
        runner = hide_canaries(runner, plan, included, seed) if is_noised else runner
        trained = run_rounds(
            runner, cohort_fn, plan.num_rounds, initial_weights=start, callbacks=[]
        )
    found = {
        "target_epsilon": target,
        "epsilon": plan.epsilon,
        "delta": plan.delta,
        "noise_multiplier": plan.noise_multiplier,
        "clip": clip if clip < NO_CLIP else math.inf,
        "server_learning_rate": SERVER_RATE[clip],
        "accuracy_at_start": world.accuracy(start),
        "accuracy": world.accuracy(trained.weights),
        "audit_epsilon": math.nan,
        "seconds_per_round": statistics.median(one["seconds"] for one in trained.records),
        "num_rounds": plan.num_rounds,
        "expected_num_clients": plan.expected_num_clients,
        "population": plan.population,
        "num_params": world.num_params,
    }
    if is_noised:
        found["audit_epsilon"] = audit_run(start, trained.weights, included, plan.delta, seed)
    return found


def hide_canaries(runner: Runner, plan: PrivacyPlan, included: np.ndarray, seed: int) -> Runner:
    """Returns a runner that adds what canaries would have; the server's rate scales theirs, too."""
    return canaries.CanaryRunner(
        runner,
        included,
        norm=SERVER_RATE[plan.clip] * plan.clip / plan.expected_num_clients,
        sampling_probability=plan.expected_num_clients / plan.population,
        seed=seed,
    )


def audit_run(start, weights, included: np.ndarray, delta: float, seed: int) -> float:
    """Returns the epsilon that the run shows to be exceeded, with 95% confidence."""
    change = [new - old for new, old in zip(weights.trainable, start.trainable, strict=True)]
    scores = canaries.direction_scores(change, NUM_CANARIES, seed=seed)
    return audit.epsilon_lower_bound(scores, included, delta=delta, num_guesses=NUM_GUESSES)


def main() -> None:
    parser = create_parser(__doc__)
    parser.add_argument("--dataset", action="append", help="digits or a file; default: both")
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    args = parser.parse_args()
    names = args.dataset or ["digits", *([str(WRITER_DIGITS)] if WRITER_DIGITS.exists() else [])]
    cases = [*((epsilon, CLIP) for epsilon in EPSILONS), (math.inf, CLIP), (math.inf, NO_CLIP)]
    worlds = [World(name) for name in names]
    digests = {world.dataset.name: world.dataset.sha256 for world in worlds}
    path = choose_path("privacy_epsilon.csv", digests, args.to)
    rows = []
    for world in worlds:
        for seed in range(args.seeds):
            for target, clip in cases:
                row = {"dataset": world.dataset.name} | run(world, target, clip, seed)
                print({column: row[column] for column in SHOWN}, flush=True)
                rows.append(row | {"seed": seed})
    table = pd.DataFrame(rows)
    write_results(path, table, seed=table.seed, digests=digests)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
