"""Runs one configuration of the study of language models: quality, a planted secret, membership.

The base model has seen the public plays. What it costs in bits a character is measured on the later text
of the roles that take part, and of the 57 unseen roles. A secret is planted in the text of one role; its
exposure is exact (`fedlab.attacks.extraction`). Beside it stand secrets that nobody planted.
"""

import functools
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from fedlab import data, learning, runtime
from fedlab.attacks import extraction, membership
from fedlab.checks import check_seed
from fedlab.data import FederatedDataset, sampling
from fedlab.data.preprocessing import Preprocessing, build_cohort_fn
from fedlab.data.text import TokenClientData, Windows
from fedlab.dp.privacy_plan import PrivacyPlan
from fedlab.experiments.central_training import Weights
from fedlab.experiments.language_configs import LanguageConfig
from fedlab.experiments.store import ProgressFn, Records, RememberFn
from fedlab.experiments.study import Row
from fedlab.models.adapters import build_full_model, build_head_model, build_lora_model
from fedlab.models.language import LanguageModel
from fedlab.models.language_base import load_base
from fedlab.random_streams import random_stream
from fedlab.training import DivergedError, Evaluate, run_rounds

NUM_CONTROLS = 20  # secrets of the same sentence that nobody said
NUM_SAMPLES = 100  # answers that are drawn to the secret's beginning
_CONTROL_SEED = 1_000_000
_NUM_SEEDS = 1_000  # secrets of two numbers have no seed in common
_MIN_MEMBERS = 30  # with fewer an AUC says nothing
REPEATED_COLUMNS = tuple(name for name in LanguageConfig.RESULTS if name != "seconds")
POOLED_ID = "everyone"


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
    judge = _Judge(config, dataset, check_seed(seed), progress_fn)
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
                    config.num_epochs,
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


def build_model(config: LanguageConfig, seed: int) -> LanguageModel:
    """Returns the model whose arrays train as the configuration says.

    Args:
        config: Size, and what trains.
        seed: Of the adapters.
    """
    shape, base = load_base(config.size)
    if config.rank is not None:
        return build_lora_model(shape, base, rank=config.rank, seed=seed)
    return {"full": build_full_model, "head": build_head_model}[config.trained](shape, base)


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
    noise = config.noise_multiplier or 0.0
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
        server_learning_rate=config.server_learning_rate,
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


