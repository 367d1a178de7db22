"""Accuracy against epsilon, and an audit of the same runs.

A CNN, trained on public digits first if the configuration says so, then DP-FedAvg: cohorts by Poisson
sampling, each update clipped, noise on the sum. Epsilon is of whole clients, over all rounds, at
delta = 1 / (10 * population), as `fedlab.dp.accounting.default_delta` says.

In the audited runs there are canaries, too: simulated clients whose coins an auditor guesses from the
final model. `audit_epsilon` is the lower bound that this gives, with 95% confidence; the accountant's
`epsilon` is the upper bound. All canaries of a round together are shorter than its noise. Among few
clients they cost accuracy all the same, so each noised run is there without them, too.

Sampling and noise are seeded, so that the figures repeat: a real run must leave the seeds out.
"""

import math
import statistics
from pathlib import Path

import numpy as np
import pandas as pd

from fedlab import learning, models, runtime
from fedlab.data import FederatedDataset
from fedlab.data.preprocessing import Preprocessing, build_cohort_fn
from fedlab.dp import audit, canaries
from fedlab.dp.privacy_plan import PrivacyPlan
from fedlab.experiments import markdown
from fedlab.experiments.central_training import Weights
from fedlab.experiments.privacy.configs import EpsilonConfig
from fedlab.experiments.privacy.start import NETWORKS, network_of, pooled_accuracy, pretrain
from fedlab.experiments.report import write_page
from fedlab.experiments.store import ProgressFn, Records, RememberFn
from fedlab.training import run_rounds

_TITLES = {
    "privacy_epsilon": "Accuracy against epsilon",
    "privacy_recipe": "What a recipe for a small epsilon is worth",
}
_NO_CLIP = 1e6  # longer than any update


def run(
    config: EpsilonConfig,
    dataset: FederatedDataset,
    seed: int,
    *,
    remember_fn: RememberFn,
    progress_fn: ProgressFn,
) -> Records:
    """Trains once, and audits the run if it has noise and canaries, as a `RunFn`.

    Returns:
        One record, the columns `EpsilonConfig.RESULTS`: epsilon, audit_epsilon in nats (the second
        NaN without an audit), accuracies in [0, 1].
    """
    clients = dataset.participants(pretrained=True)
    plan = build_plan(config, len(clients.client_ids))
    is_audited = plan.noise_multiplier > 0 and config.num_canaries > 0
    batches = Preprocessing(config.batch_size, shuffle=True, seed=seed)
    sample_fn = plan.sample_fn(clients.client_ids, insecure_seed=seed)
    network = network_of(config.model)
    start = (
        pretrain(dataset, seed, config.model)
        if config.pretrained
        else network.initial_weights(seed)
    )
    included = canaries.flip_coins(config.num_canaries, seed=seed) if is_audited else None
    with compile_rounds(config, plan, seed) as runner:
        trained = run_rounds(
            runner if included is None else hide_canaries(runner, config, plan, included, seed),
            build_cohort_fn(clients, sample_fn, batches),
            plan.num_rounds,
            initial_weights=start,
            callbacks=[],
        )
    progress_fn(1.0)
    audit_epsilon = math.nan
    if included is not None:
        audit_epsilon = audit_run(config, plan, start, trained.weights, included, seed)
    return [
        {
            "epsilon": plan.epsilon,
            "delta": plan.delta,
            "noise_multiplier": plan.noise_multiplier,
            "accuracy_at_start": pooled_accuracy(dataset, start, name=config.model),
            "accuracy": pooled_accuracy(dataset, trained.weights, name=config.model),
            "audit_epsilon": audit_epsilon,
            "seconds_per_round": statistics.median(row["seconds"] for row in trained.records),
            "expected_num_clients": plan.expected_num_clients,
            "population": plan.population,
            "num_params": sum(np.size(array) for array in start.trainable),
        }
    ]


