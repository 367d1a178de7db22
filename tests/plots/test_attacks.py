"""Pictures of attacks show the numbers they are given, and refuse what they cannot show."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from fedlab import plots

IMAGES = np.linspace(0, 1, 4 * 28 * 28).reshape(4, 28, 28)
ROWS = {"originals": IMAGES[:3], "rebuilt": IMAGES[1:], "blank": np.ones((1, 28, 28))}
RATES = {"loss": ([0, 0.2, 1], [0, 0.5, 1]), "lira": ([0, 0, 1], [0, 1, 1])}


@pytest.fixture(autouse=True)
def close_figures():
    with matplotlib.rc_context():
        yield
    plt.close("all")


def line(ax, label):
    return next(found for found in ax.lines if found.get_label() == label)


def test_reconstructions_stand_in_the_row_of_their_name_and_score():
    ax = plots.reconstructions(ROWS, {"rebuilt": 0.912, "blank": 0.25})
    names = {t.get_text(): y for t, y in zip(ax.get_yticklabels(), ax.get_yticks(), strict=True)}
    assert list(names) == list(ROWS)
    drawn = np.asarray(ax.images[0].get_array())
    np.testing.assert_array_equal(drawn[36:64, 30:58], ROWS["rebuilt"][1])
    written = {text.get_text(): text.get_position() for text in ax.texts}
    assert set(written) == {"SSIM", "0.91", "0.25"}
    assert written["0.91"][1] == names["rebuilt"] and written["0.25"][1] == names["blank"]
    assert written["0.91"][0] > drawn.shape[1] - 1


def test_reconstructions_need_no_scores():
    assert not plots.reconstructions(ROWS).texts


def test_reconstructions_refuse_what_they_cannot_show():
    with pytest.raises(ValueError, match="rows must hold at least one"):
        plots.reconstructions({})
    with pytest.raises(ValueError, match="There is no row 'other'"):
        plots.reconstructions(ROWS, {"other": 1.0})
    with pytest.raises(ValueError, match="'bad'.*pixels must be in"):
        plots.reconstructions({"bad": 2 + IMAGES})


def test_roc_draws_every_curve_and_the_coin():
    ax = plots.roc(RATES, title="writers")
    for name, (fpr, tpr) in RATES.items():
        np.testing.assert_array_equal(line(ax, name).get_xdata(), fpr)
        np.testing.assert_array_equal(line(ax, name).get_ydata(), tpr)
    assert list(line(ax, "a coin").get_xdata()) == list(line(ax, "a coin").get_ydata())
    assert ax.get_title() == "writers" or ax.get_title(loc="left") == "writers"
    assert line(ax, "loss").get_color() != line(ax, "lira").get_color()


def test_roc_draws_on_the_axes_it_is_given():
    ax = plt.subplots()[1]
    assert plots.roc(RATES, ax=ax) is ax


@pytest.mark.parametrize(
    "pair, message",
    [
        (([], []), "one tpr per fpr"),
        (([0, 1], [0, 0.5, 1]), "one tpr per fpr"),
        (([0, 2], [0, 1]), "must lie in"),
        (([0, 1], [1, 0]), "must not fall"),
        (([0, np.nan], [0, 1]), "must lie in"),
    ],
)
def test_roc_refuses_rates_that_are_none(pair, message):
    with pytest.raises(ValueError, match="'bad'"):
        plots.roc({"bad": pair})
    with pytest.raises(ValueError, match=message):
        plots.roc({"bad": pair})


def test_roc_refuses_no_curves():
    with pytest.raises(ValueError, match="rates must hold at least one"):
        plots.roc({})


def test_audit_draws_the_bounds_at_their_noise():
    ax = plots.audit([0.5, 1, 2], [50, 9, 4], [3.0, 1.5, 0.0], most=4.0)
    upper, lower = (
        line(ax, f"{who}") for who in ("accountant: at most this", "audit: at least this")
    )
    assert list(upper.get_xdata()) == list(lower.get_xdata()) == [0.5, 1, 2]
    assert list(upper.get_ydata()) == [50, 9, 4]
    assert list(lower.get_ydata())[:2] == [3.0, 1.5]
    bottom, _ = ax.get_ylim()
    assert bottom < lower.get_ydata()[2] < 0.2  # it shows nothing, and can still be seen
    assert line(ax, "the most that this audit can show").get_ydata()[0] == 4.0


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([], [], []), "one upper and one lower"),
        (([1, 2], [1], [1, 2]), "one upper and one lower"),
        (([0], [1], [1]), "must be above 0"),
        (([1], [np.nan], [1]), "must be above 0"),
        (([1], [1], [-1]), "at least 0"),
    ],
)
def test_audit_refuses_what_it_cannot_show(arguments, message):
    with pytest.raises(ValueError, match=message):
        plots.audit(*arguments)
