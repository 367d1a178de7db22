"""The studies of the course, by name."""

import functools
from collections.abc import Sequence

import pandas as pd

from fedlab.data import FederatedDataset
from fedlab.experiments import article_gap, execution, personalization, report
from fedlab.experiments.central_training import CreateSeededFn
from fedlab.experiments.config import RunConfig
from fedlab.experiments.language import leaks, training
from fedlab.experiments.language import report as language_report
from fedlab.experiments.personalization_configs import MODELS
from fedlab.experiments.plans import PLANS
from fedlab.experiments.privacy import epsilon, ledger
from fedlab.experiments.settings import Config
from fedlab.experiments.store import ProgressFn, Records, RememberFn
from fedlab.experiments.study import Row, RunFn, Study

_REPEATED = ("accuracy", "loss", "five_accuracy", "best_accuracy", "worst_decile_accuracy")
_SHOWN = ("accuracy", "loss", "five_accuracy", "num_rounds_done", "seconds")


def run_training(
    config: RunConfig,
    dataset: FederatedDataset,
    seed: int,
    *,
    remember_fn: RememberFn,
    progress_fn: ProgressFn,
    create_fn: CreateSeededFn | None = None,
) -> Records:
    """Runs `execution.run` as a study does; its evaluations are the records, and it has no parts."""
    table = execution.run(config, dataset, seed, create_fn=create_fn, progress_fn=progress_fn)
    return table.to_dict("records")


def summarize_training(config: RunConfig, records: Records) -> Row:
    """Returns the columns of a training run; its own target accuracy is looked up, if it has one."""
    target = config.stop_at_accuracy or execution.TARGET_ACCURACY
    return execution.summarize(pd.DataFrame(records), target)


def build_training_study(
    name: str, configs: Sequence[Config], run_fn: RunFn = run_training
) -> Study:
    """Returns a study of training runs, each a `RunConfig`."""
    return Study(
        name=name,
        configs=configs,
        run_fn=run_fn,
        summarize_fn=summarize_training,
        repeated_fn=lambda config: _REPEATED,
        shown=_SHOWN,
        write_report_fn=lambda path, table: report.write_report(path, name, table),
        estimate_cost_fn=execution.estimate_cost,
        num_seeds=5,
        has_curves=True,
        has_file_per_dataset=True,
    )


def _first_record(config: Config, records: Records) -> Row:
    return records[0]


_ARTICLE_GAP = Study(
    name="article_gap",
    configs=PLANS["article_gap"],
    run_fn=article_gap.run,
    summarize_fn=article_gap.summarize,
    shown=("first_loss", "loss", "accuracy", "test_accuracy"),
    write_report_fn=article_gap.write_report,
    num_seeds=5,
    has_curves=True,
)
_PERSONALIZATION = Study(
    name="personalization",
    configs=PLANS["personalization"],
    run_fn=personalization.run,
    summarize_fn=personalization.summarize,
    shown=tuple(f"{model}_accuracy" for model in MODELS),
    write_report_fn=personalization.write_report,
    num_seeds=5,
    has_file_per_dataset=True,
)
_PRIVACY_EPSILON, _PRIVACY_RECIPE = (
    Study(
        name=name,
        configs=PLANS[name],
        run_fn=epsilon.run,
        summarize_fn=_first_record,
        shown=("epsilon", "delta", "accuracy", "audit_epsilon", "seconds_per_round"),
        write_report_fn=functools.partial(epsilon.write_report, name=name),
        num_seeds=3,
        combines_datasets=True,
    )
    for name in ("privacy_epsilon", "privacy_recipe")
)
_PRIVACY_LEDGER = Study(
    name="privacy_ledger",
    configs=PLANS["privacy_ledger"],
    run_fn=ledger.run,
    summarize_fn=_first_record,
    repeated_fn=ledger.repeated_columns,
    shown=(
        "epsilon",
        "delta",
        "accuracy",
        "membership_auc",
        "reconstruction_ssim",
        "seconds_per_round",
    ),
    write_report_fn=ledger.write_report,
    num_seeds=3,
)
_LANGUAGE = Study(
    name="language",
    configs=PLANS["language"],
    run_fn=training.run,
    summarize_fn=training.summarize,
    shown=("bits", "unseen_bits", "secret_rank", "exposure", "membership_auc", "epsilon"),
    write_report_fn=language_report.write_report,
    num_seeds=3,
    has_curves=True,
    default_dataset="plays",
)
_TEXT_LEAKS = Study(
    name="text_leaks",
    configs=PLANS["text_leaks"],
    run_fn=leaks.run,
    summarize_fn=leaks.summarize,
    shown=("window_share", "bag_recall", "places_recall", "places_false"),
    write_report_fn=leaks.write_report,
    num_seeds=3,
    default_dataset="plays",
)
STUDIES: dict[str, Study] = {
    **{
        name: build_training_study(name, PLANS[name])
        for name in ("improvements", "better_start", "non_iid", "ladder", "ceiling", "statements")
    },
    "article_gap": _ARTICLE_GAP,
    "personalization": _PERSONALIZATION,
    "privacy_epsilon": _PRIVACY_EPSILON,
    "privacy_recipe": _PRIVACY_RECIPE,
    "privacy_ledger": _PRIVACY_LEDGER,
    "language": _LANGUAGE,
    "text_leaks": _TEXT_LEAKS,
}