def build_plan(config: EpsilonConfig, population: int) -> PrivacyPlan:
    """Returns the plan for an epsilon; without noise for an infinite one."""
    num_clients = min(config.num_clients, population)
    clip = min(config.clip, _NO_CLIP)
    if math.isinf(config.target_epsilon):
        return PrivacyPlan(population, num_clients, config.num_rounds, 0.0, clip)
    return PrivacyPlan.for_epsilon(
        config.target_epsilon,
        population=population,
        expected_num_clients=num_clients,
        num_rounds=config.num_rounds,
        clip=clip,
    )


def compile_rounds(config: EpsilonConfig, plan: PrivacyPlan, seed: int) -> runtime.Runner:
    """Returns DP-FedAvg: SGD at the clients and, with a rate of its own, at the server."""
    return runtime.compile(
        learning.build_fed_avg(
            models.build_functional_model(NETWORKS[config.model]),
            client_learning_rate=config.client_learning_rate,
            server_learning_rate=config.server_learning_rate,
            weighted=False,
            aggregator=plan.build_aggregator(insecure_seed=seed),
            metrics_aggregator=learning.leave_out_metrics,
        ),
        privacy_plan=plan,
    )


def hide_canaries(
    runner: runtime.Runner,
    config: EpsilonConfig,
    plan: PrivacyPlan,
    included: np.ndarray,
    seed: int,
) -> runtime.Runner:
    """Returns a runner that adds what canaries would have sent, times the server's rate."""
    return canaries.CanaryRunner(
        runner,
        included,
        norm=config.server_learning_rate * plan.clip / plan.expected_num_clients,
        sampling_probability=plan.expected_num_clients / plan.population,
        seed=seed,
    )


def audit_run(
    config: EpsilonConfig,
    plan: PrivacyPlan,
    start: Weights,
    weights: Weights,
    included: np.ndarray,
    seed: int,
) -> float:
    """Returns the epsilon, in nats, that the run shows to be exceeded, with 95% confidence."""
    change = [new - old for new, old in zip(weights.trainable, start.trainable, strict=True)]
    scores = canaries.direction_scores(change, config.num_canaries, seed=seed)
    assert plan.delta is not None  # the plan has chosen it
    return audit.epsilon_lower_bound(
        scores, included, delta=plan.delta, num_guesses=config.num_guesses
    )


def write_report(path: Path, table: pd.DataFrame, *, name: str) -> None:
    """Writes a study's table as Markdown: for each data set, the mean over seeds.

    Args:
        path: The Markdown file.
        table: The study's results file.
        name: What the command line calls the study.
    """
    is_audited = table.audit_epsilon.notna().any()
    lines = []
    for (dataset, run_name), rows in table.groupby(["dataset", "name"], sort=False):
        row, audited = rows.iloc[0], rows.audit_epsilon.max()
        cells = [
            dataset,
            run_name,
            _write_epsilon(row.epsilon),
            f"{row.delta:.2g}",
            f"{rows.accuracy.mean():.2%}",
            ("–" if math.isnan(audited) else f"{audited:.2f}")
            if is_audited
            else f"{rows.accuracy_at_start.mean():.2%}",
        ]
        lines.append(cells)
    last = "largest audited epsilon" if is_audited else "accuracy at the start"
    titles = ("data", "run", "epsilon", "delta", "accuracy", last)
    explained = (
        f"Accuracy on the test digits of all writers, mean over {table.seed.nunique()} seeds; "
        "epsilon in nats, of whole writers and all rounds, at the delta beside it."
    )
    if is_audited:
        explained += (
            " The audit gives a lower bound with 95% confidence; the largest of the seeds is shown."
        )
    parts = [markdown.table(titles, lines, texts=("run",)), explained]
    write_page(path, _TITLES[name], parts, name, table)


def _write_epsilon(epsilon: float) -> str:
    return "no bound" if math.isinf(epsilon) else f"{epsilon:.2f}"
