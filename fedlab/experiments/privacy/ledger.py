"""The ledger that closes the privacy part: a row for every defence.

Every defence on the same data, split, network, start and cohorts: what it costs in accuracy,
seconds and bytes, what attackers still get, and who learns what. A fifth of the writers is public. Of
the others half train, the members; the rest hold digits of the same kind and do not. All rows start
from a model that was trained on public digits, and count each client once.

- Server rate: for each row the best of the same few, in a rehearsal on the public writers.
- Accuracy: on the test digits of members and others, which nobody trained on and no rate was chosen by.
- Epsilon: of whole clients, of all rounds, at delta = 1 / (10 * members), by the accountant.
- Seconds and bytes: of a round of one group of clients, all parties taking turns on this machine,
  keys included. Larger cohorts would be summed in such groups (Bonawitz et al. 2019, section 6).
- Reconstruction: SSIM of what is rebuilt from what the server gets in round 1, one digit a client
  and one step: each client's update, or the sum of a group. The attacker is told the labels.
- Membership: AUC of an attack on writers, on the finished model, with its 95% interval. One
  attacker for all rows, whose reference models are trained without a defence.

A secure sum changes no bit of the model, which is checked: its accuracy and its AUC are those of
the row without a defence, and are not measured again. The column `shared` says so, `note` why.
"""

import functools
import math
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

from fedlab import files, plots, runtime
from fedlab.attacks import membership
from fedlab.data import FederatedDataset
from fedlab.dp import accounting
from fedlab.experiments.privacy.attacks import (
    attack_membership,
    blank_ssim,
    build_group,
    client_confidences,
    reconstruct_each,
    reconstruct_sum,
)
from fedlab.experiments.privacy.configs import (
    CLIPPING,
    MASKS,
    NONE,
    LedgerConfig,
    noise_name,
    with_defence,
    without_defence,
)
from fedlab.experiments.privacy.defences import (
    build_plan,
    compile_rounds,
    group_noise_multiplier,
    measure_groups,
    train,
)
from fedlab.experiments.privacy.rehearsal import rehearse
from fedlab.experiments.privacy.start import pooled_accuracy, pretrain
from fedlab.experiments.privacy.summary import summarize
from fedlab.experiments.privacy.texts import describe_knowledge, explain, to_markdown
from fedlab.experiments.privacy.writers import Writers, split_writers
from fedlab.experiments.report import write_page
from fedlab.experiments.settings import vary
from fedlab.experiments.store import Part, ProgressFn, Records, RememberFn

_DIGITS = 5  # that a row keeps
_MODEL_COLUMNS = (
    "server_learning_rate",
    "rehearsal",
    "accuracy",
    "membership_auc",
    "membership_low",
    "membership_high",
)
_VIEW_COLUMNS = ("reconstruction_ssim",)
_COST_COLUMNS = (
    "seconds_per_round",
    "seconds_ratio",
    "bytes_up_per_client",
    "bytes_down_per_client",
)


def repeated_columns(config: LedgerConfig) -> tuple[str, ...]:
    """Returns the columns that are the same in every run: no timings, nothing with fresh noise."""
    columns = ("delta", "blank_ssim", "num_members", "who_learns_what", "shared")
    if config.mechanism == "distributed":
        return columns
    return ("epsilon", *_MODEL_COLUMNS, *_VIEW_COLUMNS, *columns)


def model_source(config: LedgerConfig) -> LedgerConfig:
    """Returns the row whose model a row has: a secure sum changes nothing in it."""
    return without_defence(config) if config.mechanism == "integers" else config


def view_source(config: LedgerConfig) -> LedgerConfig:
    """Returns the row in which the server sees the same of a group's round."""
    if config.mechanism == "noise":
        return with_defence(config, CLIPPING, "clipping")
    if config.mechanism == "integers":
        return with_defence(config, MASKS, "integers", secure_sum="secagg")
    return config


def run(
    config: LedgerConfig,
    dataset: FederatedDataset,
    seed: int,
    *,
    remember_fn: RememberFn,
    progress_fn: ProgressFn,
) -> Records:
    """Measures one row of the ledger, as a `RunFn`; keys, ciphertexts and clients' noise have no seed.

    It keeps the parts that rows have in common: the rounds of a group, a rehearsal, the attacker's
    reference models, a model, a reconstruction.

    Returns:
        One record, the columns `LedgerConfig.RESULTS`; numbers are rounded to five decimals.
    """
    writers = split_writers(dataset, seed)
    shared = without_defence(config)
    groups = remember_fn(
        Part("rounds of a group", shared), lambda: measure_groups(shared, dataset, seed)
    )
    progress_fn(0.2)
    seen = view_source(config)
    view = remember_fn(Part("reconstruction", seen), lambda: _reconstruct(seen, dataset, seed))
    progress_fn(0.4)
    trained = model_source(config)
    rates = {
        row: remember_fn(Part("rehearsal", row), functools.partial(rehearse, row, dataset, seed))[0]
        for row in (shared, trained)
    }
    progress_fn(0.6)
    rate = rates[trained]["server_learning_rate"]
    model = remember_fn(Part("model", trained), lambda: _train_model(trained, dataset, seed, rate))
    progress_fn(0.8)
    plain_rate = rates[shared]["server_learning_rate"]
    attack = _attack(shared, dataset, seed, plain_rate, model[0]["confidences"], remember_fn)
    progress_fn(1.0)
    epsilon, noise_multiplier = _account(config, writers.num_members)
    rounding = groups[0]["rounding"]
    record = {
        "epsilon": epsilon,
        "delta": accounting.default_delta(writers.num_members),
        **rates[trained],
        "accuracy": model[0]["accuracy"],
        "membership_auc": attack.auc,
        "membership_low": attack.auc_interval[0],
        "membership_high": attack.auc_interval[1],
        "reconstruction_ssim": view[0]["ssim"],
        **_find_costs(config, groups),
        "who_learns_what": describe_knowledge(config),
        "shared": " ".join(_shared_columns(config)),
        "note": explain(config, noise_multiplier, rounding, writers.num_members),
        "blank_ssim": view[0]["blank_ssim"],
        "num_members": writers.num_members,
    }
    return [{name: _round(value) for name, value in record.items()}]


