"""What a server reads in a round of a language model: one update, and sums of several.

Each case is a real round: `run_rounds` with one or several clients, FedAvg with SGD, each client counts
once. The server compares the weights before and after. Three attacks of `fedlab.attacks.text_inversion` get
this difference: the text of one window in closed form, the bag of tokens, and pairs of token and place by
the span of the first attention's gradient. With a secure sum the server has the sum of integers alone.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import tensorflow_federated as tff

from fedlab import learning, runtime
from fedlab.attacks import text_inversion
from fedlab.checks import check_seed
from fedlab.data import FederatedDataset, sampling
from fedlab.data.preprocessing import Preprocessing, build_cohort_fn
from fedlab.data.text import TokenClientData, Windows
from fedlab.experiments import markdown
from fedlab.experiments.language.judge import check_texts
from fedlab.experiments.language.leak_configs import LeakConfig
from fedlab.experiments.report import write_page
from fedlab.experiments.store import ProgressFn, Records, RememberFn
from fedlab.models.adapters import build_full_model, build_lora_model
from fedlab.models.language import LanguageModel
from fedlab.models.language_base import load_base
from fedlab.random_streams import random_stream
from fedlab.training import run_rounds

_TOLERANCE = 1e-3
_ADAPTER_TOLERANCE = 5e-3  # their changes are small beside what float32 rounds off the weights


def run(
    config: LeakConfig,
    dataset: FederatedDataset,
    seed: int,
    *,
    remember_fn: RememberFn,
    progress_fn: ProgressFn,
) -> Records:
    """Runs the rounds and attacks each.

    Args:
        config: What to run.
        dataset: `fedlab.data.load("plays")`.
        seed: Of the clients, their windows and the noise.
        remember_fn: Not used: a run has no parts.
        progress_fn: Called with the share of the run that is done.

    Returns:
        A record for each round: window_share, the share of the tokens that the closed form puts at the
        right place of some client's first window; bag_precision and bag_recall, of the set of tokens;
        places_recall, the share of the true pairs of token and place that are found, and places_false,
        how many pairs are found that are not true; num_tokens_said. Of adapters the first three are NaN:
        these attacks need the change of the embedding.

    Raises:
        ValueError: The data set is one of images.
    """
    train = check_texts(dataset)
    model = build_model(config, check_seed(seed))
    records = []
    with compile_rounds(config, model) as runner:
        for case in range(config.num_cases):
            texts = choose_texts(config, train, seed, case)
            update = observe(runner, model, texts, config, seed)
            if config.noise is not None:
                update = _add_noise(update, config.noise, seed, case)
            records.append(attack(model, update, texts)._asdict())
            progress_fn((case + 1) / config.num_cases)
    return records


def build_model(config: LeakConfig, seed: int = 0) -> LanguageModel:
    """Returns the base model with the context of the configuration.

    Args:
        config: What trains, and the context.
        seed: Of the adapters.
    """
    shape, base = load_base()
    shape = dataclasses.replace(shape, context=config.context)
    base["position"] = base["position"][: config.context]
    if config.rank is not None:
        return build_lora_model(shape, base, rank=config.rank, seed=seed)
    return build_full_model(shape, base)


def compile_rounds(config: LeakConfig, model: LanguageModel) -> runtime.Runner:
    """Returns what runs the rounds; with masks it sums integers.

    Args:
        config: Rate and secure sum.
        model: What trains.
    """
    is_plain = config.secure_sum == "plain"
    integers = (
        None
        if is_plain
        else tff.learning.secure_aggregator(zeroing=False, clipping=False, weighted=False)
    )
    process = learning.build_fed_avg(
        model.build_tff_model(),
        client_learning_rate=config.client_learning_rate,
        weighted=False,
        aggregator=integers,
        metrics_aggregator=learning.leave_out_metrics,
    )
    return runtime.compile(process, secure_sum=config.secure_sum)


def choose_texts(
    config: LeakConfig, train: TokenClientData, seed: int, case: int
) -> TokenClientData:
    """Returns some clients with some windows each, drawn at random.

    Args:
        config: How many clients and windows, and of how many tokens.
        train: All clients.
        seed: Of the draw.
        case: The number of the draw.
    """
    stream = random_stream("clients of text_leaks", seed, case)
    is_large = [train.num_examples(each) >= config.num_windows for each in train.client_ids]
    large = np.array(train.client_ids)[is_large]
    chosen = sorted(stream.choice(large, config.num_clients, replace=False).tolist())
    windows = {}
    for client_id in chosen:
        tokens, next_tokens = train.examples(client_id)
        rows = stream.choice(len(tokens), config.num_windows, replace=False)
        windows[client_id] = Windows(
            tokens[rows, : config.context], next_tokens[rows, : config.context]
        )
    return TokenClientData(chosen, windows.__getitem__, train.num_classes, config.context)


def observe(
    runner: runtime.Runner,
    model: LanguageModel,
    texts: TokenClientData,
    config: LeakConfig,
    seed: int,
) -> dict[str, np.ndarray]:
    """Runs one round and returns what the server has then: the sum of the changes, by name.

    Args:
        runner: From `compile_rounds`.
        model: What trains.
        texts: The clients of the round.
        config: Epochs and windows.
        seed: Of nothing but the cohort's streams.
    """
    cohort_fn = build_cohort_fn(
        texts,
        sampling.fixed(texts.client_ids),
        Preprocessing(config.num_windows, config.num_epochs, seed=seed),
    )
    weights = run_rounds(runner, cohort_fn, 1, callbacks=[]).weights
    assert weights is not None  # FedAvg has a model
    count = len(texts.client_ids)
    return {
        name: count * (np.asarray(new, np.float64) - before)
        for (name, before), new in zip(model.trainable.items(), weights.trainable, strict=True)
    }


def _add_noise(
    update: Mapping[str, np.ndarray], noise: float, seed: int, case: int
) -> dict[str, np.ndarray]:
    stream = random_stream("noise of text_leaks", seed, case)
    drawn = {name: stream.normal(size=array.shape) for name, array in update.items()}
    scale = noise * _norm(update) / _norm(drawn)
    return {name: array + scale * drawn[name] for name, array in update.items()}


def _norm(arrays: Mapping[str, np.ndarray]) -> float:
    return float(np.sqrt(sum((array**2).sum() for array in arrays.values())))


class Reading(NamedTuple):
    """What was read in an update; see `run`."""

    window_share: float
    bag_precision: float
    bag_recall: float
    places_recall: float
    places_false: int
    num_tokens_said: int


def attack(
    model: LanguageModel, update: Mapping[str, np.ndarray], texts: TokenClientData
) -> Reading:
    """Reads an update in three ways and compares with what was said.

    Args:
        model: The model before the round.
        update: From `observe`.
        texts: What was said.
    """
    windows = [texts.examples(client_id).tokens for client_id in texts.client_ids]
    said = np.concatenate(windows)
    true = {(int(token), place) for row in said for place, token in enumerate(row)}
    is_whole = "embedding" in update  # of adapters only what goes through them can be read
    tokens, places = text_inversion.read_places(
        update,
        model.trainable if is_whole else model.constants,
        tolerance=_TOLERANCE if is_whole else _ADAPTER_TOLERANCE,
    )
    found = set(zip(tokens.tolist(), places.tolist(), strict=True))
    shares = (float("nan"),) * 3
    if is_whole:
        read = text_inversion.read_window(update)
        bag, truth = text_inversion.read_bag(update), np.unique(said)
        right = np.intersect1d(bag, truth)
        share = max(float((read == each[0]).mean()) for each in windows)
        shares = (share, len(right) / len(bag), len(right) / len(truth))
    return Reading(*shares, len(found & true) / len(true), len(found - true), said.size)


def summarize(config: LeakConfig, records: Records) -> dict[str, Any]:
    """Returns the columns `LeakConfig.RESULTS`: means over the rounds, and the smallest share.

    Args:
        config: Not used: all configurations have the same columns.
        records: From `run`.
    """
    table = pd.DataFrame(records)
    means = {name: float(table[name].mean()) for name in Reading._fields}
    return means | {"least_window_share": float(table.window_share.min())}


def write_report(path: Path, runs: pd.DataFrame) -> None:
    """Writes the study's table as Markdown.

    Args:
        path: The Markdown file.
        runs: The study's results file.
    """
    titles = [
        "what the server gets",
        "text in closed form",
        "at least",
        "bag",
        "pairs found",
        "false pairs",
    ]
    lines = []
    for name, rows in runs.groupby("name", sort=False):
        mean = rows.mean(numeric_only=True)
        bag = (
            "–"
            if np.isnan(mean.bag_precision)
            else f"{mean.bag_precision:.0%} / {mean.bag_recall:.0%}"
        )
        cells = [
            name,
            "–" if np.isnan(mean.window_share) else f"{mean.window_share:.1%}",
            "–" if np.isnan(mean.window_share) else f"{rows.least_window_share.min():.1%}",
            bag,
            f"{mean.places_recall:.1%}",
            f"{mean.places_false:,.0f}",
        ]
        lines.append(cells)
    explained = (
        f"Real rounds of the main model, {runs.seed.nunique()} seeds. Text in closed form: the share of "
        "the 64 (or 16) tokens that are read at their place of a window of some client, the mean and the "
        "smallest of all rounds. Bag: precision and recall of the set of tokens. Pairs: of token and "
        "place, the share of the true ones that are found by the span of the attention's gradient, and "
        "how many found ones are not true; with as many tokens as the width, 64, the span holds every "
        "pair, and the attack says nothing. Of adapters the span is that of the change of the first one's A, "
        "which reads texts that have together no more tokens than the rank. A sum of two is without masks: "
        "they would show each of the two the other's update."
    )
    parts = [markdown.table(titles, lines), explained]
    title = "What a server reads in an update of a language model"
    write_page(path, title, parts, "text_leaks", runs)
