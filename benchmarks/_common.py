"""What the benchmarks share: where things are, and where results go."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from fedlab import data, files
from fedlab.experiments.results import check_replaces

ROOT = Path(__file__).resolve().parents[1]
WRITER_DIGITS = ROOT.parent / "shared/data/writer-digits/emnist_all.sqlite.lzma"


def load() -> data.FederatedDataset:
    """Returns the best data set that is there."""
    return data.load(str(WRITER_DIGITS) if WRITER_DIGITS.exists() else "digits")


def create_parser(description: str) -> argparse.ArgumentParser:
    """Returns a parser with the option that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    text = "where the results go (default: results; runs, if results holds those of other data)"
    parser.add_argument("--to", type=Path, metavar="FOLDER", help=text)
    return parser


def choose_path(name: str, digests: Mapping[str, str], folder: Path | None) -> Path:
    """Returns where results go, before they are measured: results of other data stay.

    Args:
        name: The name of the file.
        digests: As `write_results` takes them.
        folder: What `--to` says.

    Raises:
        ValueError: The folder holds results of other data.
    """
    path = (folder or ROOT / "results") / name
    try:
        check_replaces(path, digests)
    except ValueError as error:
        if folder is not None:
            raise
        path = ROOT / "runs" / name
        check_replaces(path, digests)
        print(f"{error} These go to {path}.", flush=True)
    return path


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure as a PNG file, as a whole."""
    files.write_picture(path, figure.savefig)