def _round(value: Any) -> Any:
    return float(np.round(value, _DIGITS)) if isinstance(value, float) else value


def _account(config: LedgerConfig, num_members: int) -> tuple[float, float]:
    """Returns epsilon and noise multiplier.

    Epsilon is infinite where there is no noise, and NaN where the accountant cannot tell it.
    """
    if config.mechanism == "distributed":
        return math.nan, group_noise_multiplier(config, num_members)
    if config.target_epsilon is None:
        return math.inf, 0.0
    plan = build_plan(config, config.target_epsilon, num_members)
    return plan.epsilon, plan.noise_multiplier


def _cost_source(config: LedgerConfig) -> str:
    """Returns the row whose rounds of a group a row has: noise costs the same for any epsilon."""
    is_noise = config.mechanism == "noise"
    return noise_name(config.group_epsilon) if is_noise else config.defence


def _find_costs(config: LedgerConfig, groups: Records) -> dict[str, float]:
    by_name = {row["defence"]: row for row in groups}
    costs, plain = by_name[_cost_source(config)], by_name[NONE]
    ratio = costs["seconds_per_round"] / plain["seconds_per_round"]
    return {name: costs.get(name, ratio) for name in _COST_COLUMNS}


def _shared_columns(config: LedgerConfig) -> list[str]:
    """Returns the columns whose values are those of another row."""
    sources = [
        (model_source(config).defence, _MODEL_COLUMNS),
        (view_source(config).defence, _VIEW_COLUMNS),
        (_cost_source(config), _COST_COLUMNS),
    ]
    return [name for source, names in sources if source != config.defence for name in names]


def _reconstruct(config: LedgerConfig, dataset: FederatedDataset, seed: int) -> Records:
    writers = split_writers(dataset, seed)
    group = build_group(writers, config.group_size)
    # A clipped sum is divided by all members. The server has the sum; a change of the weights that is
    # so much smaller would be lost when they are rounded to float32.
    rate = float(writers.num_members) if config.mechanism == "clipping" else 1.0
    runner = compile_rounds(config, writers.num_members, seed, server_learning_rate=rate)
    reconstruct = reconstruct_each if config.secure_sum is None else reconstruct_sum
    ssim = reconstruct(config, group, runner, pretrain(dataset, seed), seed)
    return [{"ssim": ssim, "blank_ssim": blank_ssim(group)}]


def _train_model(
    config: LedgerConfig, dataset: FederatedDataset, seed: int, rate: float
) -> Records:
    writers, start = split_writers(dataset, seed), pretrain(dataset, seed)
    runner = _compile_training(config, writers, seed, rate)
    weights = train(config, writers.train, writers.members, start, runner, seed)
    accuracy = pooled_accuracy(dataset, weights, writers.client_ids)
    confidences = client_confidences(writers, weights).tolist()
    return [{"accuracy": accuracy, "confidences": confidences}]


def _compile_training(
    config: LedgerConfig, writers: Writers, seed: int, rate: float
) -> runtime.Runner:
    # A secure sum is for groups; the same integers are summed in the clear here.
    in_the_clear = vary(config, secure_sum=None)
    return compile_rounds(in_the_clear, writers.num_members, seed, server_learning_rate=rate)


def _attack(
    config: LedgerConfig,
    dataset: FederatedDataset,
    seed: int,
    rate: float,
    confidences: list[float],
    remember_fn: RememberFn,
) -> membership.AttackResult:
    """Attacks a model, by reference models that are trained without a defence."""
    writers = split_writers(dataset, seed)

    def train_reference(client_ids: list[str], reference_seed: int) -> np.ndarray:
        def compute() -> Records:
            start = pretrain(dataset, seed)
            runner = _compile_training(config, writers, seed, rate)
            weights = train(config, writers.train, client_ids, start, runner, reference_seed)
            return [{"confidences": client_confidences(writers, weights).tolist()}]

        part = Part(f"reference model {reference_seed - seed}", config)
        return np.array(remember_fn(part, compute)[0]["confidences"])

    references, is_in = membership.train_shadow_models(
        train_reference, writers.client_ids, config.num_references, seed=seed
    )
    return attack_membership(writers, np.array(confidences), references, is_in, seed)


def write_report(path: Path, table: pd.DataFrame) -> None:
    """Writes the ledger as Markdown, and its picture beside it: means over the seeds."""
    table = summarize(table)
    write_page(path, "The privacy ledger", [to_markdown(table)], "privacy_ledger", table)
    with matplotlib.rc_context():
        plots.use_style()
        files.write_picture(path.with_suffix(".png"), plots.ledger(table).savefig)
