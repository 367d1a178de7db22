"""Runs one configuration of the study of language models: quality, a planted secret, membership.

The base model has seen the public plays. What it costs in bits a character is measured on the later text
of the roles that take part, and of the 57 unseen roles. A secret is planted in the text of one role; its
exposure is exact (`fedlab.attacks.extraction`). Beside it stand secrets that nobody planted.
"""

import functools
import time
from collections.abc import Sequence

import tensorflow_federated as tff

from fedlab import learning, runtime
from fedlab.checks import check_seed
from fedlab.data import FederatedDataset, sampling
from fedlab.data.preprocessing import Preprocessing, build_cohort_fn
from fedlab.data.text import TokenClientData
from fedlab.dp.privacy_plan import PrivacyPlan
from fedlab.experiments.language.judge import Judge
from fedlab.experiments.language.settings import LanguageConfig
from fedlab.experiments.language.unlearning import train_and_go_back
from fedlab.experiments.store import ProgressFn, Records, RememberFn
from fedlab.experiments.study import Row
from fedlab.models.language import LanguageModel
from fedlab.training import Evaluate, Record, run_rounds


def run(
    config: LanguageConfig,
    dataset: FederatedDataset,
    seed: int,
    *,
    remember_fn: RememberFn,
    progress_fn: ProgressFn,
) -> Records:
    """Trains once and measures on the way.

    Args:
        config: What to run.
        dataset: `fedlab.data.load("plays")`.
        seed: Of the cohorts, the order, the noise, the adapters, and of the secret and who says it.
        remember_fn: Not used: a run has no parts.
        progress_fn: Called with the share of the run that is done.

    Returns:
        A record for the base and for each evaluation: round_num, bits (a character, of the later text
        of those who take part), exposure in bits. The last also has what `summarize` takes from it.

    Raises:
        ValueError: The data set is another, or fewer take part than a round needs.
        DivergedError: A weight is not finite.
    """
    judge = Judge(config, dataset, check_seed(seed), progress_fn)
    start = time.perf_counter()
    judge.evaluate(0, judge.model.trainable.values())
    plan = build_plan(config, len(judge.train.client_ids))
    preprocessing = Preprocessing(config.batch_size, shuffle=True, seed=seed)
    sample_fn = _sample_fn(config, judge.train, judge.owner, plan, seed)
    cohort_fn = build_cohort_fn(judge.train, sample_fn, preprocessing)
    with compile_rounds(config, judge.model, plan, seed) as runner:
        if config.goes_back:
            trained = train_and_go_back(
                runner,
                cohort_fn,
                build_cohort_fn(
                    judge.train, sampling.fixed(_others(judge.train, judge.owner)), preprocessing
                ),
                joins_after=config.joins_after,
                num_rounds=config.num_rounds,
                evaluate_fn=judge.evaluate,
                evaluate_every=config.evaluate_every,
            )
        else:
            evaluation = Evaluate(judge.evaluate, config.evaluate_every)
            trained = run_rounds(runner, cohort_fn, config.num_rounds, callbacks=[evaluation])
    records = judge.finish(trained.weights)
    records[-1] |= {
        "seconds": time.perf_counter() - start,
        "seconds_after_leaving": _seconds_after_leaving(config, trained.records),
        "num_trainable": judge.model.num_trainable,
        "bytes_up_per_client": 4 * judge.model.num_trainable,  # float32
        "num_population": len(judge.train.client_ids),
        "epsilon": float("inf") if plan is None else plan.epsilon,
        "delta": None if plan is None else plan.delta,
        "noise_used": 0.0 if plan is None else plan.noise_multiplier,
    }
    return records


def build_plan(config: LanguageConfig, population: int) -> PrivacyPlan | None:
    """Returns clip and noise; `None` if updates are not clipped.

    Args:
        config: What to run.
        population: Number of clients that may be drawn.
    """
    if config.clip is None:
        return None
    if config.target_epsilon is not None:
        return PrivacyPlan.for_epsilon(
            config.target_epsilon,
            population=population,
            expected_num_clients=config.num_clients,
            num_rounds=config.num_rounds,
            clip=config.clip,
        )
    noise = config.noise or 0.0
    return PrivacyPlan(population, config.num_clients, config.num_rounds, noise, config.clip)


def compile_rounds(
    config: LanguageConfig, model: LanguageModel, plan: PrivacyPlan | None, seed: int
) -> runtime.Runner:
    """Returns the rounds of a configuration, for `run_rounds`.

    Args:
        config: Optimizers and rates.
        model: What trains.
        plan: From `build_plan`.
        seed: Of the noise.
    """
    build_fn = functools.partial(
        learning.build_fed_avg,
        model.build_tff_model(),
        client_optimizer=config.client_optimizer,
        client_learning_rate=config.client_learning_rate,
        weighted=False,
    )
    if config.secure_sum != "plain":
        integers = tff.learning.secure_aggregator(zeroing=False, clipping=False, weighted=False)
        process = build_fn(aggregator=integers, metrics_aggregator=learning.leave_out_metrics)
        return runtime.compile(process, secure_sum=config.secure_sum)
    if plan is None:
        return runtime.compile(build_fn())
    process = build_fn(
        aggregator=plan.build_aggregator(insecure_seed=seed),
        metrics_aggregator=learning.leave_out_metrics,
    )
    return runtime.compile(process, privacy_plan=plan)


def _others(texts: TokenClientData, owner: str) -> list[str]:
    return [client_id for client_id in texts.client_ids if client_id != owner]


def _seconds_after_leaving(config: LanguageConfig, records: Sequence[Record]) -> float | None:
    """Returns what the rounds took that are made after a client has left; None: none leaves."""
    count = config.rounds_after_leaving
    return sum(record["seconds"] for record in records[-count:]) if count else None


def _sample_fn(
    config: LanguageConfig,
    texts: TokenClientData,
    owner: str,
    plan: PrivacyPlan | None,
    seed: int,
) -> sampling.SampleFn:
    client_ids = texts.client_ids
    if plan is not None:
        return plan.sample_fn(client_ids, insecure_seed=seed)
    if config.num_clients < len(client_ids):
        return sampling.uniform(client_ids, config.num_clients, seed=seed)
    last = config.num_rounds if config.leaves_after is None else config.leaves_after
    others = _others(texts, owner)
    return lambda n: list(client_ids) if config.joins_after < n <= last else others


def summarize(config: LanguageConfig, records: Records) -> Row:
    """Returns the columns `LanguageConfig.RESULTS` of a run.

    Args:
        config: Whether members and others can be told apart.
        records: From `run`.
    """
    first, last = records[0], records[-1]
    at_start = {"bits_at_start": first["bits"], "rank_at_start": first["secret_rank"]}
    every = at_start | last
    # A run that was finished before a column was added has none of it.
    row: Row = {name: every.get(name) for name in LanguageConfig.RESULTS}
    if not config.leaves_out_half:
        row |= dict.fromkeys(name for name in row if "membership" in name or "auc" in name)
    return row
