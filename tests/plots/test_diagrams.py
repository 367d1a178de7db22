"""Diagrams, the style, and what an import of the pictures does."""

import itertools
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

import fedlab
from fedlab import plots
from fedlab.plots import diagrams

PACKAGE = Path(fedlab.__file__).parent


def test_import_draws_nothing_changes_nothing_and_needs_no_tensorflow():
    code = (
        "import sys, matplotlib as m; before = dict(m.rcParams); import fedlab.plots.diagrams;"
        "changed = {k for k in before if dict(m.rcParams)[k] != before[k]} - {'backend'};"
        "import matplotlib.pyplot as plt; assert not changed and not plt.get_fignums();"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PACKAGE.parent)


def test_use_style_changes_only_what_the_style_file_names():
    matplotlib.rcdefaults()
    before = dict(matplotlib.rcParams)
    plots.use_style()
    changed = {k for k, v in before.items() if matplotlib.rcParams[k] != v}
    style = PACKAGE / "plots/fedlab.mplstyle"
    named = matplotlib.rc_params_from_file(style, use_default_template=False)
    assert changed <= set(named)
    assert "figure.constrained_layout.use" in changed


def test_architecture_has_two_arrows_a_client_and_none_touches_the_data():
    ax, num_clients = diagrams.architecture(), 5
    arrows = [p for p in ax.patches if isinstance(p, FancyArrowPatch)]
    fences = [p for p in ax.patches if p.get_linestyle() == "--"]
    assert len(arrows) == 2 * num_clients + 2  # and two in the legend
    assert len(fences) == num_clients + 1
    boxes = [fence.get_path().get_extents(fence.get_patch_transform()) for fence in fences]
    for arrow in arrows:
        for end in arrow.get_path().vertices:
            assert not any(box.contains(*end) for box in boxes)
    digits = [text.get_text() for text in ax.texts if text.get_text().isdigit()]
    assert len({"".join(digits[k : k + 3]) for k in range(0, len(digits), 3)}) == num_clients


def test_the_steps_of_a_round_but_one_can_be_pale():
    def opaque(ax):
        return {text.get_text() for text in ax.texts if text.get_alpha() in (None, 1.0)}

    numbers = range(1, 5)
    steps = [
        {text for text in opaque(diagrams.training_round(step)) if text[:1].isdigit()}
        for step in numbers
    ]
    assert [sorted(text[0] for text in step) for step in steps] == [[str(k)] for k in numbers]
    assert {
        text for text in opaque(diagrams.training_round()) if text[:1].isdigit()
    } == set().union(*steps)


def test_the_client_that_drops_out_of_secure_aggregation_is_not_in_the_sum():
    ax = plots.secure_aggregation()
    people = [patch for patch in ax.patches if isinstance(patch, Circle)]
    assert len(people) == 25
    lost = [person.get_linestyle() == "--" for person in people]
    by_step = [sum(lost[start : start + 5]) for start in range(0, 25, 5)]
    assert by_step == [0, 0, 1, 1, 1]
    assert ax.texts[-1].get_text().replace("\n", " ") == "the sum of the four"


@pytest.mark.parametrize("num_lessons", [1, 6, 10, 11, 16, 23])
def test_series_map_numbers_every_lesson_and_has_room_for_it(num_lessons):
    titles = ["Secure aggregation and encryption of updates"] * num_lessons
    ax = diagrams.series_map([(title, f"{i:02d}") for i, title in enumerate(titles)], "00")
    ax.figure.canvas.draw()
    assert [text.get_text() for text in ax.texts[::2]] == list(map(str, range(num_lessons)))
    page = ax.get_window_extent()
    boxes = [p.get_window_extent() for p in ax.patches if isinstance(p, FancyBboxPatch)]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    for box, number, text in zip(boxes, ax.texts[::2], ax.texts[1::2], strict=True):
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
        inner = [label.get_window_extent() for label in (number, text)]
        assert all(box.contains(*corner) for part in inner for corner in part.corners())
        assert not inner[0].overlaps(inner[1])
        assert text.get_fontsize() >= 12
    centers = [(box.x0 + box.x1, -(box.y0 + box.y1)) for box in boxes]
    assert centers == sorted(centers, key=lambda place: (round(place[1]), place[0]))
    later = diagrams.series_map([("Data", "00"), ("Later", ""), ("Later", "")], "00")
    assert [text.get_text() for text in later.texts].count("to come") == 2
