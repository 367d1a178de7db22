"""Pictures of differential privacy show the numbers they are given, and refuse what they cannot show."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Circle
from matplotlib.quiver import Quiver
from scipy.stats import norm

from fedlab import plots

ARROWS = np.array([[3.0, 4.0], [0.3, -0.4], [0.0, 0.0]])
RUNS = pd.DataFrame(
    {
        "target_epsilon": [1.0, 1.0, 8.0, 8.0, np.inf, np.inf],
        "accuracy": [0.5, 0.7, 0.8, 0.9, 0.94, 0.96],
    }
)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def arrows(ax, label):
    found = next(
        one for one in ax.collections if isinstance(one, Quiver) and one.get_label() == label
    )
    return np.c_[found.U, found.V]


def line(ax, label):
    return next(found for found in ax.lines if found.get_label() == label)


def circles(ax):
    return [patch for patch in ax.patches if isinstance(patch, Circle)]


def test_clipping_shortens_what_is_too_long_and_nothing_else():
    ax = plots.clipping(ARROWS, 2.0)
    np.testing.assert_allclose(arrows(ax, "as computed"), ARROWS)
    sent = arrows(ax, "as sent, clipped")
    np.testing.assert_allclose(sent[0], [1.2, 1.6])  # 2 long, in the same direction
    np.testing.assert_array_equal(sent[1:], ARROWS[1:])
    assert [circle.get_radius() for circle in circles(ax)] == [2.0]


def test_the_whole_circle_and_every_arrow_lie_inside():
    ax = plots.clipping(ARROWS, 2.0)
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    assert left < -2 and bottom < -2 and right > 3 and top > 4
    assert ax.get_aspect() == 1


def test_noisy_means_are_drawn_where_they_are():
    noisy = np.array([[1.0, 2.0], [-3.0, 0.5]])
    ax = plots.noisy_means(np.array([0.5, 0.25]), noisy, 1.5)
    np.testing.assert_array_equal(arrows(ax, "published: with noise"), noisy)
    np.testing.assert_array_equal(arrows(ax, "the true mean"), [[0.5, 0.25]])
    assert [circle.get_radius() for circle in circles(ax)] == [1.5, 3.0]
    assert all(tuple(circle.get_center()) == (0.5, 0.25) for circle in circles(ax))


def test_two_worlds_lie_one_clip_apart():
    ax = plots.two_worlds(2.0, 1.0)
    for label, center in (("without the client", 0.0), ("with the client", 1.0)):
        places, density = line(ax, label).get_data()
        assert places[np.argmax(density)] == pytest.approx(center, abs=0.05)
        np.testing.assert_allclose(density, norm.pdf(places, center, 2.0))


@pytest.mark.parametrize("noise, epsilon", [(2.0, 0.3), (1.0, 1.0), (0.7, 2.0)])
def test_the_filled_area_is_delta(noise, epsilon):
    """By Balle and Wang 2018, theorem 8: the sensitivity is one clip."""
    ax = plots.two_worlds(noise, epsilon)
    (area,) = [one for one in ax.collections if one.get_label() == "δ: this area"]
    x, y = area.get_paths()[0].vertices.T
    filled = abs(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2
    shift = 1 / noise
    delta = norm.cdf(shift / 2 - epsilon / shift) - np.exp(epsilon) * norm.cdf(
        -shift / 2 - epsilon / shift
    )
    assert filled == pytest.approx(delta, rel=0.05)


def test_accuracy_is_the_mean_of_the_seeds_in_a_band():
    ax = plots.accuracy_against_epsilon({"digits": RUNS})
    curve = line(ax, "digits")
    np.testing.assert_array_equal(curve.get_xdata(), [1, 8])
    np.testing.assert_allclose(curve.get_ydata(), [0.6, 0.85])
    band = ax.collections[0].get_paths()[0].vertices
    assert {(1.0, 0.5), (1.0, 0.7), (8.0, 0.8), (8.0, 0.9)} <= {tuple(one) for one in band}
    assert line(ax, "digits, without noise").get_ydata()[0] == pytest.approx(0.95)
    assert ax.get_xscale() == "log"


def test_accuracy_needs_no_run_without_noise():
    ax = plots.accuracy_against_epsilon({"digits": RUNS[:4]})
    assert [one.get_label() for one in ax.lines] == ["digits"]


def test_two_data_sets_have_two_colours():
    ax = plots.accuracy_against_epsilon({"digits": RUNS, "writer digits": RUNS})
    assert line(ax, "digits").get_color() != line(ax, "writer digits").get_color()


def test_every_picture_draws_on_the_axes_it_is_given():
    for draw in (
        lambda ax: plots.clipping(ARROWS, 1.0, ax=ax),
        lambda ax: plots.noisy_means(ARROWS[0], ARROWS, 1.0, ax=ax),
        lambda ax: plots.two_worlds(1.0, 1.0, ax=ax),
        lambda ax: plots.accuracy_against_epsilon({"digits": RUNS}, ax=ax),
    ):
        ax = plt.subplots()[1]
        assert draw(ax) is ax


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: plots.clipping(ARROWS, 0.0), "clip must be a number above 0. Found 0.0"),
        (lambda: plots.clipping(np.ones((2, 3)), 1.0), "updates must have two numbers each"),
        (lambda: plots.clipping(np.ones((0, 2)), 1.0), "updates must have two numbers each"),
        (lambda: plots.clipping(ARROWS * np.nan, 1.0), "updates must be finite"),
        (lambda: plots.noisy_means(np.ones(3), ARROWS, 1.0), "mean must have two numbers"),
        (lambda: plots.noisy_means(np.ones(2), ARROWS, -1.0), "stddev must be a number above 0"),
        (lambda: plots.two_worlds(0.0, 1.0), "noise_multiplier must be a number above 0"),
        (lambda: plots.two_worlds(1.0, -1.0), "epsilon must be a number of at least 0. Found -1.0"),
        (lambda: plots.two_worlds(1.0, np.inf), "epsilon must be a number of at least 0"),
        (lambda: plots.accuracy_against_epsilon({}), "runs_by_name must hold at least one"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "runs, message",
    [
        (RUNS[["accuracy"]], "Lacks .'target_epsilon'"),
        (RUNS.assign(target_epsilon=0.0), "target_epsilon of 'bad' must be above 0"),
        (RUNS.assign(target_epsilon=np.nan), "target_epsilon of 'bad' must be above 0"),
        (RUNS.assign(accuracy=95.0), "accuracy of 'bad' must lie in"),
        (RUNS.assign(accuracy=np.nan), "accuracy of 'bad' must lie in"),
        (RUNS[4:], "'bad' must hold at least one run with noise"),
    ],
)
def test_runs_that_cannot_be_drawn_are_refused(runs, message):
    with pytest.raises(ValueError, match=message):
        plots.accuracy_against_epsilon({"bad": runs})
