"""Plots show the numbers they are given, and refuse what they cannot show."""

import itertools
import subprocess
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

import fedlab
from fedlab import plots
from fedlab.plots import diagrams

IMAGES = np.linspace(0, 1, 12 * 28 * 28, dtype=np.float32).reshape(12, 28, 28)
MIX = {"f0000_14": np.array([3, 0, 5]), "f0001_41": np.array([0, 7, 1])}


@pytest.fixture(autouse=True)
def close_figures():
    with matplotlib.rc_context():
        yield
    plt.close("all")


def records(accuracies, **columns):
    return [
        {"round_num": i, "accuracy": a, **{k: v[i] for k, v in columns.items()}}
        for i, a in enumerate(accuracies)
    ]


def texts(ax):
    return [text.get_text() for text in ax.texts]


def line(ax, label):
    return next(found for found in ax.lines if found.get_label() == label)


def levels(ax):
    """Heights of the horizontal lines by the start of their label."""
    return {h.get_label(): float(h.get_ydata()[0]) for h in ax.lines}


def test_import_draws_nothing_changes_nothing_and_needs_no_tensorflow():
    code = (
        "import sys, matplotlib as m; before = dict(m.rcParams);"
        "import importlib.util as u, types; p = types.ModuleType('fedlab');"
        f"p.__path__ = [{str(Path(fedlab.__file__).parent)!r}]; sys.modules['fedlab'] = p;"
        "import fedlab.plots.diagrams, matplotlib.pyplot as plt;"
        "changed = {k for k in before if dict(m.rcParams)[k] != before[k]} - {'backend'};"
        "assert not changed, changed; assert not plt.get_fignums();"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_use_style_changes_only_what_the_style_file_names():
    matplotlib.rcdefaults()
    before = dict(matplotlib.rcParams)
    plots.use_style()
    changed = {k for k, v in before.items() if matplotlib.rcParams[k] != v}
    named = matplotlib.rc_params_from_file(
        Path(fedlab.__file__).parent / "plots" / "fedlab.mplstyle", use_default_template=False
    )
    assert changed <= set(named)
    assert "figure.constrained_layout.use" in changed


def test_algorithms_have_colors_of_their_own():
    names = (
        "fed_avg fed_prox fed_avgm fed_adam fed_yogi fed_adagrad mime_lite fed_sgd central local"
    )
    assert len({plots.COLORS[name] for name in names.split()}) == 10


def test_digits_are_drawn_where_their_labels_are():
    ax = plots.digits(IMAGES, [f"d{i}" for i in range(12)], num_columns=5)
    drawn = np.asarray(ax.images[0].get_array())
    assert texts(ax) == [f"d{i}" for i in range(12)]
    for image, text in zip(IMAGES, ax.texts, strict=True):
        x, y = text.get_position()
        left, top = round(x - 13.5), round(y + 1)
        np.testing.assert_array_equal(drawn[top : top + 28, left : left + 28], image)


def test_digits_by_client_is_one_row_per_client_with_its_id():
    ax = plots.digits_by_client({"f0000_14": IMAGES[:7], "b": IMAGES[7:9]}, num_columns=4)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["f0000_14", "b"]
    drawn = np.asarray(ax.images[0].get_array())
    np.testing.assert_array_equal(drawn[4:32, 90:118], IMAGES[3])
    np.testing.assert_array_equal(drawn[36:64, 30:58], IMAGES[8])
    assert (drawn[36:64, 60:] == 1.0).all()


@pytest.mark.parametrize("counts", [MIX, pd.DataFrame.from_dict(MIX, orient="index")])
def test_label_mix_writes_every_count_at_its_label_and_client(counts):
    ax = plots.label_mix(counts)
    assert texts(ax) == ["3", "0", "0", "7", "5", "1"]
    assert [t.get_text() for t in ax.get_xticklabels()] == list(MIX)
    percent = plots.label_mix(counts, normalize=True).images[0].get_array()
    np.testing.assert_allclose(np.asarray(percent).sum(axis=0), 100)


def test_label_histograms_have_the_counts_as_heights_on_one_scale():
    figure = plots.label_histograms(MIX, num_columns=1)
    assert [ax.get_title() for ax in figure.axes] == list(MIX)
    for ax, row in zip(figure.axes, MIX.values(), strict=True):
        assert [bar.get_height() for bar in ax.patches] == list(row)
    assert len({ax.get_ylim() for ax in figure.axes}) == 1


@pytest.mark.parametrize("sizes", [[18], [5, 9, 40], list(range(1, 301))])
def test_examples_per_client_counts_every_client_once_and_marks_the_median(sizes):
    ax = plots.examples_per_client(np.array(sizes))
    assert sum(bar.get_height() for bar in ax.patches) == len(sizes)
    assert ax.lines[0].get_xdata()[0] == np.median(sizes)


def test_curves_draw_a_line_per_name_in_its_color_and_skip_missing_rounds():
    runs = {
        "fed_avg": records([0.1, 0.2, 0.3], eval_accuracy=[0.5, np.nan, 0.7]),
        "FedAdam": pd.DataFrame(records([0.2, 0.3, 0.4], eval_accuracy=[None, 0.6, None])),
        "E = 5": records([0.1, 0.1, 0.1], eval_accuracy=[0.1, 0.2, 0.3]),
    }
    ax = plots.curves(runs, "eval_accuracy", hline={"chance": 0.1})
    assert len(ax.lines) == 4
    assert line(ax, "FedAvg").get_xydata().tolist() == [[0, 0.5], [2, 0.7]]
    assert line(ax, "FedAvg").get_color() == plots.COLORS["fed_avg"]
    assert line(ax, "FedAdam").get_xydata().tolist() == [[1, 0.6]]
    assert line(ax, "E = 5").get_color() not in plots.COLORS.values()
    assert levels(ax)["chance"] == 0.1


@pytest.mark.parametrize("band, low, high", [("minmax", 0.0, 0.4), ((0.25, 0.75), 0.1, 0.3)])
def test_curves_of_several_runs_are_a_mean_and_a_band(band, low, high):
    runs = [records([value, value + 0.5]) for value in (0.0, 0.1, 0.2, 0.3, 0.4)]
    ax = plots.curves({"fed_avg": runs}, band=band)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [0.2, 0.7])
    outline = ax.collections[0].get_paths()[0].vertices
    at_first_round = outline[outline[:, 0] == 0][:, 1]
    np.testing.assert_allclose([at_first_round.min(), at_first_round.max()], [low, high])
    assert not plots.curves({"fed_avg": runs}, band=None).collections


