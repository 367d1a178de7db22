"""Personalization: what a client gains by fine-tuning, and what it could have had without anybody.

After a federated run each client fine-tunes the model on its own training digits. Four ways to
answer are measured on the client's own test digits: the global model, the fine-tuned one, a model
that the client trained alone, and the client's commonest training label, whatever the digit. Where
clients hold one label or two, the last is hard to beat.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from fedlab import evaluation, models, statistics
from fedlab.data import FederatedDataset
from fedlab.data.client_data import MemoryClientData
from fedlab.experiments import execution, markdown
from fedlab.experiments.central_training import CreateSeededFn, Weights, build_network
from fedlab.experiments.partitions import deal, set_tests_aside
from fedlab.experiments.personalization_configs import (
    MODELS,
    PersonalizationConfig,
    without_federation,
)
from fedlab.experiments.report import write_page
from fedlab.experiments.store import Part, ProgressFn, Records, RememberFn
from fedlab.learning.personalization import personalize


def run(
    config: PersonalizationConfig,
    dataset: FederatedDataset,
    seed: int,
    *,
    remember_fn: RememberFn,
    progress_fn: ProgressFn,
    create_fn: CreateSeededFn = models.create_cnn,
) -> Records:
    """Trains, fine-tunes for some clients, and measures each of them four times, as a `RunFn`.

    The accuracies of the clients alone are kept for other runs: they do not depend on the method.

    Returns:
        One record per measured client: client_id; num_train and num_test, its numbers of digits;
        for each of `MODELS` the accuracy on its test digits, in [0, 1].
    """
    training = config.training()
    dealt = deal(training, dataset.train, seed)
    train, test = dealt, dataset.test
    if training.partition != "natural":
        train, test = set_tests_aside(dealt, seed)
    client_ids = train.client_ids[: config.num_measured]
    network = build_network(create_fn)
    initial = network.initial_weights(seed)

    def train_on_own(weights: Weights, num_epochs: int) -> pd.DataFrame:
        return personalize(
            weights,
            train,
            test,
            client_ids,
            create_fn=create_fn,
            learning_rate=config.client_learning_rate,
            num_epochs=num_epochs,
            batch_size=config.batch_size,
            seed=seed,
        ).set_index("client_id")

    alone = without_federation(config)
    own = remember_fn(
        Part("models of clients alone", alone),
        lambda: [
            {"accuracies": train_on_own(initial, alone.own_epochs).accuracy_personal.tolist()}
        ],
    )
    progress_fn(0.5)
    weights = execution.train_federated(training, train, network, initial, seed)
    progress_fn(0.9)
    measured = train_on_own(weights, config.fine_tune_epochs)
    progress_fn(1.0)
    table = pd.DataFrame(
        {
            "num_train": measured.num_train,
            "num_test": measured.num_examples,
            "global": measured.accuracy_global,
            "fine_tuned": measured.accuracy_personal,
            "own": own[0]["accuracies"],
            "label": measure_commonest_label(train.select(client_ids), test),
        }
    )
    return table.rename_axis("client_id").reset_index().to_dict("records")


def measure_commonest_label(train: MemoryClientData, test: MemoryClientData) -> pd.Series:
    """Returns the accuracy of a client that always gives its commonest training label.

    Args:
        train: The labels that are counted; of two that are equally common, the smaller is given.
        test: Examples of the same clients to measure on.

    Returns:
        The accuracy of each client, in [0, 1], with its id as the index.
    """
    accuracies = {}
    for client_id in train.client_ids:
        commonest = np.bincount(train.examples(client_id).labels).argmax()
        accuracies[client_id] = float((test.examples(client_id).labels == commonest).mean())
    return pd.Series(accuracies)


def summarize(config: PersonalizationConfig, records: Records) -> dict[str, float | int]:
    """Returns the columns `PersonalizationConfig.RESULTS` of a run; each client counts once."""
    table = pd.DataFrame(records)
    fairness = {model: evaluation.fairness(table[model]) for model in MODELS}
    return {
        **{f"{model}_accuracy": float(fairness[model]["mean"]) for model in MODELS},
        **{f"{model}_worst_decile": float(fairness[model]["worst"]) for model in MODELS},
        "num_test": int(table.num_test.sum()),
    }


def compare_with_fine_tuned(runs: pd.DataFrame, model: str) -> pd.DataFrame:
    """Returns what fine-tuning the global model is worth, against another way to answer.

    Args:
        runs: Results of the study, at least two seeds of each configuration.
        model: One of `MODELS`.

    Returns:
        A row per configuration, with its name as the index: difference, the accuracy of fine-tuned
        models minus that of the other, mean over clients and seeds; low and high, the 95% bootstrap
        interval over seeds, for the difference is taken seed by seed.
    """
    differences = (runs.fine_tuned_accuracy - runs[f"{model}_accuracy"]).groupby(
        runs.name, sort=False
    )
    rows = {name: statistics.bootstrap_interval(values) for name, values in differences}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")
    return table.rename(columns={"mean": "difference"})


def write_report(path: Path, runs: pd.DataFrame) -> None:
    """Writes the study's tables as Markdown; each configuration needs at least two seeds."""
    dataset, num_clients = runs.dataset.iloc[0], int(runs.num_measured.max())
    others = [model for model in MODELS if model != "fine_tuned"]
    differences = {model: compare_with_fine_tuned(runs, model) for model in others}
    explained = (
        f"Accuracy on a client's own test digits of {dataset}, mean over {num_clients} clients, each "
        f"of which counts once, and over {runs.seed.nunique()} seeds. In brackets the 95% bootstrap "
        "interval over seeds, which is too narrow with few of them. Worst decile: the tenth of the "
        "clients for whom this way to answer is worst; with a few test digits a client much of it is "
        "chance."
    )
    parts = [
        _table(runs, MODELS, lambda rows, model: _show(rows[f"{model}_accuracy"])),
        explained,
        "## Fine-tuned minus the others, in points",
        _table(
            runs,
            others,
            lambda rows, model: _show_difference(differences[model].loc[rows.name.iloc[0]]),
        ),
        "## Worst decile",
        _table(runs, MODELS, lambda rows, model: _show(rows[f"{model}_worst_decile"])),
    ]
    write_page(path, "Personalization", parts, "personalization", runs, on=dataset)


def _table(
    runs: pd.DataFrame, columns: Iterable[str], show_fn: Callable[[pd.DataFrame, str], str]
) -> str:
    """Returns a row per configuration and a column per way to answer."""
    columns = list(columns)
    lines = [
        [name, *(show_fn(rows, model) for model in columns)]
        for name, rows in runs.groupby("name", sort=False)
    ]
    return markdown.table(["method / setting", *(MODELS[model] for model in columns)], lines)


def _show(values: pd.Series) -> str:
    interval = statistics.bootstrap_interval(values)
    return f"{interval.mean:.1%} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _show_difference(row: pd.Series) -> str:
    return f"{100 * row.difference:+.1f} [{100 * row.low:+.1f}, {100 * row.high:+.1f}]"
