"""What the documents say is there, and their code runs as it is written."""

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import yaml

from fedlab import statistics

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
MAX_README_LINES = 120
RECIPES = ("an aggregator", "a data set", "an attack", "a secure sum", "a lesson")


def code_blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)


def named_paths(text: str) -> list[str]:
    """Returns the files and folders of this project that a text names in backquotes."""
    folders = "|".join(
        path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "runs"
    )
    quoted = re.findall(rf"`((?:\./)?(?:{folders})/[\w./-]*)(?:::\w+)?`", text)
    return [path for path in quoted if "NAME" not in path]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_named_files_are_there(path):
    text = path.read_text()
    links = [target for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) if ":" not in target]
    missing = [target for target in links if not (path.parent / target).exists()]
    missing += [name for name in named_paths(text) if not (ROOT / name).exists()]
    assert missing == []


def resolve(name: str):
    """Returns the module, function or class with this name, or raises."""
    value: object = importlib.import_module("fedlab")
    for part in name.split(".")[1:]:
        if isinstance(value, ModuleType) and not hasattr(value, part):
            value = importlib.import_module(f"{value.__name__}.{part}")
        else:
            value = getattr(value, part)
    return value


def test_names_in_the_guide_for_contributors_are_in_the_code():
    paths = [path for folder in ("fedlab", "tests") for path in (ROOT / folder).rglob("*.py")]
    words = set(re.findall(r"\w+", "\n".join(path.read_text() for path in paths)))
    quoted = re.findall(
        r"`(_?[a-z]\w*_\w+|_?[A-Z]+[a-z]\w+)`", (ROOT / "CONTRIBUTING.md").read_text()
    )
    assert len(quoted) > 10
    assert set(quoted) - words == set()


def test_names_of_the_package_are_in_it():
    texts = [path.read_text() for path in DOCUMENTS]
    names = {name for text in texts for name in re.findall(r"`(fedlab(?:\.\w+)+)[`(]", text)}
    assert len(names) > 30
    for name in names:
        resolve(name)


def test_the_notation_s_names_are_parameters_or_fields():
    text = (ROOT / "docs/notation.md").read_text()
    rows = re.findall(r"^\|.*\| `(\w+)` \| `([\w.]+)` \|$", text, re.MULTILINE)
    assert len(rows) == text.count("\n| ") - 2 * text.count("| --- |\n")
    for name, place in rows:
        assert name in inspect.signature(resolve(place)).parameters, (name, place)


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= MAX_README_LINES