def test_curves_over_another_x():
    run = records([0.1, 0.2], seconds=[2.0, 5.0])
    ax = plots.curves({"fed_avg": run}, x="seconds")
    assert ax.lines[0].get_xdata().tolist() == [2.0, 5.0]
    assert ax.get_xlabel() == "time (s)"


def test_confusion_matrix_writes_its_numbers():
    matrix = np.random.default_rng(0).integers(0, 60, (10, 10))
    ax = plots.confusion_matrix(matrix)
    assert {t.get_position(): int(t.get_text()) for t in ax.texts} == {
        (column, row): value for (row, column), value in np.ndenumerate(matrix)
    }
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted label", "true label")


def test_confusion_matrix_in_percent_of_the_true_label_with_an_empty_row():
    ax = plots.confusion_matrix(np.array([[3, 1], [0, 0]]), normalize=True)
    assert texts(ax) == ["75", "25", "0", "0"]


@pytest.mark.parametrize("num_clients, num_worst", [(1, 1), (5, 1), (30, 3), (31, 4), (100, 10)])
def test_client_spread_marks_the_mean_and_the_worst_tenth(num_clients, num_worst):
    accuracies = np.random.default_rng(1).permutation(num_clients) / num_clients
    ax = plots.client_spread({f"c{i}": a for i, a in enumerate(accuracies)})
    assert [bar.get_height() for bar in ax.patches] == sorted(accuracies)
    mean, worst = (h.get_ydata()[0] for h in ax.lines)
    assert mean == pytest.approx(accuracies.mean())
    assert worst == pytest.approx(np.sort(accuracies)[:num_worst].mean())


