"""The tables of the study of language models."""

import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from fedlab.experiments import markdown
from fedlab.experiments.language import summary
from fedlab.experiments.report import write_page


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
        "95% intervals over roles. A silo leaves: trainings, MB and seconds are of the rounds that come after "
        "it has left; from the base, the first of these include what a new process has to prepare. "
        "Four silos: noise and pull are in clips; the furthest pull is that of one client whose clipped "
        "updates all point one way."
    )
    parts = [explained]
    titles: dict[str, tuple[str, Callable[[pd.DataFrame], str]]] = {
        "quality": ("Quality", _quality_table),
        "recurrent": ("An LSTM in the place of the transformer", _quality_table),
        "secret": ("A secret in the text of one client", _secret_table),
        "unlearning": ("A silo leaves", _unlearning_table),
        "price": ("What differential privacy costs", _price_table),
        "membership": ("Who took part", _membership_table),
        "protection": ("A secret under differential privacy", _protection_table),
        "protection by epsilon": (
            "The same with adapters, and at smaller epsilons",
            _protection_table,
        ),
        "few silos": ("Four silos, clipped, and noise in clips", _few_silos_table),
    }
    for group, (title, table_fn) in titles.items():
        if group in groups:
            parts += [f"## {title}", table_fn(groups[group])]
    write_page(path, "A language model in a federation", parts, "language", runs)


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


def _unlearning_table(rows: pd.DataFrame) -> str:
    table = summary.unlearning(rows)

    def show(column: str, template: str) -> Callable[[pd.DataFrame], str]:
        return lambda each: template.format(table[column][each.name.iloc[0]]).replace("nan", "–")

    return _table(
        rows,
        {
            "exposure of its secret": show("exposure", "{:.1f}"),
            "gain on its text over a model that never had it, bits": show("gap", "{:+.3f}"),
            "bits, own": lambda each: _change(each, "bits"),
            "trainings of a client": show("trainings", "{:.0f}"),
            "MB sent and received": show("megabytes", "{:.0f}"),
            "seconds": show("seconds", "{:.1f}"),
        },
    )


def _few_silos_table(rows: pd.DataFrame) -> str:
    table = summary.few_silos(rows)

    def show(column: str) -> Callable[[pd.DataFrame], str]:
        return lambda each: f"{table[column][each.noise.fillna(0.0).iloc[0]]:,.3g}"

    return _table(
        rows,
        {
            "ranks": lambda each: ", ".join(f"{rank:,}" for rank in each.secret_rank),
            "bits, own": lambda each: _change(each, "bits"),
            "noise of a round, all directions": show("length"),
            "noise of all rounds, one direction": show("along"),
            "furthest pull along it": show("pull"),
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
            "as if never said, p": lambda each: (
                f"{summary.p_value_of(each.secret_rank.tolist()):.2g}".replace("nan", "too few")
            ),
            "bits, own": lambda each: _change(each, "bits"),
        },
        by="kind",
    )


def _table(
    rows: pd.DataFrame, columns: dict[str, Callable[[pd.DataFrame], str]], by: str = "name"
) -> str:
    lines = []
    for name, each in rows.groupby(by, sort=False):
        lines.append([name, *(show(each) for show in columns.values())])
    return markdown.table(["run", *columns], lines)


def _change(rows: pd.DataFrame, column: str) -> str:
    interval = summary.gain(rows, column)
    return f"{-interval.mean:+.3f} [{-interval.high:+.3f}, {-interval.low:+.3f}]"


def _membership(rows: pd.DataFrame) -> str:
    (interval,) = summary.membership(rows).values()
    return "{:.2f} [{:.2f}, {:.2f}]".format(*interval)


def _promise(rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    return "no bound" if math.isinf(first.epsilon) else f"{first.epsilon:,.3g}, {first.delta:.2g}"
