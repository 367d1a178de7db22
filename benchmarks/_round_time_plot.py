"""The picture of round_time.py."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from _common import save_figure

from fedlab import plots


def plot_round_time(table: pd.DataFrame, dataset: str, path: Path, runtime: str) -> None:
    """Draws the rounds of all variants, and one runtime's line and memory."""
    plots.use_style()
    rounds = table[table.measure == "round"]
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2))
    for variant, rows in rounds.groupby("variant", sort=False):
        axes[0].plot(rows.num_clients, rows.seconds, marker="o", label=variant)
    axes[0].set(xscale="log", yscale="log", xlabel="clients in the round", ylabel="seconds a round")
    axes[0].set_title(f"One round, {dataset}")
    axes[0].set_ylim(bottom=0.01)
    axes[0].legend(fontsize="small", loc="lower right")
    local, line = rounds[rounds.variant == runtime], table[table.measure == "line"].iloc[0]
    start, slope = line.seconds, line.seconds_per_client
    axes[1].plot(local.num_clients, local.seconds, "o", label="local, measured")
    ends = np.array([0, local.num_clients.max()])
    axes[1].plot(ends, start + slope * ends, "--", label=f"{1000 * slope:.1f} ms a client")
    axes[1].set(
        xlabel="clients in the round", ylabel="seconds a round", title="Grows with the clients"
    )
    memory = table[(table.measure == "memory") & (table.variant == runtime)]
    twin = axes[1].twinx()
    twin.plot(memory.num_clients, memory.peak_bytes / 1e6, "s:", color="gray", label="memory")
    twin.set(ylabel="MB that a round adds at its peak", ylim=(0, 3 * memory.peak_bytes.max() / 1e6))
    twin.grid(False)
    handles = [*axes[1].get_legend_handles_labels()[0], *twin.get_legend_handles_labels()[0]]
    axes[1].legend(handles=handles, fontsize="small", loc="upper left")
    save_figure(figure, path)