def test_bars_have_the_given_lengths_and_texts():
    ax = plots.bars({"fed_avg": 0.912, "other": 0.5}, xlabel="accuracy", value_format="{:.1%}")
    assert [bar.get_width() for bar in ax.patches] == [0.912, 0.5]
    assert texts(ax) == ["91.2%", "50.0%"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["FedAvg", "other"]


def test_plots_draw_on_the_axes_they_are_given():
    _, ax = plt.subplots()
    calls = (
        lambda: plots.digits(IMAGES, ax=ax),
        lambda: plots.label_mix(MIX, ax=ax),
        lambda: plots.examples_per_client(np.array([1, 2]), ax=ax),
        lambda: plots.curves({"a": records([0.1, 0.2])}, ax=ax),
        lambda: plots.confusion_matrix(np.eye(10, dtype=int), ax=ax),
        lambda: plots.client_spread({"a": 0.5}, ax=ax),
        lambda: plots.bars({"a": 1.0}, xlabel="x", ax=ax),
    )
    assert all(call() is ax for call in calls)
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize("num_clients", [1, 5, 6])
def test_architecture_has_two_arrows_a_client_and_none_touches_the_data(num_clients):
    ax = diagrams.architecture(num_clients)
    arrows = [p for p in ax.patches if isinstance(p, FancyArrowPatch)]
    fences = [p for p in ax.patches if p.get_linestyle() == "--"]
    assert len(arrows) == 2 * num_clients + 2  # and two in the legend
    assert len(fences) == num_clients + 1
    boxes = [fence.get_path().get_extents(fence.get_patch_transform()) for fence in fences]
    for arrow in arrows:
        for end in arrow.get_path().vertices:
            assert not any(box.contains(*end) for box in boxes)


def test_training_round_pales_all_steps_but_one():
    titles = {t.get_text(): t.get_alpha() for t in diagrams.training_round(3).texts}
    assert titles["3  train locally"] == 1.0
    assert max(titles[t] for t in ("1  select", "2  broadcast", "4  average")) < 0.5
    assert {t.get_alpha() for t in diagrams.training_round().texts} <= {1.0, None}


def test_series_map_numbers_the_lessons_and_dashes_those_to_come():
    lessons = [("Start", "00_start"), ("Data", "01_data"), *[("Later", "")] * 8]
    ax = diagrams.series_map(lessons, current="01_data")
    assert [t for t in texts(ax) if t.isdigit()] == [str(i) for i in range(10)]
    assert sum(p.get_linestyle() == "--" for p in ax.patches) == texts(ax).count("to come") == 8
    full = [p for p in ax.patches if matplotlib.colors.same_color(p.get_facecolor(), "#0072B2")]
    assert len(full) == 1


@pytest.mark.parametrize("num_lessons", [1, 6, 10, 11, 16, 23])
def test_series_map_has_room_for_every_lesson(num_lessons):
    title = "Secure aggregation and encryption of updates"
    ax = diagrams.series_map([(title, f"{i:02d}") for i in range(num_lessons)], "00")
    ax.figure.canvas.draw()
    page = ax.get_window_extent()
    boxes = [p.get_window_extent() for p in ax.patches if isinstance(p, FancyBboxPatch)]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    for box, number, text in zip(boxes, ax.texts[::2], ax.texts[1::2], strict=True):
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
        inner = [one.get_window_extent() for one in (number, text)]
        assert all(box.contains(*corner) for one in inner for corner in one.corners())
        assert not inner[0].overlaps(inner[1])
        assert text.get_fontsize() >= 12


def of_two_runs(**columns):
    return {"fed_avg": records([0.1, 0.2], **columns)}


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: plots.digits(IMAGES[..., None]), r"\(12, 28, 28, 1\); reshape"),
        (lambda: plots.digits(IMAGES[:0]), r"Found \(0, 28, 28\)"),
        (lambda: plots.digits(255 * IMAGES), "0 to 255"),
        (lambda: plots.digits(np.full((1, 28, 28), np.nan)), "Found nan"),
        (lambda: plots.digits(IMAGES, [1]), "Found 1, 12"),
        (lambda: plots.digits(IMAGES, num_columns=0), "num_columns must be at least 1. Found 0"),
        (lambda: plots.digits_by_client({}), "images_by_client must hold at least one"),
        (lambda: plots.digits_by_client({"f7": IMAGES[0]}), r"client 'f7'.*\(28, 28\)"),
        (lambda: plots.label_mix({}), "counts must hold at least one"),
        (lambda: plots.label_mix({"f7": np.array([1, -4])}), "client 'f7'.*Found -4"),
        (lambda: plots.label_mix({"a": [1], "b": [1, 2]}), "'a': 1, 'b': 2"),
        (lambda: plots.label_histograms(MIX, num_columns=0), "Found 0"),
        (lambda: plots.examples_per_client(np.array([3, -2])), "Found -2"),
        (lambda: plots.examples_per_client(np.array([])), "Found none"),
        (lambda: plots.curves({}), "records_by_name must hold at least one"),
        (lambda: plots.curves({"fed_avg": []}), "'fed_avg' must hold at least one record"),
        (lambda: plots.curves(of_two_runs(), "f1"), "'f1'. Found accuracy, round_num"),
        (
            lambda: plots.curves(of_two_runs(eval_loss=[None, None]), "eval_loss"),
            "'eval_loss'. Found accuracy, round_num",
        ),
        (lambda: plots.curves(of_two_runs(seconds=[3, 2]), x="seconds"), "cumsum"),
        (lambda: plots.curves(of_two_runs(), band=(0.9, 0.1)), r"Found \(0.9, 0.1\)"),
        (lambda: plots.curves(of_two_runs(), band="std"), "Found 'std'"),
        (lambda: plots.confusion_matrix(np.ones((10, 9))), r"Found \(10, 9\)"),
        (lambda: plots.confusion_matrix(-np.eye(10)), "Found -1"),
        (lambda: plots.client_spread({}), "values must hold at least one"),
        (lambda: plots.client_spread({"f7": 87.0}), "'f7' has accuracy 87.0"),
        (lambda: plots.client_spread({"f7": np.nan}), "'f7' has accuracy nan"),
        (lambda: plots.client_spread({"a": 0.5}, worst_fraction=0), "Found 0"),
        (lambda: plots.bars({}, xlabel="x"), "values must hold at least one"),
        (lambda: plots.bars({"a": -1.0}, xlabel="x"), r"values\['a'\].*Found -1.0"),
        (lambda: diagrams.architecture(0), "between 1 and 6.*Found 0"),
        (lambda: diagrams.training_round(5), "Found 5"),
        (lambda: diagrams.series_map([]), "Found 0"),
        (lambda: diagrams.series_map([("a", "00_a")], "01_b"), "one of 00_a. Found '01_b'"),
    ],
)
def test_bad_input_is_named_and_leaves_no_figure(call, message):
    with pytest.raises(ValueError, match=message):
        call()
    assert not plt.get_fignums()
