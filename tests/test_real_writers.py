"""The lessons on digits of real writers, for the work before a release: `./lab test --real`.

The file of the digits is not part of this repository; where it is missing, the tests are skipped.
"""

import json
from pathlib import Path

import nbclient
import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
WRITER_DIGITS = ROOT.parent / "shared/data/writer-digits/emnist_all.sqlite.lzma"
SIMULATED = "scikit-learn, simulated"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not WRITER_DIGITS.exists(), reason=f"There is no file {WRITER_DIGITS}."),
]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem
)
def test_a_lesson_runs_on_real_writers(path, monkeypatch):
    monkeypatch.setenv("FEDLAB_DATASET", str(WRITER_DIGITS))
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=900, resources={"metadata": {"path": path.parent}}
    )
    client.execute()
    outputs = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    assert SIMULATED not in json.dumps(outputs)
