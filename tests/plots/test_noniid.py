"""Pictures of clients that differ show the numbers they are given, and refuse what they cannot show."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from fedlab import plots, statistics

LEFT = np.array([[0.0, 0.0], [-1.0, 1.0], [-2.0, 1.5]])
RIGHT = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.5]])


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def line(ax, label):
    return next(found for found in ax.lines if found.get_label() == label)


def marks(ax, size):
    """Where the marks of this size lie, in the order drawn."""
    found = [one for one in ax.lines if one.get_markersize() == size and len(one.get_xdata())]
    return [(float(x), float(one.get_ydata()[0])) for one in found for x in one.get_xdata()]


def test_the_servers_line_is_the_mean_of_the_clients_at_every_step():
    figure = plots.client_drift({"skewed": [LEFT, RIGHT]})
    (ax,) = figure.axes
    server = line(ax, "their mean: the server")
    assert np.array_equal(np.c_[server.get_data()], (LEFT + RIGHT) / 2)


def test_opposite_ways_leave_the_server_where_it_was():
    (ax,) = plots.client_drift({"skewed": [RIGHT, -RIGHT]}).axes
    assert not np.any(line(ax, "their mean: the server").get_data())


def test_every_client_is_drawn_and_all_panels_have_one_scale():
    figure = plots.client_drift({"IID": [LEFT, LEFT, LEFT], "skewed": [LEFT, 5 * RIGHT, RIGHT]})
    iid, skewed = figure.axes
    assert iid.get_xlim() == skewed.get_xlim() and iid.get_ylim() == skewed.get_ylim()
    low, high = skewed.get_xlim()
    assert low < -2 and high > 10 and skewed.get_ylim()[1] > 12.5
    assert [ax.get_title() for ax in figure.axes] == ["IID", "skewed"]
    ends = [tuple(one.get_xydata()[-1]) for one in skewed.lines if one.get_lw() == 1.2]
    assert ends == [(-2.0, 1.5), (10.0, 12.5), (2.0, 2.5)]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ({}, "paths_by_setting must hold"),
        ({"a": []}, "'a'.* must hold at least one"),
        ({"a": [LEFT, RIGHT[:2]]}, "'a' must all be"),
        ({"a": [np.zeros((3, 3))]}, "num_points, 2"),
        ({"a": [LEFT[:1]]}, "num_points, 2"),
        ({"a": [LEFT * np.nan]}, "'a' must be finite"),
        ({"b": [LEFT + 1]}, r"'b' must begin at \(0, 0\)"),
    ],
)
def test_client_drift_refuses(paths, message):
    with pytest.raises(ValueError, match=message):
        plots.client_drift(paths)


def test_medians_are_large_seeds_small_and_later_is_right_of_the_last_round():
    rounds = {("FedAvg", "IID"): [10, 30, 20], ("FedAvg", "shards"): [40, None, np.nan]}
    ax = plots.rounds_to_target(rounds, num_rounds=50)
    assert marks(ax, 8) == [(20.0, 0.0), (55.0, 1.0)]
    assert sorted(x for x, _ in marks(ax, 3)) == [10, 20, 30, 40, 55.0, 55.0]
    assert ax.get_xticklabels()[-1].get_text() == "later"
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["IID", "shards"]


@pytest.mark.parametrize("rounds", [[10, 20], [10, None], [None, None], [7], [4, 9, None, 12]])
def test_the_large_mark_is_the_median_of_the_table(rounds):
    summary = statistics.summarize_rounds(rounds, 50)
    ax = plots.rounds_to_target({("FedAvg", "IID"): rounds}, num_rounds=50)
    ((x, _),) = marks(ax, 8)
    assert x == (55.0 if np.isinf(summary.median) else summary.median)


def test_methods_do_not_cover_each_other_and_keep_the_colour_of_their_family():
    rounds = {(name, "IID"): [10] for name in ("FedAvg", "FedProx 0.1", "FedProx 1", "Mime Lite")}
    ax = plots.rounds_to_target(rounds, num_rounds=50)
    assert len({y for _, y in marks(ax, 8)}) == 4
    colors = [to_hex(ax.get_legend().legend_handles[k].get_color()) for k in range(4)]
    expected = [plots.COLORS[key] for key in ("fed_avg", "fed_prox", "fed_prox", "mime_lite")]
    assert colors == [to_hex(color) for color in expected]


def test_a_method_may_lack_a_setting():
    ax = plots.rounds_to_target({("A", "x"): [1], ("A", "y"): [2], ("B", "y"): [3]}, num_rounds=5)
    assert [x for x, _ in marks(ax, 8)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("rounds", "num_rounds", "message"),
    [
        ({}, 5, "rounds must hold"),
        ({("A", "x"): []}, 5, "at least one seed"),
        ({("A", "x"): [6]}, 5, "between 0 and 5. Found 6"),
        ({("A", "x"): [-1]}, 5, "between 0 and 5. Found -1"),
        ({("A", "x"): [1]}, 0, "num_rounds must be at least 1"),
    ],
)
def test_rounds_to_target_refuses(rounds, num_rounds, message):
    with pytest.raises(ValueError, match=message):
        plots.rounds_to_target(rounds, num_rounds)


def test_changes_are_sorted_counted_and_in_points():
    ax = plots.client_changes({"anna": 0.25, "ben": -0.1, "cleo": 0.0, "dan": 0.05})
    heights = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in ax.patches}
    assert [heights[place] for place in (1, 2, 3, 4)] == pytest.approx([-10, 0, 5, 25])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["1 lose", "1 as before", "2 gain"]


@pytest.mark.parametrize("value", [np.nan, 1.5, -25.0])
def test_client_changes_names_the_client_of_a_bad_value(value):
    with pytest.raises(ValueError, match="'ben'"):
        plots.client_changes({"anna": 0.1, "ben": value})


def test_client_changes_needs_clients():
    with pytest.raises(ValueError, match="changes must hold"):
        plots.client_changes({})


def test_the_heatmap_writes_every_number_into_its_cell():
    values = pd.DataFrame({"IID": [0.9, 0.8], "shards": [0.5, 0.61]}, index=["FedAvg", "FedProx"])
    ax = plots.settings_heatmap(values, label="worst decile")
    written = {text.get_position(): text.get_text() for text in ax.texts}
    assert written == {(0, 0): "90%", (1, 0): "50%", (0, 1): "80%", (1, 1): "61%"}
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["IID", "shards"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["FedAvg", "FedProx"]


def test_the_heatmap_names_the_cell_that_is_not_finite():
    values = pd.DataFrame({"IID": [0.9, np.nan]}, index=["FedAvg", "FedProx"])
    with pytest.raises(ValueError, match="'FedProx', 'IID'"):
        plots.settings_heatmap(values, label="worst decile")
    with pytest.raises(ValueError, match="values must hold"):
        plots.settings_heatmap(pd.DataFrame(), label="worst decile")
