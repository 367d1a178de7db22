"""Pictures of studies and privacy show the numbers that they are given."""

import io

import numpy as np
import pandas as pd
import pytest
from helpers.pictures import LEDGER, band, dots, points, rows, texts
from matplotlib.patches import Circle
from scipy.stats import norm

from fedlab import plots
from fedlab.statistics import Interval

ARROWS = np.array([[3.0, 4.0], [0.6, -0.8], [0.0, 0.0]])
EFFECTS = pd.DataFrame(
    {"difference": [0.02, -0.3, 0.001], "low": [0.01, -0.35, -0.01], "high": [0.04, -0.2, 0.02]},
    index=["better", "worse", "no matter"],
)


def test_dots_show_each_value_or_a_mean_with_its_interval():
    ax = plots.dots(
        {"runs": [1, 100], "mean": Interval(10, 5, 20)},
        xlabel="rank", vline={"guess": 50}, highlight=["mean"], log=True,
    )  # fmt: skip
    assert rows(ax) == ["runs", "mean"] and ax.yaxis_inverted() and ax.get_xscale() == "log"
    marks = [line for line in ax.lines if line.get_marker() in ("o", "s")]
    assert [list(line.get_xdata()) for line in marks] == [[1, 100], [10]]
    assert [line.get_marker() for line in marks] == ["o", "s"]
    others = [list(line.get_xdata()) for line in ax.lines if line not in marks]
    assert others == [[5, 20], [50, 50]] and "guess" in texts(ax)


def test_participation_shows_who_may_who_is_drawn_and_who_takes_part():
    ax = plots.participation(
        {"ann": [1, 2], "bob": []}, {"ann": [2], "bob": [1]}, {"bob": [], "ann": [2]}
    )
    assert rows(ax) == ["ann", "bob"] and ax.yaxis_inverted()
    points = {line.get_label(): sorted(zip(*line.get_data(), strict=True)) for line in ax.lines}
    assert points == {
        "consent holds": [(1, 0), (2, 0)],
        "drawn": [(1, 1), (2, 0)],
        "took part": [(2, 0)],
    }


def test_effects_have_an_interval_are_hollow_if_it_contains_zero_and_series_share_rows():
    ax = plots.effects({"digits": EFFECTS})
    assert rows(ax) == list(EFFECTS.index) and ax.yaxis_inverted()
    np.testing.assert_allclose(dots(ax), [(2, 0), (-30, 1), (0.1, 2)])
    spans = [line.get_xdata() for line in ax.lines if list(line.get_ydata()) in ([0, 0], [1, 1])]
    np.testing.assert_allclose(spans, 100 * EFFECTS[["low", "high"]].iloc[:2])
    assert texts(ax)[:2] == ["+2.0 [+1.0, +4.0]", "−30.0 [−35.0, −20.0]"]
    marks = [line for line in ax.lines if len(line.get_xdata()) == 1]
    is_hollow = [mark.get_markerfacecolor() != mark.get_color() for mark in marks]
    assert is_hollow == [False, False, True]
    ax = plots.effects({"digits": EFFECTS.iloc[:2], "writer digits": EFFECTS.iloc[1:]})
    assert rows(ax) == ["better", "worse", "no matter"]
    heights = [y for _, y in dots(ax)]
    assert len(set(heights)) == 4 and [round(y) for y in heights] == [0, 1, 1, 2]


def test_ladder_shows_means_and_ranges_on_a_scale_of_mistakes():
    steps = {"first": [0.1, 0.3], "second": [0.9, 0.94], "perfect": [1.0]}
    ax = plots.ladder(steps, ceiling={"central": [0.98, 0.99]}, beside={"all": [0.5]})
    assert rows(ax) == ["first", "second", "perfect", "all"]
    np.testing.assert_allclose([x for x, _ in dots(ax)], [0.2, 0.92, 1.0, 0.5])
    np.testing.assert_allclose(points(ax, "central: 98.5%")[:, 0], 0.985)
    spans = [line.get_xdata() for line in ax.lines if list(line.get_ydata()) in ([0, 0], [1, 1])]
    np.testing.assert_allclose(spans, [steps["first"], steps["second"]])
    x = ax.transData.transform([(a, 0) for a in (0.5, 0.75, 0.98, 0.99, 0.999, 1.0)])[:, 0]
    assert 0 < x[1] - x[0] == pytest.approx(x[3] - x[2])  # half the mistakes, the same distance
    assert x[4] == pytest.approx(x[5])


def test_roc_draws_every_curve_and_audit_every_bound():
    rates = {"loss": ([0, 0.2, 1], [0, 0.5, 1]), "lira": ([0, 0, 1], [0, 1, 1])}
    ax = plots.roc(rates)
    for name, pair in rates.items():
        np.testing.assert_array_equal(points(ax, name).T, pair)
    ax = plots.audit([0.5, 1, 2], [50, 9, 4], [3.0, 1.5, 0.0], delta=1e-5, largest=4.0)
    assert points(ax, "accountant: at most this").tolist() == [[0.5, 50], [1, 9], [2, 4]]
    lower = points(ax, "audit: at least this").tolist()
    assert lower[:2] == [[0.5, 3.0], [1, 1.5]] and ax.get_ylim()[0] < lower[2][1] < 0.2
    assert 4.0 in {line.get_ydata()[0] for line in ax.lines}
    assert ax.get_ylabel() == "epsilon (nats) at delta 1e-05"


