"""Cuts the paths in stored notebook outputs: `python -m fedlab.stored_paths notebooks/*.ipynb`.

A traceback names the files that it went through by absolute paths, which differ from machine to machine
and tell a reader nothing. A file of this project is named from the project's folder on, one of an
installed package from the package on, and a cell without the kernel's temporary file.
"""

import json
import re
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedlab.files import write_text

# The folders that files are named from; the environment lies in the project's folder, so it is first.
_FOLDERS = (
    *(sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")),
    str(Path(__file__).resolve().parents[1]),
)
# Where a path begins: also directly after a color code, such as "\x1b[32m".
_START = r"(?:(?<=\dm)|(?<![\w.~/-]))"
_CELL = re.compile(rf"{_START}/[^\s:'\"]*/ipykernel_\d+/\d+\.py")
_GENERATED = re.compile(rf"{_START}/[^\s:'\"]*/(?=__autograph_generated_file)")


def cut_paths(text: str, folders: Sequence[str] = _FOLDERS) -> str:
    """Returns a text in which paths begin at one of the folders, and cells are called `<cell>`.

    Args:
        text: An output's text; color codes stay as they are.
        folders: Absolute paths; one inside another must come before it.
    """
    text = _GENERATED.sub("", _CELL.sub("<cell>", text))
    for folder in folders:
        text = re.sub(f"{_START}{re.escape(folder)}/", "", text)
    return text


def cut_outputs(notebook: dict[str, Any], folders: Sequence[str] = _FOLDERS) -> None:
    """Cuts the paths in all text that a notebook's cells have printed, in place.

    Args:
        notebook: A notebook as its JSON is, format 4. Sources and pictures are not changed.
        folders: As `cut_paths` takes them.
    """
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            for name in output.keys() & {"text", "evalue", "traceback"}:
                output[name] = _cut(output[name], folders)
            data = output.get("data", {})
            for name in [name for name in data if name.startswith("text/")]:
                data[name] = _cut(data[name], folders)


def _cut(lines: str | list[str], folders: Sequence[str]) -> str | list[str]:
    if isinstance(lines, str):
        return cut_paths(lines, folders)
    return [cut_paths(line, folders) for line in lines]


def main(paths: list[str]) -> None:
    """Rewrites the notebooks that have such paths; leaves the others as they are.

    Args:
        paths: Of the notebooks.
    """
    for path in map(Path, paths):
        text = path.read_text(encoding="utf-8")
        notebook = json.loads(text)
        cut_outputs(notebook)
        shorter = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"  # as nbformat writes it
        if shorter != text:
            write_text(path, shorter)


if __name__ == "__main__":
    main(sys.argv[1:])
