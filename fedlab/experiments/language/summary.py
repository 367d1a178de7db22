"""What lessons, claims and tables take from the study of language models: gains, ranks, costs."""

import math
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
import scipy.stats

from fedlab import statistics
from fedlab.experiments.language.configs import UNLEARNING
from fedlab.experiments.language.settings import LanguageConfig
from fedlab.statistics import Interval

NUM_SECRETS = 10_000  # equally likely ones, of two words out of a hundred
NEVER_SAID = 1 / math.log(2)  # bits: the mean exposure of a secret that nobody said
FEWEST_RANKS = 9  # of a test that could find something
SECURE_SUM_NAMES = {
    "plain": "integers in the clear",
    "secagg": "masks",
    "shares": "three servers",
    "ckks": "CKKS",
}


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


def compare_networks(runs: pd.DataFrame) -> pd.DataFrame:
    """Returns what the federation gains with the transformer and with the LSTM, each with its best rate.

    Args:
        runs: The study's results file.

    Returns:
        A row for each network: kilobytes, that a client sends in a round; base, bits a character that
        the base needs for the text of unseen roles; gained, how many fewer the trained model needs;
        low and high, the 95% bootstrap interval of gained, over seeds.
    """
    best = best_configurations(runs)
    rows = {
        network: rows_of(runs, best[what])
        for network, what in (("transformer", "all parameters"), ("LSTM", "LSTM"))
    }
    gains = {network: gain(each, "unseen_bits") for network, each in rows.items()}
    return pd.DataFrame(
        {
            "kilobytes": {
                name: each.bytes_up_per_client.iloc[0] / 1000 for name, each in rows.items()
            },
            "base": {name: each.unseen_bits_at_start.mean() for name, each in rows.items()},
            "gained": {name: each.mean for name, each in gains.items()},
            "low": {name: each.low for name, each in gains.items()},
            "high": {name: each.high for name, each in gains.items()},
        }
    )


def curves_of(curves: pd.DataFrame, names: Mapping[str, str]) -> dict[str, list[pd.DataFrame]]:
    """Returns the rounds of some configurations, as `fedlab.plots.curves` draws them.

    Args:
        curves: The study's file of rounds.
        names: From a label to the configuration's name.

    Returns:
        From the label to a table for each seed, with a row for each round that was looked at.
    """
    return {
        label: [run for _, run in rows_of(curves, name).groupby("seed")]
        for label, name in names.items()
    }


def uniform_p_value(ranks: Iterable[int]) -> float:
    """Returns how well ranks agree with those of secrets that nobody said, which are uniform.

    A Kolmogorov-Smirnov test against the uniform distribution on 1 to 10,000. The closer to 0, the less the
    ranks look like those of secrets that were never said.

    Args:
        ranks: Ranks of secrets, of different runs.
    """
    shares = [(rank - 0.5) / NUM_SECRETS for rank in ranks]
    return float(scipy.stats.kstest(shares, "uniform").pvalue)


def p_value_of(ranks: Sequence[int]) -> float:
    """Returns `uniform_p_value`, and NaN for fewer than nine ranks, too few to find something.

    Args:
        ranks: Ranks of secrets, of different runs.
    """
    return uniform_p_value(ranks) if len(ranks) >= FEWEST_RANKS else float("nan")


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


def membership(runs: pd.DataFrame) -> dict[str, Interval]:
    """Returns how well an attacker guesses who took part, against the base.

    Args:
        runs: The study's results file.

    Returns:
        From the way to train, such as "adapters, epsilon 8", to the AUC, mean of the seeds, with the
        mean of their 95% intervals over roles.
    """
    rows = runs[runs.group == "membership"]
    columns = ["membership_auc", "membership_low", "membership_high"]
    means = rows.groupby("name", sort=False)[columns].mean()
    return {
        name.removeprefix("members, "): Interval(*row)
        for name, row in zip(means.index, means.to_numpy().tolist(), strict=True)
    }


