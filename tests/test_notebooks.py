"""What must be true of every notebook besides its outputs, which nbval compares."""

import json
import re
from pathlib import Path

import nbclient
import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WRITER_DIGITS = ROOT.parent / "shared/data/writer-digits/emnist_all.sqlite.lzma"
SHOWN = ("text/plain", "text/html", "text/markdown", "text/latex")
MACHINE_PATH = r"(?<![\w.:/~<-])/[\w.-]+/[\w.-]+|site-packages|ipykernel_\d+"


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell):
    return cell.metadata.get("tags", [])


def prose(notebook):
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def test_notebooks_are_numbered_without_a_gap():
    assert [int(path.stem[:2]) for path in NOTEBOOKS] == list(range(len(NOTEBOOKS)))


def test_outputs_come_from_one_clean_run(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


def test_a_learner_sees_no_log_line_and_no_error_but_the_meant_ones(notebook):
    for cell in code_cells(notebook):
        outputs = cell.outputs
        assert not [o for o in outputs if o.get("name") == "stderr"], cell.source
        has_error = any(o.output_type == "error" for o in outputs)
        assert has_error == ("raises-exception" in tags(cell)), cell.source


def printed(notebook):
    """All text in a notebook's outputs."""
    for cell in code_cells(notebook):
        for output in cell.outputs:
            yield from [output.get("text", ""), output.get("evalue", "")]
            yield from output.get("traceback", [])
            yield from (str(text) for name, text in output.get("data", {}).items() if name in SHOWN)


def test_no_output_names_a_folder_of_the_machine_that_ran_it(notebook):
    for text in printed(notebook):
        plain = re.sub(r"\x1b\[[\d;]*m", " ", text)
        assert not re.findall(MACHINE_PATH, plain)


@pytest.mark.parametrize(
    "text", ["/home/ann/course/files.py:3", "in '/opt/x.py'", "lib/site-packages/x"]
)
def test_a_folder_of_the_machine_would_be_seen(text):
    assert re.search(MACHINE_PATH, text)


def test_no_cell_hides_from_the_comparison(notebook):
    text = json.dumps(notebook).lower()
    assert not re.search("nbval.(skip|ignore)", text)


def test_cells_are_short(notebook):
    lines = sorted(len(cell.source.splitlines()) for cell in code_cells(notebook))
    assert lines[len(lines) // 2] <= 7, "the median cell"
    assert lines[-1] <= 25, "the longest cell"


def test_every_picture_has_its_caption_below(notebook):
    for cell, below in zip(notebook.cells, notebook.cells[1:], strict=False):
        outputs = cell.get("outputs", [])
        has_picture = any("image/png" in output.get("data", {}) for output in outputs)
        if has_picture and "solution" not in tags(cell):
            assert below.source.startswith("*"), cell.source


def test_it_has_exercises_with_folded_solutions(notebook):
    exercises = prose(notebook).partition("## Exercises")[2]
    num_exercises = len(re.findall(r"^\d\. ", exercises.partition("**Solution")[0], re.MULTILINE))
    solutions = [cell for cell in code_cells(notebook) if "solution" in tags(cell)]
    assert num_exercises == len(solutions) >= 3
    for cell in solutions:
        assert cell.metadata.jupyter == {"source_hidden": True, "outputs_hidden": True}


@pytest.mark.parametrize(
    "part", ["You will be able to", "Time:", "You need:", "## Limits", "## Sources"]
)
def test_it_tells_the_learner_what_to_expect(notebook, part):
    assert part in prose(notebook)


def test_its_links_lead_somewhere(notebook):
    for target in re.findall(r"\]\(([^)#]+)\)", prose(notebook)):
        assert (ROOT / "notebooks" / target).exists(), target


@pytest.mark.skipif(not WRITER_DIGITS.exists(), reason=f"needs the writer digits: {WRITER_DIGITS}")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_on_real_writers(path, monkeypatch):
    monkeypatch.setenv("FEDLAB_DATASET", str(WRITER_DIGITS))
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=900, resources={"metadata": {"path": path.parent}}
    )
    client.execute()
    printed = json.dumps([cell.outputs for cell in code_cells(notebook)])
    assert "scikit-learn, simulated" not in printed
