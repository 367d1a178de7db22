"""Pictures of studies show the numbers they are given, and refuse what they cannot show."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from fedlab import plots

COLUMNS = ["difference", "low", "high"]
TABLE = pd.DataFrame(
    [[0.02, 0.01, 0.04], [-0.3, -0.35, -0.2], [0.001, -0.01, 0.02]],
    columns=COLUMNS,
    index=["better", "worse", "no matter"],
)
STEPS = {"first": [0.1, 0.3], "second": [0.9, 0.94], "third": [0.98]}


@pytest.fixture(autouse=True)
def close_figures():
    with matplotlib.rc_context():
        yield
    plt.close("all")


def texts(ax):
    return [text.get_text() for text in ax.texts]


def row_names(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def dots(ax):
    """The points that are drawn: one with a marker and a value."""
    return [found for found in ax.lines if len(found.get_xdata()) == 1]


def edit(row, **values):
    table = TABLE.copy()
    for column, value in values.items():
        table.loc[row, column] = value
    return table


def test_effects_stand_in_points_on_their_rows_the_first_on_top():
    ax = plots.effects({"digits": TABLE})
    assert row_names(ax) == list(TABLE.index)
    assert [tuple(dot.get_xydata()[0]) for dot in dots(ax)] == [
        (pytest.approx(2), 0),
        (pytest.approx(-30), 1),
        (pytest.approx(0.1), 2),
    ]
    bottom, top = ax.get_ylim()
    assert bottom > top


def test_effects_have_intervals_and_say_their_numbers():
    ax = plots.effects({"digits": TABLE})
    found = [line.get_xdata() for line in ax.lines if line.get_linewidth() == 2.2]
    spans = [xs for xs in found if len(xs) == 2]
    np.testing.assert_allclose(spans, 100 * TABLE[["low", "high"]])
    assert texts(ax)[:2] == ["+2.0 [+1.0, +4.0]", "−30.0 [−35.0, −20.0]"]


def test_an_effect_is_filled_if_its_interval_leaves_out_zero():
    ax = plots.effects({"digits": TABLE})
    is_hollow = [to_hex(dot.get_markerfacecolor()) == "#ffffff" for dot in dots(ax)]
    assert is_hollow == [False, False, True]


def test_an_interval_that_ends_at_zero_holds_it():
    ax = plots.effects({"digits": edit("better", low=0.0)})
    assert to_hex(dots(ax)[0].get_markerfacecolor()) == "#ffffff"


def test_series_share_rows_without_covering_each_other():
    ax = plots.effects({"digits": TABLE.iloc[:2], "writer digits": TABLE.iloc[1:]})
    assert row_names(ax) == ["better", "worse", "no matter"]
    places = [dot.get_ydata()[0] for dot in dots(ax)]
    assert len(set(places)) == 4
    assert [round(place) for place in places] == [0, 1, 1, 2]
    assert len({dot.get_color() for dot in dots(ax)}) == 2
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["digits", "writer digits"]


def test_pictures_of_studies_are_drawn_where_they_are_told():
    _, axes = plt.subplots(1, 2)
    assert plots.effects({"digits": TABLE}, ax=axes[0]) is axes[0]
    assert plots.ladder(STEPS, ax=axes[1]) is axes[1]


@pytest.mark.parametrize(
    "differences, message",
    [
        ({}, "differences must hold at least one entry"),
        ({"digits": TABLE.iloc[:0]}, "at least one entry"),
        ({"digits": TABLE.drop(columns="low")}, "Lacks low"),
        ({"digits": edit("worse", low=np.nan)}, "'worse' of 'digits' must lie in"),
        ({"digits": 100 * TABLE}, "divide points by 100"),
        ({"digits": edit("better", low=0.03)}, "'better' of 'digits' must lie in its interval"),
    ],
)
def test_effects_refuse_what_they_cannot_show(differences, message):
    with pytest.raises(ValueError, match=message):
        plots.effects(differences)


def test_ladder_shows_the_mean_of_the_seeds_and_their_range():
    ax = plots.ladder(STEPS)
    assert row_names(ax) == ["first", "second", "third"]
    means = [dot.get_xdata()[0] for dot in dots(ax)]
    np.testing.assert_allclose(means, [0.2, 0.92, 0.98])
    ranges = [tuple(line.get_xdata()) for line in ax.lines if line.get_linewidth() == 9]
    assert ranges == [(0.1, 0.3), (0.9, 0.94), (0.98, 0.98)]
    assert texts(ax) == ["20.0%", "92.0%", "98.0%"]


def test_ladder_s_steps_are_joined_and_what_is_beside_them_is_not():
    ax = plots.ladder(STEPS, beside={"all at once": [0.1, 0.12]})
    assert row_names(ax)[-1] == "all at once"
    climb = next(line for line in ax.lines if line.get_label() == "_climb")
    np.testing.assert_allclose(climb.get_xdata(), [0.2, 0.92, 0.98])
    colors = [dot.get_color() for dot in dots(ax)]
    assert len(set(colors[:3])) == 1 and colors[3] not in colors[:3]


def test_ladder_s_ceiling_is_a_line_at_its_mean_with_its_number():
    ax = plots.ladder(STEPS, ceiling={"central": [0.98, 0.99]})
    (label,) = [text.get_text() for text in ax.get_legend().get_texts()]
    assert label == "central: 98.5%"
    line = next(line for line in ax.lines if line.get_label() == label)
    np.testing.assert_allclose(line.get_xdata(), 0.985)


def test_half_the_mistakes_is_an_equal_way_on_a_ladder():
    ax = plots.ladder({"a": [0.0], "b": [0.999]})
    places = ax.transData.transform([(value, 0) for value in (0.5, 0.75, 0.98, 0.99)])[:, 0]
    assert places[1] - places[0] == pytest.approx(places[3] - places[2])
    assert places[1] > places[0]


def test_a_model_without_a_mistake_can_be_drawn():
    ax = plots.ladder({"a": [0.5], "all right": [1.0]})
    ax.figure.canvas.draw()
    x = ax.transData.transform((1.0, 1))[0]
    assert np.isfinite(x) and x == pytest.approx(ax.transData.transform((0.999, 1))[0])


@pytest.mark.parametrize(
    "steps, options, message",
    [
        ({}, {}, "steps must hold at least one entry"),
        ({"a": []}, {}, "'a' must hold an accuracy of at least one seed"),
        ({"a": [0.5, np.nan]}, {}, r"'a' must hold accuracies in \[0, 1\]. Found nan"),
        ({"a": [50.0]}, {}, r"in \[0, 1\]. Found 50.0"),
        ({"a": [0.5]}, {"ceiling": {"top": [1.5]}}, "'top' must hold accuracies"),
        ({"a": [0.5]}, {"beside": {"a": [0.5]}}, "Found both: a"),
    ],
)
def test_ladder_refuses_what_it_cannot_show(steps, options, message):
    with pytest.raises(ValueError, match=message):
        plots.ladder(steps, **options)