def test_the_readme_s_code_trains_evaluates_and_attacks():
    (code,) = code_blocks(ROOT / "README.md", "python")
    code += """
import json
accuracy = run.to_frame()["eval_accuracy"]
print(json.dumps([float(accuracy.iloc[0]), float(accuracy.iloc[-1]), rebuilt.shape]))
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, last, shape = json.loads(done.stdout.splitlines()[-1])
    assert 0 <= first < last <= 1
    assert shape == [1, 28, 28]


def test_the_guide_has_each_task_with_a_file_and_a_test_to_copy():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for recipe in RECIPES:
        section = text.partition(f"## Add {recipe}\n")[2].partition("\n## ")[0]
        paths = named_paths(section)
        assert [path for path in paths if path.startswith(("fedlab/", "notebooks/"))], recipe
        assert [path for path in paths if path.startswith("tests/")], recipe
        assert "./lab " in section, recipe


def test_the_workflow_runs_what_lab_offers_in_three_jobs():
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())
    jobs = workflow["jobs"]
    assert set(jobs) == {"lint", "unit", "notebooks"}
    known = set(re.findall(r"^\./lab (\w+)", usage(), re.MULTILINE))
    for job in jobs.values():
        commands = [step["run"] for step in job["steps"] if "run" in step]
        assert commands
        assert {command.split()[0] for command in commands} == {"./lab"}
        assert {command.split()[1] for command in commands} <= known


def usage() -> str:
    done = subprocess.run([ROOT / "lab", "help"], capture_output=True, text=True, check=True)
    return done.stdout


def test_the_container_builds_the_environment():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert container["postCreateCommand"] == "./lab build"
    assert container["image"].startswith("python:3.11-")


def test_the_hooks_run_the_environment_s_own_programs():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    (repository,) = config["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        assert hook["language"] == "system", hook
        assert hook["entry"].startswith(".venv/bin/"), hook


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "license"} <= citation.keys()
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert str(citation["version"]) == version[1]
    assert f"## {version[1]}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_table_of_own_models_is_that_of_the_benchmark():
    """Each cell is the range over the cohorts of a model, a loop and a number of batches."""
    rows = pd.read_csv(ROOT / "results" / "own_models.csv")
    text = (ROOT / "docs" / "runtime.md").read_text()
    found = re.findall(
        r"^\| (linear|hash table|the article's CNN|LSTM)\D[^|]*\|(.*)\|$", text, re.MULTILINE
    )
    models = {"linear": "dense", "hash table": "hash table", "the article's CNN": "CNN"}
    assert len(found) == rows.model.nunique() == 4
    for name, cells in found:
        is_model = rows.model == models.get(name, name)
        is_round = rows.measure == "round"
        expected = [
            rows[is_model & is_round & rows.loop.str.startswith(loop) & (rows.num_batches == count)]
            for loop in ("reduce", "iterator")
            for count in (1, 5)
        ] + [rows[is_model & ~is_round]]
        for cell, measured in zip(cells.split("|"), expected, strict=True):
            ends = [float(number) for number in re.findall(r"[\d.]+", cell)]
            ratios = measured.wall_ratio
            assert (ends[0], ends[-1]) == (round(ratios.min(), 2), round(ratios.max(), 2)), name


def test_the_table_of_suggestions_is_that_of_the_studies():
    text = (ROOT / "docs" / "results.md").read_text()
    section = text.partition("## What its eight suggestions give")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (?:\d|not).*?\| ([^|]+) \| (.+) \| (.+) \|$", section, re.MULTILINE)
    assert len(rows) >= 12
    for column, name in ((1, "writer_digits"), (2, "digits")):
        runs = pd.read_csv(ROOT / "results" / f"improvements_{name}.csv")
        start = runs.name.iloc[0]
        assert f"{runs[runs.name == start].accuracy.mean():.1%}" in section
        table = 100 * statistics.compare(runs, start)
        for row in rows:
            one = table.loc[row[0]]
            written = f"{one.difference:+.1f} [{one.low:+.1f}, {one.high:+.1f}]"
            assert row[column] == written.replace("-", "−"), row


def test_what_a_better_start_and_another_recipe_change_is_what_the_studies_found():
    text = " ".join((ROOT / "docs" / "results.md").read_text().split())
    found = {}
    for name in ("writer_digits", "digits"):
        runs = pd.read_csv(ROOT / "results" / f"better_start_{name}.csv")
        found[name] = 100 * statistics.compare(runs, "better start")
    starts = [found[name].loc["better start", "mean"] for name in ("writer_digits", "digits")]
    assert "{:.1f}% on the real writers, {:.1f}% on the simulated ones)".format(*starts) in text
    deeper, other = (found[name].loc["deeper CNN"] for name in ("writer_digits", "digits"))
    assert f"gains {deeper.difference:.1f} points [+{deeper.low:.1f}, +{deeper.high:.1f}]" in text
    assert f"loses {-other.difference:.1f} on the simulated ones" in text
    scaled = [found[name].difference["batch 64, rate x3.2"] for name in ("writer_digits", "digits")]
    assert "grows with them gain {:.1f} and {:.1f}:".format(*scaled) in text
    rows = pd.read_csv(ROOT / "results" / "privacy_recipe.csv")
    mean = 100 * rows[rows.dataset == "writer digits"].groupby("name").accuracy.mean()
    assert f"ends {mean['epsilon 8'] - mean['epsilon 8, not pre-trained']:.1f} points lower" in text
    behind = mean["epsilon 8"] - mean["epsilon 8, the article's CNN"]
    ahead = mean["epsilon 1, the article's CNN"] - mean["epsilon 1"]
    assert f"{behind:.1f} points lower, and at epsilon 1 {ahead:.1f} points *higher*" in text


def test_the_ladder_s_ends_are_those_of_the_study():
    text = (ROOT / "docs" / "results.md").read_text()
    rows = pd.read_csv(ROOT / "results" / "ladder_writer_digits.csv")
    means = rows.groupby(["group", "name"], sort=False).accuracy.mean()
    top, ceiling = means["ladder"].iloc[-1], means["ceiling"].iloc[0]
    assert f"ends at {top:.1%} on unseen digits" in text
    assert f"in one place reaches {ceiling:.1%}" in text


def test_the_table_of_epsilons_is_that_of_the_study():
    text = (ROOT / "docs" / "results.md").read_text()
    rows = pd.read_csv(ROOT / "results" / "privacy_epsilon.csv")
    (cells,) = re.findall(r"^\| accuracy \| (.+) \|$", text, re.MULTILINE)
    rows = rows[rows.audit_epsilon.isna()]
    is_shown = (rows.dataset == "writer digits") & (rows["clip"] < float("inf"))
    means = rows[is_shown].groupby("target_epsilon").accuracy.mean()
    assert cells.split(" | ") == [f"{accuracy:.1%}" for accuracy in means]


def test_the_times_of_the_language_model_are_those_of_the_benchmark():
    text = " ".join((ROOT / "docs" / "results.md").read_text().split())
    rows = pd.read_csv(ROOT / "results" / "language_rounds.csv")
    ratio = rows[rows.part.str.startswith("against")].set_index(["how", "num_clients"]).ratio
    assert f"A round of 12 clients takes {ratio['fedlab', 12]:.2f} of the wall time" in text
    assert f"and of 16 clients {ratio['fedlab', 16]:.2f}; XLA" in text
    assert f"to {ratio['bare, XLA', 12]:.2f} and {ratio['bare, XLA', 16]:.2f}." in text


def test_the_table_of_the_article_s_run_is_that_of_the_benchmark():
    text = (ROOT / "docs" / "results.md").read_text()
    rows = pd.read_csv(ROOT / "results" / "baseline.csv").set_index(["dataset", "evaluated_on"])
    for dataset in ("digits", "writer digits"):
        (cells,) = re.findall(rf"^\| {dataset} \([^|]*\) \| (.+) \|$", text, re.MULTILINE)
        expected = [rows.loc[(dataset, whom)] for whom in ("the five", "everyone")]
        assert cells.split(" | ") == [
            f"{row.accuracy:.1%} of {row.num_examples:,}" for row in expected
        ]
