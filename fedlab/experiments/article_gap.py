"""Why the article ends at 14% and the same settings end higher here: a study of the digits.

The settings are the article's: its CNN, ten rounds, five clients with 480 digits, SGD with a rate of
0.02, batches of 20, nothing shuffled, and Keras's own first weights. The digits are MNIST's by their
writers, made smaller, moved, thinner or thicker, one or two changes at a time. Its ten losses are
held beside those that the article prints (`fedlab.experiments.article`).

This is a sensitivity: it says which changes of the digits would give losses such as the article's.
How large Federated EMNIST's digits are and where they lie is not measured.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fedlab import models, statistics
from fedlab.checks import check_seed, check_table
from fedlab.data import FederatedDataset, MemoryClientData, handwriting, pool, sampling
from fedlab.data.client_data import Examples
from fedlab.data.preprocessing import Preprocessing, build_cohort_fn
from fedlab.experiments import article, markdown
from fedlab.experiments.article_gap_configs import GapConfig
from fedlab.experiments.central_training import CreateSeededFn, build_network
from fedlab.experiments.compilation import compile_rounds
from fedlab.experiments.config import RunConfig
from fedlab.experiments.report import write_page
from fedlab.experiments.store import ProgressFn, Records, RememberFn
from fedlab.experiments.study import Row
from fedlab.random_streams import random_stream
from fedlab.training import run_rounds

_COHORTS_SEED = 0  # the cohorts are the same for all seeds


def run(
    config: GapConfig,
    dataset: FederatedDataset,
    seed: int,
    *,
    remember_fn: RememberFn,
    progress_fn: ProgressFn,
    create_fn: CreateSeededFn = models.create_cnn,
) -> Records:
    """Trains once, as a `RunFn`; the seed is that of the first weights and the digits' places.

    Returns:
        A record a round: round_num, loss (nats) and accuracy (in [0, 1]), measured while the clients
        train, as the article has them; seconds. The last one also has test_accuracy, on
        num_test_examples digits of the same clients, changed as the training digits, and client_ids.

    Raises:
        ValueError: Too few clients have as many digits, or the seed is negative.
    """
    cohort = choose_cohort(config, dataset.train)
    train, test = (
        change_digits(split, cohort, config, seed, name)
        for name, split in (("train", dataset.train), ("test", dataset.test))
    )
    network = build_network(create_fn)
    rates = RunConfig(
        client_learning_rate=config.client_learning_rate,
        server_learning_rate=config.server_learning_rate,
    )
    preprocessing = Preprocessing(config.batch_size, max_examples=config.examples_per_client)
    # Nothing is shuffled: the batches of the first round are those of each round.
    batches = dict(build_cohort_fn(train, sampling.fixed(cohort), preprocessing)(1))
    trained = run_rounds(
        compile_rounds(rates, network.create_fn),
        lambda round_num: batches,
        config.num_rounds,
        initial_weights=network.initial_weights(check_seed(seed)),
        callbacks=[],
    )
    columns = ("round_num", "loss", "accuracy", "seconds")
    records = [{name: record[name] for name in columns} for record in trained.records]
    examples = pool(test)
    is_right = network.predict(trained.weights, examples).prediction == examples.labels
    records[-1] |= {
        "test_accuracy": float(is_right.mean()),
        "num_test_examples": len(is_right),
        "client_ids": " ".join(cohort),
    }
    progress_fn(1.0)
    return records


def choose_cohort(config: GapConfig, train: MemoryClientData) -> list[str]:
    """Returns the clients of a cohort, among those with enough digits, in a random order.

    Raises:
        ValueError: There are too few such clients.
    """
    client_ids = [
        client_id
        for client_id in train.client_ids
        if train.num_examples(client_id) >= config.examples_per_client
    ]
    end = config.cohort * config.num_clients
    if len(client_ids) < end:
        raise ValueError(
            f"Cohort {config.cohort} of {config.num_clients} clients needs {end} clients with at "
            f"least {config.examples_per_client} training examples. Found {len(client_ids)}: take "
            'data with more of them, such as "writer_digits".'
        )
    shuffled = random_stream("cohorts of article_gap", _COHORTS_SEED).permutation(client_ids)
    return shuffled[end - config.num_clients : end].tolist()


def change_digits(
    client_data: MemoryClientData,
    client_ids: Sequence[str],
    config: GapConfig,
    seed: int,
    split: str,
) -> MemoryClientData:
    """Returns some clients' digits with other strokes, smaller and moved, in this order.

    Args:
        client_data: Their digits as they are.
        client_ids: The clients.
        config: Stroke, scale and largest shift.
        seed: Of the shifts. Each digit has a shift of its own, a function of seed, split, client and
            the digit's number.
        split: The name of the split, such as "train".
    """

    def read(client_id: str) -> Examples:
        pixels, labels = client_data.examples(client_id)
        pixels = handwriting.change_strokes(pixels, config.stroke)
        pixels = handwriting.scale_digits(pixels, config.scale)
        places = random_stream("places of article_gap", seed, split, client_id)
        shifts = places.integers(
            -config.max_shift, config.max_shift, size=(len(labels), 2), endpoint=True
        )
        return Examples(handwriting.shift_digits(pixels, shifts), labels)

    return MemoryClientData(client_ids, read, client_data.num_classes, client_data.image_shape)


def summarize(config: GapConfig, records: Records) -> Row:
    """Returns the columns `GapConfig.RESULTS` of a run."""
    last = records[-1]
    names = ("loss", "accuracy", "test_accuracy", "num_test_examples", "client_ids")
    return {
        "first_loss": records[0]["loss"],
        **{name: last[name] for name in names},
        "seconds": sum(record["seconds"] for record in records),
    }


def summarize_settings(runs: pd.DataFrame, metric: str = "loss") -> pd.DataFrame:
    """Returns what the runs of each setting have in common.

    The interval is over cohorts: the mean of each cohort's seeds is one value. A few cohorts are few,
    and the interval is too narrow (`fedlab.statistics.bootstrap_interval`).

    Args:
        runs: The study's results, with at least two cohorts of each setting.
        metric: The column: "loss" is the training metric of the last round, in nats.

    Returns:
        A table with a row per setting, with its group as the index, in the order of `runs`, and the
        columns mean, low, high, smallest, largest (of a single run) and num_runs.

    Raises:
        ValueError: A column is missing, or a setting has one cohort only.
    """
    check_table("runs", runs, ("group", "cohort", metric))
    rows = {}
    for group, its_runs in runs.groupby("group", sort=False):
        values = its_runs[metric]
        by_cohort = values.groupby(its_runs.cohort).mean()
        interval = statistics.bootstrap_interval(by_cohort.to_numpy())
        rows[group] = {
            **interval._asdict(),
            "smallest": values.min(),
            "largest": values.max(),
            "num_runs": len(values),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("group")


def write_report(path: Path, table: pd.DataFrame) -> None:
    """Writes the study's table as Markdown: a row a setting, beside the article's figures."""
    losses, tested = (summarize_settings(table, name) for name in ("loss", "test_accuracy"))
    printed = article.LOSSES[-1]
    lines = [["the article", f"{printed:.3f}", "–", f"{article.TEST_ACCURACY:.1%}"]]
    for group, row in losses.iterrows():
        cells = [
            group,
            f"{row['mean']:.3f} [{row.low:.3f}, {row.high:.3f}]",
            f"{row.smallest:.3f} to {row.largest:.3f}",
            f"{tested['mean'][group]:.1%} [{tested.low[group]:.1%}, {tested.high[group]:.1%}]",
        ]
        lines.append(cells)
    titles = ("setting", "loss of round 10", "of single runs", "test accuracy")
    explained = (
        f"The article's settings on {table.dataset.iloc[0]}: {table.cohort.nunique()} cohorts of "
        f"{table.num_clients.iloc[0]} clients with {table.examples_per_client.iloc[0]} training "
        f"digits each, {table.seed.nunique()} first weights. The loss is the training metric of the "
        "last round, in nats, as the article prints it; the accuracy is that on the test digits of "
        "the same clients. In brackets: the 95% bootstrap interval over cohorts, which is too narrow "
        "with few of them. Scale: of height and width. Shift: the largest, in pixels. This is a "
        "sensitivity: how large Federated EMNIST's digits are, and where they lie, is not measured."
    )
    parts = [markdown.table(titles, lines), explained]
    write_page(path, "The article's ten losses", parts, "article_gap", table)
