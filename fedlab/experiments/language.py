"""Runs one configuration of the study of language models: quality, a planted secret, membership.

The base model has seen the public plays. What it costs in bits a character is measured on the later text
of the roles that take part, and of the 57 unseen roles. A secret is planted in the text of one role; its
exposure is exact (`fedlab.attacks.extraction`). Beside it stand secrets that nobody planted.
"""

import functools
import time
from collections.abc import Sequence

from fedlab import learning, runtime
from fedlab.checks import check_seed
from fedlab.data import FederatedDataset, sampling
from fedlab.data.preprocessing import Preprocessing, build_cohort_fn
from fedlab.dp.privacy_plan import PrivacyPlan
from fedlab.experiments.language_configs import LanguageConfig
from fedlab.experiments.language_judge import Judge
from fedlab.experiments.store import ProgressFn, Records, RememberFn
from fedlab.experiments.study import Row
from fedlab.models.language import LanguageModel
from fedlab.training import Evaluate, run_rounds

REPEATED_COLUMNS = tuple(name for name in LanguageConfig.RESULTS if name != "seconds")


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
    with compile_rounds(config, judge.model, plan, seed) as runner:
        trained = run_rounds(
            runner,
            build_cohort_fn(
                judge.train,
                _sample_fn(config, judge.train.client_ids, judge.owner, plan, seed),
                Preprocessing(
                    config.batch_size,
                    shuffle=True,
                    seed=seed,
                ),
            ),
            config.num_rounds,
            callbacks=[Evaluate(judge.evaluate, config.evaluate_every)],
        )
    records = judge.finish(trained.weights)
    records[-1] |= {
        "seconds": time.perf_counter() - start,
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
    return PrivacyPlan(population, config.num_clients, config.num_rounds, 0.0, config.clip)


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
    if plan is None:
        return runtime.compile(build_fn())
    process = build_fn(
        aggregator=plan.build_aggregator(insecure_seed=seed),
        metrics_aggregator=learning.leave_out_metrics,
    )
    return runtime.compile(process, privacy_plan=plan)


def _sample_fn(
    config: LanguageConfig,
    client_ids: Sequence[str],
    owner: str,
    plan: PrivacyPlan | None,
    seed: int,
) -> sampling.SampleFn:
    if plan is not None:
        return plan.sample_fn(client_ids, insecure_seed=seed)
    if config.num_clients < len(client_ids):
        return sampling.uniform(client_ids, config.num_clients, seed=seed)
    last = config.num_rounds if config.leaves_after is None else config.leaves_after
    others = [client_id for client_id in client_ids if client_id != owner]
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
    row = {name: every[name] for name in LanguageConfig.RESULTS}
    if not config.leaves_out_half:
        row |= dict.fromkeys(name for name in row if "membership" in name or "auc" in name)
    return row
