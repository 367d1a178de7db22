"""The picture of the ledger shows the numbers it is given, and says which were not measured."""

import matplotlib

matplotlib.use("Agg")

import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from fedlab import plots

TABLE = pd.DataFrame(
    {
        "defence": ["none", "masks", "noise at the clients"],
        "accuracy": [0.98, 0.98, 0.91],
        "epsilon": [np.inf, np.inf, np.nan],
        "seconds_per_round": [0.05, 0.8, 12.0],
        "bytes_up_per_client": [138_408, 170_000, 200_000],
        "reconstruction_ssim": [0.9, 0.45, 0.1],
        "blank_ssim": 0.25,
        "membership_auc": [0.8, 0.8, 0.52],
        "membership_low": [0.75, 0.75, 0.47],
        "membership_high": [0.85, 0.85, 0.57],
        "shared": ["", "accuracy membership_auc", ""],
    }
)
COLUMNS = (
    "accuracy",
    "seconds_per_round",
    "bytes_up_per_client",
    "epsilon",
    "reconstruction_ssim",
    "membership_auc",
)


@pytest.fixture(autouse=True)
def close_figures():
    with matplotlib.rc_context():
        yield
    plt.close("all")


def draw(table=TABLE):
    figure = plots.ledger(table)
    return figure, dict(zip(COLUMNS, figure.axes, strict=True))


def points(ax):
    """{row: (value, whether it is hollow)} of what is drawn."""
    drawn = [line for line in ax.lines if line.get_marker() != "None"]
    return {
        line.get_ydata()[0]: (line.get_xdata()[0], line.get_markerfacecolor() == "white")
        for line in drawn
    }


def written(ax):
    return [text.get_text() for text in ax.texts]


def test_every_value_stands_in_its_row_and_column():
    figure, panels = draw()
    for column, ax in panels.items():
        drawn = {row: value for row, (value, _) in points(ax).items()}
        expected = dict(enumerate(TABLE[column]))
        assert drawn == {row: value for row, value in expected.items() if np.isfinite(value)}
    names = [label.get_text().replace("\n", " ") for label in figure.axes[0].get_yticklabels()]
    assert names == TABLE.defence.tolist()
    assert figure.axes[0].yaxis_inverted()  # the first on top


def test_values_are_written_and_what_is_not_known_is_not_made_up():
    _, panels = draw()
    assert written(panels["accuracy"]) == ["98.0%", "98.0%", "91.0%"]
    assert written(panels["epsilon"]) == ["no bound", "no bound", "?"]
    assert written(panels["bytes_up_per_client"]) == ["138.4 kB", "170.0 kB", "200.0 kB"]
    assert written(panels["seconds_per_round"])[0] == "50.0 ms"


def test_what_was_not_measured_again_is_hollow():
    figure, panels = draw()
    hollow = {name: [one for _, one in points(ax).values()] for name, ax in panels.items()}
    assert hollow.pop("accuracy") == hollow.pop("membership_auc") == [False, True, False]
    assert not any(any(one) for one in hollow.values())
    (legend,) = figure.legends
    assert "as in another row" in legend.get_texts()[-1].get_text()
    figure, _ = draw(TABLE.assign(shared=""))
    assert len(figure.legends[0].get_texts()) == 2


def test_an_attack_is_held_against_one_that_learns_nothing():
    _, panels = draw()
    for column, value, name in [
        ("reconstruction_ssim", 0.25, "blank paper"),
        ("membership_auc", 0.5, "a coin"),
    ]:
        (line,) = [one for one in panels[column].lines if one.get_linestyle() == "--"]
        assert set(line.get_xdata()) == {value}
        assert name in panels[column].get_xlabel()


def test_the_interval_of_the_auc_is_drawn():
    _, panels = draw()
    (lines,) = panels["membership_auc"].collections
    ends = [segment[:, 0].tolist() for segment in lines.get_segments()]
    assert ends == TABLE[["membership_low", "membership_high"]].to_numpy().tolist()


def test_a_table_that_was_a_file_looks_the_same():
    text = TABLE.to_csv(index=False)
    _, panels = draw(pd.read_csv(io.StringIO(text)))
    assert [one for _, one in points(panels["accuracy"]).values()] == [False, True, False]
    assert written(panels["epsilon"]) == ["no bound", "no bound", "?"]


def test_a_defence_may_lack_a_value():
    _, panels = draw(TABLE.assign(seconds_per_round=np.nan))
    assert written(panels["seconds_per_round"]) == ["?"] * 3


@pytest.mark.parametrize(
    "table, message",
    [
        (TABLE[:0], "table must hold at least one"),
        (TABLE.drop(columns="epsilon"), "lacks the columns epsilon"),
        (TABLE.assign(defence="none"), "Found 'none' twice"),
        (TABLE.assign(accuracy=[0.9, 0.9, 91.0]), "accuracy of 'noise at the clients'.*91.0"),
        (TABLE.assign(epsilon=[1.0, -1.0, 2.0]), "epsilon of 'masks' must lie in"),
        (TABLE.assign(membership_auc=0.9), "membership_auc of 'none' must lie in its interval"),
    ],
)
def test_what_cannot_be_shown_is_refused(table, message):
    with pytest.raises(ValueError, match=message):
        plots.ledger(table)