def price(runs: pd.DataFrame) -> pd.DataFrame:
    """Returns what differential privacy costs, for all parameters and for adapters.

    Args:
        runs: The study's results file.

    Returns:
        A row for each noise and way to train, from no noise to the smallest epsilon: gain, an interval
        of bits; noise_length, of one round's noise on the mean of the expected clients, in all
        directions together, in clips, NaN without noise.
    """
    rows = runs[runs.group == "price"]
    names = [
        f"{what}, {noise}"
        for noise in ("clipped", "epsilon 8", "epsilon 3", "epsilon 1")
        for what in ("all parameters", "adapters")
    ]
    first = rows.groupby("name").first().loc[names]
    length = first.noise_used / first.num_clients * first.num_trainable**0.5
    gains = [gain(rows_of(rows, name)) for name in names]
    table = pd.DataFrame({"gain": gains, "noise_length": length.where(length > 0).to_numpy()})
    return table.set_index(pd.Index(names).str.replace("clipped", "no noise"))


def protection(runs: pd.DataFrame) -> pd.DataFrame:
    """Returns what noise does to a secret of one of eight silos.

    Args:
        runs: The study's results file.

    Returns:
        A row for each way to train, from no noise to the smallest epsilon: runs; ranks, a list; p, of
        `uniform_p_value`, NaN for fewer than nine runs; bits, a character of the clients' later text.
    """
    rows = runs[runs.group.str.startswith("protection")]
    kinds = rows.name.str.replace(r", secret \d+$", "", regex=True).str.removeprefix("8 silos, ")
    kinds = kinds.str.replace("clipped", "no noise")
    groups = dict(
        list(rows.groupby(kinds.where(kinds.str.contains(","), "all parameters, " + kinds)))
    )
    noises = ("no noise", "epsilon 8", "epsilon 3", "epsilon 1")
    order = [f"{what}, {noise}" for what in ("all parameters", "adapters") for noise in noises]
    return pd.DataFrame(
        {
            "runs": len(groups[kind]),
            "ranks": groups[kind].secret_rank.tolist(),
            "p": p_value_of(groups[kind].secret_rank.tolist()),
            "bits": groups[kind].bits.mean(),
        }
        for kind in order
    ).set_index(pd.Index(order))


def few_silos(runs: pd.DataFrame) -> pd.DataFrame:
    """Returns what more and more noise does to a secret of one of four silos, and its size.

    Args:
        runs: The study's results file.

    Returns:
        A row for each noise, in clips: ranks, a list; bits, a character, of later text; length, of
        one round's noise on the sum, in all directions together; along, the size of the noise of all
        rounds together along any one direction; pull, the furthest that ONE client's clipped updates
        can move the sum along it. The last three are in clips.
    """
    rows = runs[runs.group == "few silos"].assign(noise=lambda each: each.noise.fillna(0.0))
    by_noise = rows.groupby("noise")
    first = by_noise.first()
    return pd.DataFrame(
        {
            "ranks": by_noise.secret_rank.apply(list),
            "bits": by_noise.bits.mean(),
            "length": first.index * first.num_trainable**0.5,
            "along": first.index * first.num_rounds**0.5,
            "pull": first.num_rounds.astype(float),
        }
    )


def unlearning(runs: pd.DataFrame) -> pd.DataFrame:
    """Returns what a silo leaves in the model when it leaves, and what each remedy costs.

    Args:
        runs: The study's results file.

    Returns:
        A row for each remedy, means over the seeds: exposure, of its secret, in bits; gap, how many
        bits a character more the model gains on its text than one that never had it; bits, a
        character of all clients' later text; trainings, of one client in one round, after it has
        left; megabytes, that these send and get; seconds, that these rounds took in the study, NaN where
        there are none.
    """
    rows = runs[runs.group == "unlearning"].set_index(["name", "seed"])
    table = rows[["exposure", "bits"]].assign(seconds=rows.seconds_after_leaving)
    never = rows.owner_gain.xs("retrained from the base")
    table["gap"] = rows.owner_gain - never.reindex(rows.index.get_level_values("seed")).to_numpy()
    made = {config.name: config.rounds_after_leaving for config in UNLEARNING}
    table["trainings"] = rows.index.get_level_values("name").map(made) * (rows.num_people - 1)
    table["megabytes"] = table.trainings * 2 * rows.bytes_up_per_client / 1e6
    columns = ["exposure", "gap", "bits", "trainings", "megabytes", "seconds"]
    return table.groupby("name", sort=False)[columns].mean()


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
