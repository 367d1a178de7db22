"""Importing is cheap: who needs no TensorFlow does not load it. (Who may import whom: `./lab lint`.)"""

import subprocess
import sys
from pathlib import Path

import grimp
import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "fedlab"
# Loaded by rooms that set TensorFlow up, or after it; alone, nothing is computed in them.
LOADED_WITH_OTHERS = ("fedlab.checkpoints", "fedlab.runtime.")


@pytest.mark.parametrize(
    "modules",
    [
        "fedlab",
        "fedlab.doctor, fedlab.__main__, fedlab.plots.diagrams, fedlab.runtime.native.worker",
    ],
)
def test_import_does_not_load_tensorflow(modules):
    code = f"import {modules}, sys; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_what_loads_tensorflow_sets_it_up():
    graph = grimp.build_graph("fedlab", include_external_packages=True)
    loading = graph.find_modules_that_directly_import("tensorflow") - {"fedlab._tensorflow"}
    assert len(loading) > 20
    for module in loading:
        room = ".".join(module.split(".")[:2])  # Python imports it first
        is_set_up = any(graph.chain_exists(name, "fedlab._tensorflow") for name in (module, room))
        assert is_set_up or module.startswith(LOADED_WITH_OTHERS), module


def test_files_have_at_most_300_lines():
    files = PACKAGE.rglob("*.py")
    assert [path.name for path in files if len(path.read_text().splitlines()) > 300] == []
