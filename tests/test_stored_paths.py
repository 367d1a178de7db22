"""Stored outputs name files as they are in the project or in a package, and lose nothing else."""

import json

import pytest

from fedlab import stored_paths
from fedlab.stored_paths import cut_outputs, cut_paths, main

ROOT = "/home/ann/my course"
PACKAGES = f"{ROOT}/.venv/lib/python3.11/site-packages"
FOLDERS = (PACKAGES, "/usr/lib/python3.11", ROOT)


@pytest.mark.parametrize(
    "text, cut",
    [
        (f"{ROOT}/fedlab/files.py:12", "fedlab/files.py:12"),
        (f'File "{PACKAGES}/keras/src/layer.py", line 3', 'File "keras/src/layer.py", line 3'),
        (f"\x1b[36mFile \x1b[39m\x1b[32m{ROOT}/fedlab/files.py:3\x1b[39m", None),
        (
            f"\x1b[32m{PACKAGES}/tensorflow/x.py:3\x1b[39m, in",
            "\x1b[32mtensorflow/x.py:3\x1b[39m, in",
        ),
        ("/usr/lib/python3.11/contextlib.py:137, in", "contextlib.py:137, in"),
        ("/tmp/ipykernel_4711/12345.py:1: UserWarning: x", "<cell>:1: UserWarning: x"),
        ('File "/tmp/__autograph_generated_filex1.py"', 'File "__autograph_generated_filex1.py"'),
        (f"{ROOT}-2/fedlab/files.py", f"{ROOT}-2/fedlab/files.py"),
        (
            "3/4 of https://example.org/a/b, ~/.cache/fedlab",
            "3/4 of https://example.org/a/b, ~/.cache/fedlab",
        ),
    ],
)
def test_a_path_begins_where_it_means_something(text, cut):
    if cut is None:
        cut = "\x1b[36mFile \x1b[39m\x1b[32mfedlab/files.py:3\x1b[39m"
    assert cut_paths(text, FOLDERS) == cut
    assert cut_paths(cut, FOLDERS) == cut


def test_every_kind_of_printed_text_is_cut_and_nothing_else():
    path = f"{ROOT}/fedlab/files.py"
    outputs = [
        {"output_type": "stream", "name": "stderr", "text": [path + "\n", "x"]},
        {"output_type": "error", "ename": "E", "evalue": path, "traceback": [path]},
        {"output_type": "display_data", "data": {"text/plain": path, "image/png": path}},
    ]
    notebook = {"cells": [{"source": [path]}, {"source": [path], "outputs": outputs}]}
    cut_outputs(notebook, FOLDERS)
    assert outputs[0]["text"] == ["fedlab/files.py\n", "x"]
    assert (outputs[1]["evalue"], outputs[1]["traceback"]) == (
        "fedlab/files.py",
        ["fedlab/files.py"],
    )
    assert outputs[2]["data"] == {"text/plain": "fedlab/files.py", "image/png": path}
    assert [cell["source"] for cell in notebook["cells"]] == [[path], [path]]


def test_a_notebook_without_such_a_path_is_not_written_again(tmp_path):
    path = tmp_path / "a.ipynb"
    notebook = {"cells": [{"outputs": [{"text": [f"{stored_paths.__file__}: é\n"]}]}]}
    path.write_text(json.dumps(notebook), encoding="utf-8")
    main([str(path)])
    assert json.loads(path.read_text())["cells"][0]["outputs"][0]["text"] == [
        "fedlab/stored_paths.py: é\n"
    ]
    inode = path.stat().st_ino
    main([str(path)])
    assert path.stat().st_ino == inode
