"""Pictures draw on the Axes that are given, and refuse what they cannot show, and name it."""

import functools
import inspect

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from helpers.pictures import LEDGER

from fedlab import plots
from fedlab.plots import diagrams

IMAGES = np.full((12, 28, 28), 0.5)
POINTS = np.ones((3, 2))
EFFECT = pd.DataFrame({"difference": [0.02], "low": [0.01], "high": [0.04]}, index=["better"])
RUNS = pd.DataFrame({"target_epsilon": [1.0, np.inf], "accuracy": [0.5, 0.9], "delta": 0.001})
RUN = [{"round_num": 1, "accuracy": 0.1, "seconds": 3}, {"round_num": 2, "accuracy": 0.2}]
SETTINGS = pd.DataFrame({"IID": [0.9]}, ["FedAvg"])
MASKS = pd.DataFrame([[0.0, 1.0], [-1.0, 0.0]])


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda: plots.digits(IMAGES[..., None]), r"Found \(12, 28, 28, 1\); use images\[..., 0\]"),
        (lambda: plots.digits(IMAGES[:0]), r"n at least 1. Found \(0, 28, 28\)"),
        (lambda: plots.digits(255 * IMAGES), "pixels must be in .* Found 127.5"),
        (lambda: plots.digits(np.nan * IMAGES), "Found nan"),
        (lambda: plots.digits(IMAGES, [1]), "one label per image. Found 1, 12"),
        (lambda: plots.digits(IMAGES, num_columns=0), "num_columns must be at least 1. Found 0"),
        (lambda: plots.digits_by_client({"f7": IMAGES[0]}), r"client 'f7'.*\(28, 28\)"),
        (lambda: plots.digits_by_client({"a": IMAGES, "b": IMAGES[:, 1:]}), r"'b'.* \(27, 28\)"),
        (lambda: plots.reconstructions({"a": IMAGES}, {"b": 1.0}), "no row 'b'"),
        (lambda: plots.label_mix({"f7": [1, -4]}), "client 'f7'.*Found -4"),
        (lambda: plots.label_mix({"a": [1], "b": [1, 2]}), "'a': 1, 'b': 2"),
        (lambda: plots.examples_per_client([]), "num_examples must have at least one count"),
        (lambda: plots.curves({"fed_avg": []}), "'fed_avg' must have at least one record"),
        (lambda: plots.curves({"a": RUN}, "f1"), "'f1'. Found accuracy, round_num"),
        (lambda: plots.curves({"a": RUN[::-1]}, x="round_num"), "'a' must not fall.*cumsum"),
        (lambda: plots.confusion_matrix(np.ones((10, 9))), r"matrix .* Found \(10, 9\)"),
        (lambda: plots.client_spread({"f7": 95.0}), r"values\['f7'\] .* Found 95.0.*percentages"),
        (lambda: plots.client_spread({"f7": np.nan}), r"values\['f7'\] .* Found nan"),
        (lambda: plots.client_spread({"a": 0.5}, worst_fraction=0), "worst_fraction .* Found 0"),
        (lambda: plots.bars({"x": -1.0}, xlabel="y"), r"values\['x'\] .* Found -1.0"),
        (lambda: plots.client_drift({"a": [np.zeros((3, 3))]}), "'a' must all be .num_points, 2"),
        (lambda: plots.client_drift({"b": [POINTS]}), r"'b' must begin at \(0, 0\)"),
        (lambda: plots.client_drift({"c": [np.nan * POINTS]}), "'c' must be finite"),
        (lambda: plots.rounds_to_target({("A", "x"): [6]}, 5), r"in \[0, 5\]. Found 6"),
        (lambda: plots.rounds_to_target({("A", "x"): []}, 5), "'x'.* at least one entry"),
        (lambda: plots.client_changes({"ben": -25.0}), "'ben'.*-25.0.*divide percentages"),
        (lambda: plots.settings_heatmap(np.nan * SETTINGS, label="x"), "'FedAvg', 'IID'"),
        (lambda: plots.roc({"bad": ([0, 1], [0, 0.5, 1])}), "'bad' needs one true"),
        (lambda: plots.roc({"bad": ([0, 2], [0, 1])}), "'bad' must lie in"),
        (lambda: plots.roc({"bad": ([0, 1], [1, 0])}), "'bad' .* must not fall"),
        (lambda: plots.audit([1, 2], [1], [1, 2], delta=0.1), "equal lengths. Found 2, 1 and 2"),
        (
            lambda: plots.audit([1], [np.nan], [1], delta=0.1),
            "upper must be finite numbers above 0. Found nan",
        ),
        (lambda: plots.clipping(POINTS, 0.0), "clip must be .* Found 0.0"),
        (lambda: plots.clipping(np.ones((2, 3)), 1.0), r"updates must have shape \(n, 2\)"),
        (lambda: plots.noisy_means(np.ones(2), np.nan * POINTS, 1.0), "noisy must be finite"),
        (lambda: plots.two_worlds(0.0, 1.0), "noise_multiplier must be .* Found 0.0"),
        (lambda: plots.two_worlds(1.0, np.inf), "epsilon must be .* Found inf"),
        (
            lambda: plots.accuracy_against_epsilon({"a": RUNS[["accuracy"]]}),
            "must have a column 'target_eps",
        ),
        (lambda: plots.accuracy_against_epsilon({"a": 100 * RUNS}), "accuracy of 'a'"),
        (
            lambda: plots.accuracy_against_epsilon({"a": RUNS.assign(delta=0.0)}),
            "The delta of 'a' must be .* Found 0.0",
        ),
        (lambda: plots.accuracy_against_epsilon({"a": RUNS[1:]}), "'a' .* one run with noise"),
        (
            lambda: plots.effects({"digits": EFFECT.drop(columns="low")}),
            "'digits'.* a column 'low'",
        ),
        (lambda: plots.effects({"digits": 100 * EFFECT}), "'better' of 'digits' .* points by 100"),
        (lambda: plots.effects({"digits": EFFECT.assign(low=0.03)}), "lie in its interval"),
        (
            lambda: plots.participation({"a": [1]}, {"b": [1]}, {"a": []}),
            "drawn must have the clients of consent. Found 'a' in one of them alone",
        ),
        (
            lambda: plots.participation({"a": [1]}, {"a": [1]}, {"a": [-1]}),
            r"took_part\['a'\] must be .* -1",
        ),
        (lambda: plots.dots({"a": []}, xlabel="x"), r"rows\['a'\] must have shape"),
        (
            lambda: plots.dots({"a": [1, 0]}, xlabel="x", log=True),
            r"rows\['a'\] must be .* Found 0",
        ),
        (lambda: plots.dots({"a": [1]}, xlabel="x", highlight=["b"]), "names of rows. Found 'b'"),
        (lambda: plots.dots({"a": [1]}, xlabel="x", vline={"b": np.nan}), r"vline\['b'\] .* nan"),
        (lambda: plots.ladder({"a": [0.5, np.nan]}), r"steps\['a'\] must be .* Found nan"),
        (lambda: plots.ladder({"a": [0.5]}, beside={"a": [0.5]}), "different names. Found a"),
        (lambda: plots.ledger(LEDGER.drop(columns="epsilon")), "must have a column 'epsilon'"),
        (lambda: plots.ledger(LEDGER.assign(defence="none")), "Found 'none' twice"),
        (lambda: plots.ledger(LEDGER.replace(0.91, 91.0)), "accuracy of 'noise at.*91.0"),
        (lambda: plots.ledger(LEDGER.assign(membership_auc=0.9)), "lie in its interval"),
        (lambda: plots.ledger(LEDGER, ["accuracies"]), "measures must be one of.*'accuracies'"),
        (lambda: plots.pairwise_masks(MASKS.rename(columns={0: 7})), "same names as rows"),
        (lambda: plots.pairwise_masks(MASKS.iloc[:1, :1]), "2 to 12 clients. Found 1"),
        (lambda: plots.received_values({"a": [1, 2]}), r"images\['a'\] must have shape \(n, m\)"),
        (lambda: plots.received_values({"a": POINTS}, {"a": [1.5]}), r"shares\['a'\] must be"),
        (lambda: plots.received_values({"a": POINTS}, {"b": [0.5]}), r"the names \['a'\]"),
        (lambda: diagrams.training_round(0), "step must be .* Found 0"),
        (lambda: diagrams.series_map([]), "lessons must have at least one"),
        (lambda: diagrams.series_map([("a", "00")], "01"), "current must be one of 00. Found '01'"),
    ],
)
def test_what_cannot_be_drawn_is_named(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


DRAWINGS = {
    plots.digits: [IMAGES],
    plots.label_mix: [{"a": [3, 0]}],
    plots.examples_per_client: [[1, 2]],
    plots.curves: [{"a": RUN}],
    plots.confusion_matrix: [np.eye(10, dtype=int)],
    plots.client_spread: [{"a": 0.5}],
    plots.roc: [{"a": ([0, 1], [0, 1])}],
    plots.clipping: [POINTS, 1.0],
    plots.noisy_means: [POINTS[0], POINTS, 1.0],
    plots.two_worlds: [1.0, 1.0],
    plots.accuracy_against_epsilon: [{"digits": RUNS}],
    plots.effects: [{"digits": EFFECT}],
    plots.ladder: [{"a": [0.5]}],
    functools.partial(plots.bars, xlabel="x"): [{"a": 1.0}],
    functools.partial(plots.dots, xlabel="x"): [{"a": [1.0]}],
}


@pytest.mark.parametrize("draw, arguments", DRAWINGS.items())
def test_pictures_are_drawn_on_the_axes_that_are_given_and_render(draw, arguments):
    figure, ax = plt.subplots()
    assert draw(*arguments, ax=ax) is ax and len(plt.get_fignums()) == 1
    figure.canvas.draw()


NEED_AN_ENTRY = """digits_by_client reconstructions label_mix curves client_spread client_drift
    client_changes roc accuracy_against_epsilon effects ladder received_values""".split()


@pytest.mark.parametrize("draw", [getattr(plots, name) for name in NEED_AN_ENTRY])
def test_nothing_to_draw_is_named(draw):
    name = next(iter(inspect.signature(draw).parameters))
    with pytest.raises(ValueError, match=f"{name} must have at least one entry. Found none"):
        draw({})
