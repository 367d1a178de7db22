"""What each framework gets, and gives back: see compare.py. Needs NumPy and nothing else."""

import argparse
import json
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np

BATCH_SIZE, LEARNING_RATE = 20, 0.02
LAYERS = ("conv", "hidden", "logits")
WEIGHTS = tuple(f"{layer}_{part}" for layer in LAYERS for part in ("kernel", "bias"))


class Task(NamedTuple):
    """Clients' digits and the first weights.

    Attributes:
        path: The file.
        images: float32 (n, 28, 28, 1), in [0, 1].
        labels: int32 (n,).
        sizes: Examples of each client; they follow each other.
        weights: By the names of `WEIGHTS`, in Keras's layouts.
        num_rounds: How often to train.
    """

    path: str
    images: np.ndarray
    labels: np.ndarray
    sizes: np.ndarray
    weights: dict[str, np.ndarray]
    num_rounds: int

    def clients(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Returns each client's images and labels."""
        ends = np.cumsum(self.sizes)[:-1]
        return list(zip(np.split(self.images, ends), np.split(self.labels, ends), strict=True))


def read_task() -> tuple[Task, Path]:
    """Returns what the command line names, and the file for the result."""
    parser = argparse.ArgumentParser(description="Six rounds of FedAvg, timed.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--to", type=Path, required=True)
    args = parser.parse_args()
    return read_data(args.data.resolve(), args.rounds), args.to


def read_data(path: str | Path, num_rounds: int = 0) -> Task:
    with np.load(path, allow_pickle=False) as file:
        data = dict(file)
    weights = {name: data.pop(name) for name in WEIGHTS}
    return Task(str(path), **data, weights=weights, num_rounds=num_rounds)


def write_data(path: Path, held, weights) -> None:
    """Writes clients' (pixels, labels) and the first weights."""
    np.savez(
        path,
        images=np.concatenate([pixels for pixels, _ in held])[..., None].astype(np.float32),
        labels=np.concatenate([labels for _, labels in held]).astype(np.int32),
        sizes=[len(labels) for _, labels in held],
        **dict(zip(WEIGHTS, weights, strict=True)),
    )


def write_result(path: Path, task: Task, seconds, logits, packages) -> None:
    """Writes the seconds of each round, the last weights' mean cross-entropy, and versions."""
    logits = np.asarray(logits, np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    of_label = np.take_along_axis(logits, task.labels[:, None], axis=1)[:, 0]
    loss = float(np.mean(np.log(np.exp(logits).sum(axis=1)) - of_label))
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    path.write_text(json.dumps({"seconds": seconds, "loss": loss, "versions": versions}))
