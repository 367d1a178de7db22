"""Importing is cheap: who needs no TensorFlow does not load it. (Who may import whom: `./lab lint`.)"""

import subprocess
import sys

import pytest


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
