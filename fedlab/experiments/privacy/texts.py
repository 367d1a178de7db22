"""The words of the privacy ledger: who learns what, what was not measured again, and the page."""

import math

import pandas as pd

from fedlab.experiments import markdown
from fedlab.experiments.privacy.configs import (
    CKKS,
    CLIPPING,
    DISTRIBUTED,
    MASKS,
    NONE,
    SERVERS,
    LedgerConfig,
    noise_name,
)
from fedlab.secure import secagg


def describe_knowledge(config: LedgerConfig) -> str:
    """Returns who sees which values under a defence, and who would have to collude for more."""
    size = config.group_size
    colluders = 2 * secagg.default_threshold(size) - size  # with a server that lies
    texts = {
        NONE: "server: every client's update",
        CLIPPING: "server: every client's clipped update",
        MASKS: f"server: the sum of {size}; one update: server + {colluders} of {size} clients",
        CKKS: f"server and one client: the sum of {size}; one update: server + any 1 client",
        SERVERS: f"three servers: the sum of {size}; one update: any 2 of the 3",
        DISTRIBUTED: f"server: the noised sum; one update: server + {colluders} of {size} clients, "
        "and then with little noise",
    }
    noise = "server: every client's clipped update; all others: the noised model"
    return texts.get(config.defence, noise)


def explain(
    config: LedgerConfig, noise_multiplier: float, rounding: float, num_members: int
) -> str:
    """Returns what has to be known to read a row; the first part is the same for many.

    Args:
        config: The row.
        noise_multiplier: Of the row's noise; it does not count where there is none.
        rounding: How far summed integers are from FedAvg's floats, see `measure_groups`.
        num_members: Who trains.
    """
    same_model = (
        "the model is that of the same integers summed in the clear, bit for bit in the two rounds "
        f"that are checked, and within {rounding:.0e} of FedAvg's floats: accuracy and AUC are "
        f"those of “{NONE}”"
    )
    same_view = f"what is inverted is the same sum as in “{MASKS}”"
    if config.mechanism == "noise":
        return _explain_noise(config, noise_multiplier)
    return {
        NONE: "every client counts once",
        CLIPPING: "the norm is bounded and no noise is added: no epsilon",
        MASKS: f"{same_model}; its key work grows with the square of the group",
        CKKS: f"{same_model}; {same_view}",
        SERVERS: f"{same_model}; {same_view}",
        DISTRIBUTED: "tff.learning.ddp_secure_aggregator with the noise multiplier "
        f"{noise_multiplier:.3f}, in {num_members} pieces ({config.group_size} where a group is "
        "timed or inverted); the "
        "clip starts at 0.1 and adapts; trained with its integers summed in the clear. Epsilon is "
        "not known: our accountant has no Skellam noise, TFF's secure sum is opened before its "
        "modulus, the server sees the count that moves the clip, and who drops out takes noise "
        "along. The noise holds for one sum of the whole cohort, not for sums of groups",
    }[config.defence]


def _explain_noise(config: LedgerConfig, noise_multiplier: float) -> str:
    text = (
        f"noise multiplier {noise_multiplier:.3f}; the server sees updates before the noise, so "
        f"the SSIM is that of “{CLIPPING}”"
    )
    if config.target_epsilon == config.group_epsilon:
        return text
    return f"{text}; seconds and bytes are those of “{noise_name(config.group_epsilon)}”"


_COLUMNS = {
    "defence": "defence",
    "server_learning_rate": "server rate",
    "accuracy": "accuracy",
    "epsilon": "epsilon",
    "seconds_per_round": "seconds a round",
    "seconds_ratio": "times “none”",
    "bytes_up_per_client": "kB up, a client",
    "bytes_down_per_client": "kB down, a client",
    "reconstruction_ssim": "SSIM, rebuilt",
    "membership_auc": "AUC, members",
    "who_learns_what": "who learns what",
}


def to_markdown(table: pd.DataFrame) -> str:
    """Returns the ledger's table and notes. In brackets: not measured again; a note says whose it is."""
    first = table.iloc[0]
    rates = (
        f"For every row it is the best of {first.server_learning_rates} in a rehearsal on public "
        "writers, half of whom train and half of whom judge; a row with several has one for each seed."
    )
    seeds = (
        "One run of one seed; the interval of the AUC is over writers."
        if first.num_seeds == 1
        else f"Means over {first.num_seeds} seeds; in brackets 95% intervals by Student's t."
    )
    explained = (
        f"{first.num_members} of the {first.dataset}' writers, the members, train for "
        f"{first.num_rounds} rounds from a model that was trained on public digits, and everybody "
        f"gets the model; delta is {first.delta:.2g}. Server rate: what the mean update is multiplied by. "
        f"{rates} Accuracy: on the test digits of members and others. Seconds and bytes: a round of "
        f"{first.group_size} clients, the model included. SSIM: what the server rebuilds of a "
        f"digit of each of {first.group_size} clients; blank paper has {first.blank_ssim:.2f}. AUC: "
        f"who was a member, from the finished model; a coin has 0.50. {seeds} In round brackets: not "
        "measured again. Training metrics do not count."
    )
    listed = [f"- {name}: {note}." for name, note in zip(table.defence, table.note, strict=True)]
    listed += [
        f"- Rehearsal of “{row.defence}”, seed {row.seed}, accuracy by rate: {row.rehearsal}."
        for row in table.drop_duplicates("rehearsal").itertuples()
    ]
    cells = (_cells(row) for _, row in table.iterrows())
    lines = markdown.table(list(_COLUMNS.values()), cells, texts=("who learns what",))
    return "\n\n".join([lines, explained, "\n".join(listed)])


def _cells(row: pd.Series) -> list[str]:
    unknown = "no bound" if math.isinf(row.epsilon) else "not known"
    written = {
        "defence": row.defence,
        "server_learning_rate": row.server_learning_rate,
        "accuracy": f"{row.accuracy:.2%}{_bounds(row.accuracy_low, row.accuracy_high, '.1%')}",
        "epsilon": f"{row.epsilon:.2f}" if math.isfinite(row.epsilon) else unknown,
        "seconds_per_round": f"{row.seconds_per_round:.2f}"
        f"{_bounds(row.seconds_low, row.seconds_high, '.2f')}",
        "seconds_ratio": f"{row.seconds_ratio:.1f}",
        "bytes_up_per_client": f"{row.bytes_up_per_client / 1000:,.0f}",
        "bytes_down_per_client": f"{row.bytes_down_per_client / 1000:,.0f}",
        "reconstruction_ssim": f"{row.reconstruction_ssim:.2f}",
        "membership_auc": f"{row.membership_auc:.2f}"
        f"{_bounds(row.membership_low, row.membership_high, '.2f')}",
        "who_learns_what": row.who_learns_what,
    }
    shared = row.shared.split()
    return [f"({text})" if name in shared else text for name, text in written.items()]


def _bounds(low: float, high: float, style: str) -> str:
    return "" if math.isnan(low) else f" [{low:{style}}, {high:{style}}]"
