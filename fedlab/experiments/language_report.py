"""The tables of the study of language models, and the differences that lessons and claims use."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd
import scipy.stats

from fedlab import statistics
from fedlab.experiments.language_settings import LanguageConfig
from fedlab.experiments.report import cite_data
from fedlab.files import write_text
from fedlab.statistics import Interval

FIRST_LINE = "^# A language model"
NUM_SECRETS = 10_000  # equally likely ones, of two words out of a hundred


FEWEST_RANKS = 9  # of a test that could find something


def gain(rows: pd.DataFrame, column: str = "bits") -> Interval:
    """Returns how many bits a character less than the base the models of some runs need.

    Args:
        rows: At least two runs of one configuration, with different seeds.
        column: "bits", of the later text of those who took part, or "unseen_bits".

    Returns:
        The mean over the runs and its 95% bootstrap interval over seeds.
    """
    return statistics.bootstrap_interval(rows[f"{column}_at_start"] - rows[column])


def best_configurations(runs: pd.DataFrame) -> dict[str, str]:
    """Returns, for each way to train a part of the model, the configuration with its best rate.

    Best is what costs the unseen roles the fewest bits: the roles that take part are not asked.

    Args:
        runs: The study's results file.

    Returns:
        From what trains, such as "adapters of rank 4", to the configuration's name, in the study's order.
    """
    quality = runs[runs.group.isin(["quality", "recurrent"]) & ~runs.is_pooled]
    bits = quality.groupby("name", sort=False).unseen_bits.mean()
    what = bits.index.str.partition(",").get_level_values(0)
    return {str(each): str(bits[what == each].idxmin()) for each in dict.fromkeys(what)}


def uniform_p_value(ranks: Iterable[int]) -> float:
    """Returns how well ranks agree with those of secrets that nobody said, which are uniform.

    A Kolmogorov-Smirnov test against the uniform distribution on 1 to 10,000. The closer to 0, the less the
    ranks look like those of secrets that were never said.

    Args:
        ranks: Ranks of secrets, of different runs.
    """
    shares = [(rank - 0.5) / NUM_SECRETS for rank in ranks]
    return float(scipy.stats.kstest(shares, "uniform").pvalue)


def attack_cap(epsilon: float, delta: float, chance: float = 1 / NUM_SECRETS) -> float:
    """Returns the largest chance that any attacker names a secret of a client in one guess.

    Without the client's text the guess is right with probability `chance`; with it, by the definition of
    differential privacy (Dwork, Roth 2014, definition 2.4), at most $e^ε$ times as often, plus $δ$. Here a
    client joins or stays away, so the guess of one who was away is the comparison.

    Args:
        epsilon: In nats, at least 0.
        delta: In [0, 1).
        chance: Of a guess without the client's text, in [0, 1].
    """
    return min(1.0, math.exp(min(epsilon, 700.0)) * chance + delta)


def write_report(path: Path, runs: pd.DataFrame) -> None:
    """Writes the study's tables as Markdown.

    Args:
        path: The Markdown file.
        runs: The study's results file, at least two seeds of each configuration.
    """
    groups = dict(list(runs.groupby("group", sort=False)))
    explained = (
        f"{runs.seed.nunique()} seeds. Bits: how many a character of the text costs the model, against the "
        "base, which nobody's private text has trained; below 0 is better. In brackets the 95% bootstrap "
        "interval over seeds, which is too narrow with few. Own: the later text of those who took part. "
        "Unseen: 57 other roles. A secret is two words out of a hundred; its rank is among all 10,000 such "
        "secrets, and 1 is the model's first guess. Read out: by how many of the models, asked for the "
        "likeliest words. Who took part: AUC of an attack that scores a role by what the model gains on it "
        "(0.5: guessing), a random half of the roles against the other half; mean of the runs and of their "
        "95% intervals over roles."
    )
    parts = ["# A language model in a federation", explained]
    titles: dict[str, tuple[str, Callable[[pd.DataFrame], str]]] = {
        "quality": ("Quality", _quality_table),
        "recurrent": ("An LSTM in the place of the transformer", _quality_table),
        "secret": ("A secret in the text of one client", _secret_table),
        "unlearning": ("A silo leaves", _secret_table),
        "price": ("What differential privacy costs", _price_table),
        "membership": ("Who took part", _membership_table),
        "protection": ("A secret under differential privacy", _protection_table),
        "protection by epsilon": (
            "The same with adapters, and at smaller epsilons",
            _protection_table,
        ),
    }
    for group, (title, table_fn) in titles.items():
        if group in groups:
            parts += [f"## {title}", table_fn(groups[group])]
    made = "Made by `python -m fedlab study language --report` from the CSV file beside it."
    write_text(path, "\n\n".join([*parts, cite_data(runs), made]) + "\n", first_line=FIRST_LINE)


def _quality_table(rows: pd.DataFrame) -> str:
    return _table(
        rows,
        {
            "numbers that train": lambda each: f"{each.num_trainable.iloc[0]:,}",
            "kB up": lambda each: f"{each.bytes_up_per_client.iloc[0] / 1000:,.0f}",
            "base, unseen": lambda each: f"{each.unseen_bits_at_start.mean():.3f}",
            "bits, own": lambda each: _change(each, "bits"),
            "bits, unseen": lambda each: _change(each, "unseen_bits"),
        },
    )


def _secret_table(rows: pd.DataFrame) -> str:
    return _table(
        rows,
        {
            "ranks": lambda each: ", ".join(f"{rank:,}" for rank in each.secret_rank),
            "exposure (of 13.3 bits)": lambda each: f"{each.exposure.mean():.1f}",
            "never said": lambda each: f"{each.mean_control_exposure.mean():.1f}",
            "read out": lambda each: f"{each.greedy.sum():.0f} of {len(each)}",
            "in 100 answers": lambda each: f"{100 * each.sampled.mean():.0f}",
            "bits, own": lambda each: _change(each, "bits"),
        },
    )


def _price_table(rows: pd.DataFrame) -> str:
    return _table(
        rows,
        {
            "epsilon, delta": _promise,
            "noise, in clips": lambda each: f"{each.noise_used.iloc[0]:.2f}",
            "bits, own": lambda each: _change(each, "bits"),
            "bits, unseen": lambda each: _change(each, "unseen_bits"),
        },
    )


def _membership_table(rows: pd.DataFrame) -> str:
    return _table(
        rows,
        {
            "AUC against the base": _membership,
            "AUC by the loss alone": lambda each: f"{each.uncalibrated_auc.mean():.2f}",
            "bits, own": lambda each: _change(each, "bits"),
        },
    )


def _protection_table(rows: pd.DataFrame) -> str:
    table = rows.assign(kind=rows.name.str.replace(r", secret \d+$", "", regex=True))
    return _table(
        table,
        {
            "epsilon, delta": _promise,
            "ranks": lambda each: ", ".join(f"{rank:,}" for rank in sorted(each.secret_rank)),
            "exposure": lambda each: f"{each.exposure.mean():.1f}",
            "as if never said, p": lambda each: _p_value(each.secret_rank),
            "bits, own": lambda each: _change(each, "bits"),
        },
        by="kind",
    )


def _table(
    rows: pd.DataFrame, columns: dict[str, Callable[[pd.DataFrame], str]], by: str = "name"
) -> str:
    lines = [f"| run | {' | '.join(columns)} |", f"| --- |{' ---: |' * len(columns)}"]
    for name, each in rows.groupby(by, sort=False):
        lines.append(f"| {name} | {' | '.join(show(each) for show in columns.values())} |")
    return "\n".join(lines)


def _change(rows: pd.DataFrame, column: str) -> str:
    interval = gain(rows, column)
    return f"{-interval.mean:+.3f} [{-interval.high:+.3f}, {-interval.low:+.3f}]"


def _membership(rows: pd.DataFrame) -> str:
    mean = rows[["membership_auc", "membership_low", "membership_high"]].mean()
    return f"{mean.iloc[0]:.2f} [{mean.iloc[1]:.2f}, {mean.iloc[2]:.2f}]"


def _promise(rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    return "no bound" if math.isinf(first.epsilon) else f"{first.epsilon:,.3g}, {first.delta:.2g}"


def _p_value(ranks: pd.Series) -> str:
    few = len(ranks) < FEWEST_RANKS
    return "too few runs" if few else f"{uniform_p_value(ranks):.2g}"


def rows_of(runs: pd.DataFrame, name: str) -> pd.DataFrame:
    """Returns the runs of one configuration.

    Args:
        runs: The study's results file.
        name: The configuration's name.

    Raises:
        ValueError: The file has no such runs.
    """
    rows = runs[runs.name == name]
    if rows.empty:
        raise ValueError(
            f"{LanguageConfig.KEY_PREFIX.strip()}: the study has no runs named {name!r}."
        )
    return rows