def test_clipping_shortens_long_updates_alone_and_noise_is_around_the_mean():
    ax = plots.clipping(ARROWS, 2.0)
    np.testing.assert_allclose(points(ax, "as computed"), ARROWS)
    np.testing.assert_allclose(points(ax, "as sent, clipped"), [[1.2, 1.6], *ARROWS[1:]])
    assert [patch.get_radius() for patch in ax.patches if isinstance(patch, Circle)] == [2.0]
    assert ax.get_xlim()[0] < -2 and ax.get_ylim()[1] > 4 and ax.get_aspect() == 1
    noisy = np.array([[1.0, 2.0], [-3.0, 0.5]])
    ax = plots.noisy_means([0.5, 0.25], noisy, 1.5)
    np.testing.assert_array_equal(points(ax, "published: with noise"), noisy)
    circles = [patch for patch in ax.patches if isinstance(patch, Circle)]
    assert [circle.get_radius() for circle in circles] == [1.5, 3.0]
    assert {tuple(circle.get_center()) for circle in circles} == {(0.5, 0.25)}


@pytest.mark.parametrize("noise, epsilon", [(2.0, 0.3), (1.0, 1.0), (0.7, 2.0)])
def test_the_filled_area_between_two_worlds_is_delta(noise, epsilon):
    """By Balle and Wang 2018, theorem 8, with a sensitivity of one clip."""
    ax = plots.two_worlds(noise, epsilon)
    for label, center in (("without the client", 0.0), ("with the client", 1.0)):
        places, density = points(ax, label).T
        np.testing.assert_allclose(density, norm.pdf(places, center, noise))
    x, y = ax.collections[0].get_paths()[0].vertices.T
    filled = abs(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2
    tails = norm.cdf(np.array([0.5, -0.5]) / noise - epsilon * noise)
    delta = tails[0] - np.exp(epsilon) * tails[1]
    assert filled == pytest.approx(delta, rel=0.05)
    assert ax.collections[0].get_label() == f"this area: δ = {delta:.2g}"


def test_accuracy_against_epsilon_is_a_mean_and_a_band_with_and_without_noise():
    accuracies = {1.0: [0.5, 0.7], 8.0: [0.8, 0.9], np.inf: [0.94, 0.96]}
    pairs = [(epsilon, accuracy) for epsilon, pair in accuracies.items() for accuracy in pair]
    runs = pd.DataFrame(pairs, columns=["target_epsilon", "accuracy"]).assign(delta=1 / 900)
    ax = plots.accuracy_against_epsilon({"digits": runs})
    np.testing.assert_allclose(points(ax, "digits, delta 0.0011"), [[1, 0.6], [8, 0.85]])
    np.testing.assert_allclose(band(ax.collections[0]), [(0.5, 0.7), (0.8, 0.9)])
    np.testing.assert_allclose(points(ax, "digits, without noise")[:, 1], 0.95)
    assert len(plots.accuracy_against_epsilon({"digits": runs[:4]}).lines) == 1


@pytest.mark.parametrize("is_file", [False, True])
def test_the_ledger_draws_finite_values_and_says_what_is_missing(is_file):
    table = pd.read_csv(io.StringIO(LEDGER.to_csv(index=False))) if is_file else LEDGER
    figure = plots.ledger(table)
    columns = "accuracy seconds_per_round bytes_up_per_client epsilon reconstruction_ssim".split()
    panels = dict(zip([*columns, "membership_auc"], figure.axes, strict=True))
    for column, ax in panels.items():
        finite = table[column][np.isfinite(table[column])]
        assert dots(ax) == [(value, row) for row, value in finite.items()]
        marks = [line for line in ax.lines if len(line.get_xdata()) == 1]
        is_hollow = [mark.get_markerfacecolor() != mark.get_color() for mark in marks]
        shared = column in ("accuracy", "membership_auc")
        assert is_hollow == [shared and row == 1 for row in finite.index]
    names = ["none; server rate 2", "masks; server rate 2"]
    names.append("noise at the clients; server rate 0.5, 1")
    assert [row.replace("\xa0", " ") for row in rows(figure.axes[0])] == names
    assert figure.axes[0].yaxis_inverted()
    assert texts(panels["epsilon"]) == ["no bound", "no bound", "?"]
    assert panels["epsilon"].get_xlabel() == "at delta 0.0004"
    assert texts(panels["bytes_up_per_client"]) == ["138 kB", "170 kB", "200 kB"]
    for column, name in (("membership_auc", "membership"), ("accuracy", "accuracy")):
        (intervals,) = panels[column].collections
        ends = [segment[:, 0].tolist() for segment in intervals.get_segments()]
        assert ends == table[[f"{name}_low", f"{name}_high"]].to_numpy().tolist()
    figure = plots.ledger(table, ["epsilon", "accuracy"])
    assert [ax.get_title() for ax in figure.axes] == ["epsilon (nats)", "accuracy"]


def test_masks_have_their_signs_and_received_values_are_images_above_histograms():
    names = ["Ada", "Ben", "Cleo"]
    masks = pd.DataFrame([[0, 12, -7], [-12, 0, 300], [7, -300, 0]], index=names, columns=names)
    ax = plots.pairwise_masks(masks)
    assert texts(ax) == ["+12", "-7", "-12", "+300", "+7", "-300"]
    assert rows(ax) == names
    image = np.arange(12.0).reshape(3, 4)
    shares = {"plain": np.full(40, 0.5), "masked": np.linspace(0, 1, 50, endpoint=False) + 0.01}
    figure = plots.received_values({"plain": image, "masked": image.T}, shares)
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), image.T)
    plain, masked = ([bar.get_height() for bar in ax.patches] for ax in figure.axes[2:])
    assert plain.count(0) == 49 and max(plain) == pytest.approx(1)
    np.testing.assert_allclose(masked, 1 / 50)
    assert len(plots.received_values({"plain": image}).axes) == 1
