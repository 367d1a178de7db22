"""What must be true of every notebook besides its outputs, which nbval compares."""

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NOTEBOOKS = {path.stem: nbformat.read(path, as_version=4) for path in PATHS}
TEXT_TYPES = ("text/plain", "text/html", "text/markdown", "text/latex")
MACHINE_PATH = r"(?<![\w.:/~<-])/[\w.-]+/[\w.-]+|site-packages|ipykernel_\d+"
MAX_CELL_LINES = 25
LAST_SECTIONS = ["## Limits", "## Exercises", "## Sources"]


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell):
    return cell.metadata.get("tags", [])


def prose(notebook):
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def every(cells_fn) -> Iterator[tuple[str, dict]]:
    """Yields each cell that `cells_fn` selects, with the name of its notebook."""
    for name, notebook in NOTEBOOKS.items():
        for cell in cells_fn(notebook):
            yield name, cell


def printed_texts(cell) -> Iterator[str]:
    for output in cell.outputs:
        yield from [output.get("text", ""), output.get("evalue", "")]
        yield from output.get("traceback", [])
        yield from (
            str(text) for kind, text in output.get("data", {}).items() if kind in TEXT_TYPES
        )


def test_notebooks_are_numbered_without_a_gap():
    assert [int(path.stem[:2]) for path in PATHS] == list(range(len(PATHS)))
    assert len(PATHS) >= 10


def test_outputs_come_from_one_run_from_the_top():
    for name, notebook in NOTEBOOKS.items():
        counts = [cell.execution_count for cell in code_cells(notebook)]
        assert counts == list(range(1, len(counts) + 1)), name


def test_only_cells_that_are_marked_for_it_raise_and_none_writes_to_stderr():
    for name, cell in every(code_cells):
        raises = any(output.output_type == "error" for output in cell.outputs)
        assert raises == ("raises-exception" in tags(cell)), (name, cell.source)
        assert not [o for o in cell.outputs if o.get("name") == "stderr"], (name, cell.source)


def test_no_output_names_a_folder_of_the_machine_that_ran_it():
    for name, cell in every(code_cells):
        for text in printed_texts(cell):
            plain = re.sub(r"\x1b\[[\d;]*m", " ", text)
            assert not re.findall(MACHINE_PATH, plain), name


@pytest.mark.parametrize(
    "text", ["/home/ann/course/files.py:3", "in '/opt/x.py'", "lib/site-packages/x"]
)
def test_a_folder_of_the_machine_would_be_seen(text):
    assert re.search(MACHINE_PATH, text)


def test_no_cell_is_left_out_of_the_comparison():
    for name, cell in every(lambda notebook: notebook.cells):
        marks = " ".join([cell.source, *tags(cell)]).lower()
        assert not re.search("nbval.(skip|ignore)", marks), (name, cell.source)


def test_cells_are_short():
    for name, cell in every(code_cells):
        assert len(cell.source.splitlines()) <= MAX_CELL_LINES, (name, cell.source)


def test_every_picture_has_its_caption_below():
    for name, notebook in NOTEBOOKS.items():
        for cell, below in zip(notebook.cells, notebook.cells[1:], strict=False):
            outputs = cell.get("outputs", [])
            has_picture = any("image/png" in output.get("data", {}) for output in outputs)
            if has_picture and "solution" not in tags(cell):
                assert below.source.startswith("*"), (name, cell.source)


def test_every_picture_says_what_is_drawn():
    for name, notebook in NOTEBOOKS.items():
        for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
            if "image/png" in output.get("data", {}):
                told = output.metadata.get("image/png", {}).get("alt", "")
                assert len(told) > 10, (name, told)


def test_the_parts_of_a_lesson_stand_in_their_order():
    for name, notebook in NOTEBOOKS.items():
        headings = re.findall(r"^#{1,2} .+$", prose(notebook), re.MULTILINE)
        assert notebook.cells[0].source.startswith("# "), name
        assert [text for text in headings if text.startswith("# ")] == headings[:1], name
        assert headings[-len(LAST_SECTIONS) :] == LAST_SECTIONS, name


def test_every_exercise_has_a_folded_solution():
    for name, notebook in NOTEBOOKS.items():
        exercises = prose(notebook).partition("## Exercises")[2].partition("**Solution")[0]
        solutions = [cell for cell in code_cells(notebook) if "solution" in tags(cell)]
        num_exercises = len(re.findall(r"^\d\. ", exercises, re.MULTILINE))
        assert num_exercises == len(solutions) >= 3, name
        for cell in solutions:
            assert cell.metadata.jupyter == {"source_hidden": True, "outputs_hidden": True}, name


def test_links_lead_to_files_of_the_project():
    for name, notebook in NOTEBOOKS.items():
        for target in re.findall(r"\]\(([^)#]+)\)", prose(notebook)):
            if not re.match(r"https?:", target):
                assert (ROOT / "notebooks" / target).exists(), (name, target)


def test_who_shows_figures_of_the_writer_digits_says_what_they_are():
    """Source, licence and the difference to Federated EMNIST stand in lesson 1 and in the README."""
    named = re.compile(r"writer[ _]digits|real\s+writers")
    pages = {name: prose(notebook) for name, notebook in NOTEBOOKS.items()}
    pages |= {path.name: path.read_text() for path in (ROOT / "results").glob("*.md")}
    pages |= {path.name: path.read_text() for path in (ROOT / "docs").glob("*.md")}
    has_source = re.compile(r"01_federated_data|README\.md#data|QMNIST.*BSD", re.DOTALL)
    lacking = [
        name for name, text in pages.items() if named.search(text) and not has_source.search(text)
    ]
    assert not lacking and sum(bool(named.search(text)) for text in pages.values()) > 10
