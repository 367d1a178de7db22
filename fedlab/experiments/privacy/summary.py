"""The privacy ledger with one row a defence: means over the seeds, and their intervals."""

import pandas as pd

from fedlab.statistics import mean_interval

_MEANS = (
    "seconds_ratio",
    "bytes_up_per_client",
    "bytes_down_per_client",
    "reconstruction_ssim",
    "blank_ssim",
)
_INTERVALS = {
    "accuracy": ("accuracy_low", "accuracy_high"),
    "seconds_per_round": ("seconds_low", "seconds_high"),
    "membership_auc": ("membership_low", "membership_high"),
}
_BOUNDS = {"accuracy": 1.0, "seconds_per_round": float("inf"), "membership_auc": 1.0}


def summarize(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the ledger with one row a defence, in the order of the file.

    Args:
        table: The study's results file.

    Returns:
        The columns of the file, of the first seed, but for these: numbers that are measured are means
        over the seeds; accuracy_low, accuracy_high, seconds_low, seconds_high, membership_low and
        membership_high are 95% intervals by Student's t over the seeds; server_learning_rate is text
        with the rates of all seeds. With one seed there is no interval of accuracy and seconds (NaN),
        and that of the AUC is over its writers.
    """
    rows = []
    for _, runs in table.groupby("defence", sort=False):
        row = runs.iloc[0].to_dict()
        row["shared"] = row["shared"] if isinstance(row["shared"], str) else ""  # NaN in a file
        row |= {name: runs[name].mean() for name in _MEANS}
        row["num_seeds"] = runs.seed.nunique()
        row["server_learning_rate"] = ", ".join(
            f"{rate:g}" for rate in sorted(set(runs.server_learning_rate))
        )
        for name, ends in _INTERVALS.items():
            row |= _interval(runs, name, ends)
        rows.append(row)
    return pd.DataFrame(rows)


def _interval(runs: pd.DataFrame, name: str, ends: tuple[str, str]) -> dict[str, float]:
    if len(runs) > 1:
        mean, low, high = mean_interval(runs[name])
        return {name: mean, ends[0]: max(low, 0.0), ends[1]: min(high, _BOUNDS[name])}
    (value,) = runs[name]
    low, high = (runs[end].iloc[0] if end in runs else float("nan") for end in ends)
    return {name: value, ends[0]: low, ends[1]: high}