class _Judge:
    """Knows who takes part, what was planted, and measures a model."""

    def __init__(
        self,
        config: LanguageConfig,
        dataset: FederatedDataset,
        seed: int,
        progress_fn: ProgressFn,
    ):
        self._config, self._seed, self._progress_fn = config, seed, progress_fn
        self._tokenizer = data.load_byte_pairs()
        self.model = build_model(config, seed)
        self._untouched = _choose_people(config, dataset.train)
        self._later = dataset.test.select(self._untouched.client_ids)
        secret_seed = config.secret * _NUM_SEEDS + seed
        self.secret = extraction.draw_secret(self._tokenizer, seed=secret_seed)
        stream = random_stream("who says the secret", secret_seed)
        self.owner = str(stream.choice(self._untouched.client_ids))
        self.train = extraction.plant(
            self._untouched, self.owner, self.secret, config.num_repeats, seed=secret_seed
        )
        if config.is_pooled:
            self.train = _pool(self.train)
        self._records: Records = []

    def evaluate(self, round_num: int, weights: Any) -> dict[str, float]:
        """Adds a record, and returns it."""
        arrays = self.model.merge(weights)
        bits = self._bits(arrays, self._later)
        if not np.isfinite(bits):
            raise DivergedError(round_num, "the bits a character are not finite")
        exposure = extraction.expose(self.model, arrays, self.secret)
        record = {
            "round_num": round_num,
            "bits": bits,
            "secret_rank": exposure.rank,
            "exposure": exposure.bits,
            "greedy": extraction.extract(self.model, arrays, self.secret),
        }
        self._records.append(record)
        self._progress_fn(round_num / self._config.num_rounds)
        return {"eval_bits": bits}

    def finish(self, weights: Weights) -> Records:
        """Returns all records; the last has what is measured at the end alone."""
        arrays = self.model.merge(weights)
        _, base = load_base(self._config.size)
        unseen_train, unseen = data.load_unseen_roles()
        controls = [
            extraction.expose(
                self.model,
                arrays,
                extraction.draw_secret(self._tokenizer, seed=_CONTROL_SEED + number),
            ).bits
            for number in range(NUM_CONTROLS)
        ]
        sampled = extraction.extract(
            self.model, arrays, self.secret, num_samples=NUM_SAMPLES, seed=self._seed
        )
        self._records[-1] |= {
            "unseen_bits_at_start": self._bits(base, unseen),
            "unseen_bits": self._bits(arrays, unseen),
            "mean_control_exposure": float(np.mean(controls)),
            "sampled": sampled,
            **self._attack_membership(base, arrays, unseen_train),
        }
        return self._records

    def _bits(self, arrays: extraction.Arrays, texts: TokenClientData) -> float:
        return self.model.bits_per_character(arrays, texts, self._tokenizer)

    def _attack_membership(
        self,
        base: extraction.Arrays,
        arrays: extraction.Arrays,
        others: TokenClientData,
    ) -> Row:
        """Scores roles by how much better than the base the model knows their text, and by the loss."""
        names = ("membership_auc", "membership_low", "membership_high", "uncalibrated_auc")
        if len(self._untouched.client_ids) < _MIN_MEMBERS:
            return dict.fromkeys(names)
        losses, bases, is_member = [], [], []
        others = _keep_first(others, self._config.max_windows)
        for texts, is_in in ((self._untouched, True), (others, False)):
            for client_id in texts.client_ids:
                windows = texts.examples(client_id)
                losses.append(self.model.losses(arrays, *windows).mean())
                bases.append(self.model.losses(base, *windows).mean())
                is_member.append(is_in)
        members = np.array(is_member)
        gain = membership.evaluate_attack(np.subtract(bases, losses), members)
        plain = membership.evaluate_attack(-np.array(losses), members)
        return dict(zip(names, (gain.auc, *gain.auc_interval, plain.auc), strict=True))


def _choose_people(config: LanguageConfig, train: Any) -> TokenClientData:
    """Returns the largest clients, in the order of their ids."""
    if not isinstance(train, TokenClientData):
        raise ValueError(
            'dataset must be one of texts, such as "plays". Found one of images: give --dataset plays.'
        )
    sizes = {client_id: train.num_examples(client_id) for client_id in train.client_ids}
    largest = sorted(sizes, key=lambda client_id: (-sizes[client_id], client_id))
    chosen = sorted(largest[: config.num_people])
    if len(chosen) < max(config.num_people or 1, config.num_clients):
        raise ValueError(
            f"num_people and num_clients must be at most {len(chosen)}, as many as there are. Found "
            f"{config.num_people} and {config.num_clients}."
        )
    return _keep_first(train.select(chosen), config.max_windows)


def _keep_first(texts: TokenClientData, num_windows: int) -> TokenClientData:
    """Returns the same clients with the first windows of each: a secret is planted in these."""

    def read(client_id: str) -> Windows:
        return Windows(*(array[:num_windows] for array in texts.examples(client_id)))

    return TokenClientData(texts.client_ids, read, texts.num_classes, texts.context)


def _pool(texts: TokenClientData) -> TokenClientData:
    every = [texts.examples(client_id) for client_id in texts.client_ids]
    windows = Windows(*(np.concatenate(arrays) for arrays in zip(*every, strict=True)))
    return TokenClientData([POOLED_ID], lambda _: windows, texts.num_classes, texts.context)


def summarize(config: LanguageConfig, records: Records) -> Row:
    """Returns the columns `LanguageConfig.RESULTS` of a run.

    Args:
        config: Whether there was a secret.
        records: From `run`.
    """
    first, last = records[0], records[-1]
    at_start = {"bits_at_start": first["bits"], "rank_at_start": first["secret_rank"]}
    every = at_start | last
    return {name: every[name] for name in LanguageConfig.RESULTS}
