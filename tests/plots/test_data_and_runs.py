"""Pictures of data, runs and clients show the numbers that they are given."""

import numpy as np
import pandas as pd
import pytest
from helpers.pictures import band, dots, points, rows, texts

from fedlab import plots

IMAGES = np.linspace(0, 1, 12 * 28 * 28, dtype=np.float32).reshape(12, 28, 28)
COUNTS = {"f0000_14": np.array([3, 0, 5]), "f0001_41": np.array([0, 7, 1])}


@pytest.mark.parametrize("image_shape", [(28, 28), (32, 32, 3), (8, 8), (40, 60), (20, 10, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_images_of_any_shape_stand_under_their_labels(image_shape, dtype):
    draws = np.random.default_rng(0).uniform(size=(12, *image_shape))
    images = (draws * (255 if dtype == np.uint8 else 1)).astype(dtype)
    ax = plots.digits(images, [f"d{i}" for i in range(12)], num_columns=5)
    canvas = np.asarray(ax.images[0].get_array())
    assert texts(ax) == [f"d{i}" for i in range(12)]
    height, width = image_shape[:2]
    for image, text in zip(images, ax.texts, strict=True):
        x, y = text.get_position()
        left, top = round(x - (width - 1) / 2), round(y + 1)
        drawn = canvas[top : top + height, left : left + width]
        np.testing.assert_array_equal(drawn, image / 255 if dtype == np.uint8 else image)


def test_a_client_has_a_row_of_its_images_and_an_attack_its_score_beside():
    images = {"f0000_14": IMAGES[:7], "b": IMAGES[7:9]}
    ax = plots.digits_by_client(images, num_columns=4)
    canvas = np.asarray(ax.images[0].get_array())
    np.testing.assert_array_equal(canvas[4:32, 90:118], IMAGES[3])
    np.testing.assert_array_equal(canvas[36:64, 30:58], IMAGES[8])
    assert (canvas[36:64, 60:] == 1.0).all()
    scored = plots.reconstructions(images, {"b": 0.912})
    assert rows(ax) == rows(scored) == ["f0000_14", "b"]
    heights = {text.get_text(): text.get_position()[1] for text in scored.texts}
    assert heights["0.91"] == scored.get_yticks()[1]


@pytest.mark.parametrize("counts", [COUNTS, pd.DataFrame.from_dict(COUNTS, orient="index")])
def test_label_counts_are_written_into_a_map(counts):
    ax = plots.label_mix(counts)
    assert texts(ax) == ["3", "0", "0", "7", "5", "1"]
    assert [label.get_text() for label in ax.get_xticklabels()] == list(COUNTS)
    image = plots.label_mix(counts, normalize=True).images[0]
    assert image.get_clim() == (0, 100)  # one scale for all pictures
    percent = image.get_array()
    np.testing.assert_allclose(np.asarray(percent).sum(axis=0), 100)


@pytest.mark.parametrize("sizes", [[18], [5, 9, 40], list(range(1, 301))])
def test_every_client_s_size_is_counted_once(sizes):
    ax = plots.examples_per_client(np.array(sizes))
    assert sum(bar.get_height() for bar in ax.patches) == len(sizes)
    assert ax.lines[0].get_xdata()[0] == np.median(sizes)


def test_curves_leave_out_rounds_without_a_value():
    rounds = {"round_num": [0, 1, 2], "seconds": [2.0, 5.0, 9.0]}
    first = pd.DataFrame(rounds | {"eval_accuracy": [0.5, np.nan, 0.7]})
    second = pd.DataFrame(rounds | {"eval_accuracy": [None, 0.6, None]}).to_dict("records")
    runs = {"fed_avg": first, "FedAdam": second}
    ax = plots.curves(runs, "eval_accuracy", hline={"chance": 0.1})
    assert points(ax, "FedAvg").tolist() == [[0, 0.5], [2, 0.7]]
    assert points(ax, "FedAdam").tolist() == [[1, 0.6]]
    assert set(points(ax, "chance")[:, 1]) == {0.1}
    over_time = plots.curves(runs, "eval_accuracy", x="seconds")
    assert points(over_time, "FedAvg").tolist() == [[2.0, 0.5], [9.0, 0.7]]


def test_several_runs_are_a_mean_and_a_band():
    accuracies = [[value, value + 0.5] for value in (0.0, 0.1, 0.2, 0.3, 0.4)]
    runs = [pd.DataFrame({"round_num": [0, 1], "accuracy": pair}) for pair in accuracies]
    ax = plots.curves({"fed_avg": runs})
    np.testing.assert_allclose(points(ax, "FedAvg"), [[0, 0.2], [1, 0.7]])
    np.testing.assert_allclose(band(ax.collections[0]), [(0.0, 0.4), (0.5, 0.9)])


def test_matrices_and_heatmaps_write_every_number_into_its_cell():
    matrix = np.random.default_rng(0).integers(0, 60, (10, 10))
    ax = plots.confusion_matrix(matrix)
    expected = {(column, row): str(value) for (row, column), value in np.ndenumerate(matrix)}
    assert {text.get_position(): text.get_text() for text in ax.texts} == expected
    percent = plots.confusion_matrix(np.array([[3, 1], [0, 0]]), normalize=True)
    assert texts(percent) == ["75", "25", "0", "0"]
    values = pd.DataFrame({"IID": [0.9, 0.8], "shards": [0.5, 0.61]}, index=["FedAvg", "FedProx"])
    ax = plots.settings_heatmap(values, label="worst decile")
    written = {text.get_position(): text.get_text() for text in ax.texts}
    assert written == {(0, 0): "90%", (1, 0): "50%", (0, 1): "80%", (1, 1): "61%"}


@pytest.mark.parametrize("num_clients, num_worst", [(1, 1), (5, 1), (31, 4), (100, 10)])
def test_client_spread_is_sorted_with_the_means_of_all_and_of_the_worst(num_clients, num_worst):
    accuracies = np.random.default_rng(1).permutation(num_clients) / num_clients
    ax = plots.client_spread({f"c{i}": a for i, a in enumerate(accuracies)})
    assert [bar.get_height() for bar in ax.patches] == sorted(accuracies)
    means = [line.get_ydata()[0] for line in ax.lines]
    assert means == pytest.approx([accuracies.mean(), np.sort(accuracies)[:num_worst].mean()])


def test_bars_have_the_given_lengths_and_changes_are_sorted_counted_and_in_points():
    ax = plots.bars({"fed_avg": 0.912, "other": 0.5}, xlabel="accuracy", value_format="{:.1%}")
    assert [bar.get_width() for bar in ax.patches] == [0.912, 0.5]
    assert texts(ax) == ["91.2%", "50.0%"]
    assert rows(ax) == ["FedAvg", "other"]
    ax = plots.client_changes({"anna": 0.25, "ben": -0.1, "cleo": 0.0, "dan": 0.05})
    heights = sorted((bar.get_x(), bar.get_height()) for bar in ax.patches)
    assert [height for _, height in heights] == pytest.approx([-10, 0, 5, 25])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["1 lose", "1 as before", "2 gain"]


def test_the_server_moves_to_the_mean_of_the_clients_and_panels_have_one_scale():
    left = np.array([[0, 0], [-1, 1], [-2, 1.5]])
    right = np.array([[0, 0], [1, 2], [10, 12.5]])
    figure = plots.client_drift({"IID": [left, left], "skewed": [left, right]})
    first, second = figure.axes
    np.testing.assert_array_equal(points(second, "their mean: the server"), (left + right) / 2)
    assert first.get_xlim() == second.get_xlim() and first.get_ylim() == second.get_ylim()
    assert second.get_xlim()[0] < -2 and second.get_xlim()[1] > 10


@pytest.mark.parametrize("seeds", [[10, 20], [10, None], [None, None], [4, 9, np.nan, 12]])
def test_a_large_mark_is_the_median_and_methods_may_lack_a_setting_and_do_not_overlap(seeds):
    ax = plots.rounds_to_target({("FedAvg", "IID"): seeds}, num_rounds=50)
    lines = [line for line in ax.lines if len(line.get_xdata())]
    *_, small, large = sorted(lines, key=lambda line: line.get_markersize())
    assert list(small.get_xdata()) == [55 if s is None or np.isnan(s) else s for s in seeds]
    median = np.median([np.inf if s is None or np.isnan(s) else s for s in seeds])
    assert large.get_xdata()[0] == (55 if np.isinf(median) else median)
    ax = plots.rounds_to_target({("A", "x"): [1], ("A", "y"): [2], ("B", "y"): [3]}, num_rounds=5)
    assert rows(ax) == ["x", "y"]
    assert [x for x, _ in dots(ax)] == [1, 2, 3]
    assert len({y for _, y in dots(ax)}) == 3
