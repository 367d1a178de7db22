"""Good calls of the rooms plots and statistics."""

import numpy as np
import pandas as pd
from helpers.border.calls import call
from helpers.border.calls import slow as draw
from helpers.border.kinds import (
    AXES,
    COUNT,
    FLAG,
    FRACTION,
    INF,
    NAN,
    NOT_NEGATIVE,
    NUMBER,
    POSITIVE,
    SEED,
    SHARE,
    TEXT,
    array,
    choice,
    instance,
    mapping,
    optional,
    table,
)
from helpers.pictures import LEDGER

from fedlab import plots, statistics
from fedlab.plots import diagrams

AX, TITLE = {"ax": (None, AXES)}, {"title": ("a title", optional(TEXT))}
IMAGES = np.full((3, 28, 28), 0.5)
IMAGES_BY_NAME = {"a": IMAGES, "b": IMAGES}
BAD_IMAGES = (None, 5, "a", IMAGES[0], 300 * IMAGES, NAN * IMAGES, IMAGES.astype(str), 1j * IMAGES)
COUNTS = {"a": [1, 2], "b": [3, 0]}
COUNTS_KIND = mapping(COUNTS, [1, -2], [1, NAN], [1], ["1", "2"], None, [1j, 2], [1.5, 2])
ACCURACIES = {"a": 0.5, "b": 0.75}
ACCURACY_KIND = mapping(ACCURACIES, 50, NAN, "0.5", None, -2, True, [0.5])
CHANGE_KIND = mapping(ACCURACIES, 50, NAN, "0.5", None, -2, True, [0.5])
RATES = {"attack": ([0, 0.5, 1], [0, 0.75, 1])}
RATES_KIND = mapping(
    RATES, None, 5, ([0, 1],), ([0, 1], [0, 2]), ([0, 1], ["0", "1"]), ([0], [0, 1])
)
RUN = [{"round_num": 1, "accuracy": 0.25}, {"round_num": 2, "accuracy": 0.5}]
RUN_KIND = mapping({"a": RUN}, None, 5, [], [5], RUN[::-1], [{"round_num": 1}])
MATRIX = np.array([[3.0, 1.0], [0.0, 2.0]])
POINTS, PATHS = np.array([[1.0, 0.5], [0.0, 1.0]]), {"iid": [np.array([[0.0, 0.0], [1.0, 0.5]])]}
ROUNDS = {("FedAvg", "IID"): [3, None], ("FedProx", "IID"): [2, 4]}
ROUNDS_KIND = mapping(ROUNDS, None, 5, [], [9], [-1], ["3"], [INF], [True])
EFFECT = pd.DataFrame({"difference": [0.02], "low": [0.01], "high": [0.04]}, index=["better"])
NOISY_RUNS = pd.DataFrame({"target_epsilon": [1.0, INF], "accuracy": [0.5, 0.75], "delta": 0.001})
STEPS = {"first": [0.5, 0.75], "second": [0.75, 0.875]}
STEPS_KIND = mapping(STEPS, None, [], [NAN], ["0.5"], [50], 0.5, [True])
ROUNDS_OF = {"ann": [1, 2], "bob": []}
ROUNDS_OF_KIND = mapping(ROUNDS_OF, None, 5, [-1], [0.5], ["1"], [True], [NAN])
MASKS = pd.DataFrame([[0.0, 1.0], [-1.0, 0.0]])
SETTINGS = pd.DataFrame({"IID": [0.75]}, ["FedAvg"])
STEP = {"step": (2, optional(instance(0, 5, 2.5, "2", [2], NAN)))}
VALUES = np.array([0.5, 0.25, 0.75])
RUNS = pd.DataFrame({"name": ["a", "a", "b", "b"], "seed": [0, 1] * 2, "accuracy": [0.5] * 4})
RUNS_KIND = table(RUNS, "name", "seed", "accuracy")
RECORDS = pd.DataFrame({"round_num": [1, 2], "eval_accuracy": [0.25, 0.5]})
INTERVAL = {
    "confidence": (0.75, FRACTION),
    "num_resamples": (9, COUNT),
    "seed": (0, SEED),
}
COMPARISON = {
    "runs": (RUNS, RUNS_KIND),
    "baseline": ("a", choice("a", "b")),
    "metric": ("accuracy", choice("accuracy")),
}

PLOT_CALLS = (
    draw(
        plots.digits,
        images=(IMAGES, array(IMAGES, at_least=0, at_most=1)),
        labels=([1, "b", "c"], optional(instance([1], [], "a"))),
        num_columns=(2, COUNT),
        **TITLE,
        **AX,
    ),
    draw(
        plots.digits_by_client,
        images_by_client=(IMAGES_BY_NAME, mapping(IMAGES_BY_NAME, *BAD_IMAGES)),
        num_columns=(2, COUNT),
        **TITLE,
    ),
    draw(
        plots.reconstructions,
        rows=(IMAGES_BY_NAME, mapping(IMAGES_BY_NAME, *BAD_IMAGES)),
        scores=(
            {"a": 0.5},
            optional(instance({"c": 1.0}, {"a": "x"}, {"a": None}, [1]).without({})),
        ),
    ),
    draw(plots.label_mix, counts=(COUNTS, COUNTS_KIND), normalize=(False, FLAG), **TITLE, **AX),
    draw(
        plots.examples_per_client,
        num_examples=([3, 1, 2], instance([], [-1], [NAN], [INF], ["3"], [[1, 2]], [1.5], [True])),
        **AX,
    ),
    draw(
        plots.curves,
        records_by_name=({"a": RUN}, RUN_KIND),
        metric=("accuracy", choice("accuracy")),
        x=("round_num", choice("round_num")),
        hline=({"central": 0.5}, optional(mapping({"a": 0.5}, None, "0.5", NAN, True))),
        **AX,
    ),
    draw(
        plots.confusion_matrix,
        matrix=(MATRIX, array(MATRIX, at_least=0)),
        normalize=(True, FLAG),
        **AX,
    ),
    draw(
        plots.client_spread,
        values=(ACCURACIES, ACCURACY_KIND),
        worst_fraction=(0.5, SHARE),
        **AX,
    ),
    draw(
        plots.bars,
        values=(ACCURACIES, mapping(ACCURACIES, NAN, "0.5", None, -2, True, [0.5], INF)),
        xlabel=("epsilon", TEXT),
        value_format=("{:.1f}", TEXT),
        **AX,
    ),
    draw(
        plots.client_drift,
        paths_by_setting=(
            PATHS,
            mapping(PATHS, None, 5, [], [POINTS], [NAN * POINTS], ["a"], [np.zeros((3, 3))]),
        ),
        up=("up", TEXT),
        sideways=("sideways", TEXT),
    ),
    draw(plots.rounds_to_target, rounds=(ROUNDS, ROUNDS_KIND), num_rounds=(5, COUNT), **AX),
    draw(plots.client_changes, changes=(ACCURACIES, CHANGE_KIND), **TITLE, **AX),
    draw(
        plots.settings_heatmap,
        values=(SETTINGS, instance(SETTINGS[:0], NAN * SETTINGS, SETTINGS.astype(str), [[0.5]])),
        label=("accuracy", TEXT),
        value_format=("{:.0%}", TEXT),
        **AX,
    ),
    draw(plots.roc, rates=(RATES, RATES_KIND), **TITLE, **AX),
    draw(
        plots.audit,
        noise_multipliers=(VALUES, array(VALUES, at_least=0)),
        upper=(VALUES, array(VALUES, at_least=0)),
        lower=(VALUES, array(VALUES, at_least=0)),
        delta=(0.125, FRACTION),
        largest=(3.0, optional(POSITIVE)),
        **AX,
    ),
    draw(plots.clipping, updates=(POINTS, array(POINTS)), clip=(1.0, POSITIVE), **AX),
    draw(
        plots.noisy_means,
        mean=(POINTS[0], instance([1, 2, 3], [NAN, 1], ["1", "2"], [1j, 2])),
        noisy=(POINTS, array(POINTS)),
        stddev=(1.0, POSITIVE),
        **AX,
    ),
    draw(plots.two_worlds, noise_multiplier=(1.0, POSITIVE), epsilon=(1.0, NOT_NEGATIVE), **AX),
    draw(
        plots.accuracy_against_epsilon,
        runs_by_name=(
            {"digits": NOISY_RUNS},
            mapping({"digits": NOISY_RUNS}, None, 5, NOISY_RUNS[:0], 100 * NOISY_RUNS),
        ),
        **AX,
    ),
    draw(
        plots.effects,
        differences=(
            {"digits": EFFECT},
            mapping({"digits": EFFECT}, None, 5, EFFECT[:0], 100 * EFFECT, EFFECT.astype(str)),
        ),
        xlabel=("points", TEXT),
        **AX,
    ),
    draw(
        plots.participation,
        consent=(ROUNDS_OF, ROUNDS_OF_KIND),
        drawn=(ROUNDS_OF, ROUNDS_OF_KIND),
        took_part=(ROUNDS_OF, ROUNDS_OF_KIND),
        **AX,
    ),
    draw(
        plots.dots,
        rows=(STEPS, mapping(STEPS, None, [], [NAN], ["0.5"], [0.0], 0.5, [True])),
        xlabel=("rank", TEXT),
        vline=({"a": 0.5}, optional(mapping({"a": 0.5}, None, NAN, "0.5", [0.5]).without({}))),
        highlight=(["first"], instance(5, "first", ["third"]).without([])),
        log=(True, FLAG),
        **AX,
    ),
    draw(
        plots.ladder,
        steps=(STEPS, STEPS_KIND),
        ceiling=({"central": [0.9]}, optional(mapping({"c": [0.9]}, None, [], [NAN], ["1"], [50]))),
        beside=({"other": [0.9]}, optional(mapping({"o": [0.9]}, None, [], [NAN], ["1"], [50]))),
        **AX,
    ),
    draw(
        plots.ledger,
        table=(LEDGER, table(LEDGER, *LEDGER.columns)),
        measures=(["epsilon"], optional(instance([], ["a"], [5], "a", 5, [None]))),
    ),
    draw(
        plots.pairwise_masks,
        masks=(MASKS, instance(MASKS[:0], MASKS.astype(str), NAN * MASKS, [[0, 1], [1, 0]])),
        **TITLE,
    ),
    draw(
        plots.received_values,
        images=({"a": POINTS}, mapping({"a": POINTS}, None, 5, "a", [1], NAN * POINTS, [["a"]])),
        shares=(
            {"a": VALUES},
            optional(mapping({"a": VALUES}, None, "a", [2], [NAN], [], ["0.5"])),
        ),
    ),
    draw(diagrams.training_round, **STEP),
    draw(
        diagrams.series_map,
        lessons=([("a", "00")], instance([5], [("a",)], [("a", 5)], [(None, "00")], "ab")),
        current=("00", optional(choice("00", "01"))),
    ),
)

STATISTICS_CALLS = (
    call(statistics.bootstrap_interval, values=(VALUES, array(VALUES)), **INTERVAL),
    call(
        statistics.mean_interval,
        values=(VALUES, array(VALUES)),
        confidence=(0.75, FRACTION),
    ),
    call(statistics.paired_differences, **COMPARISON),
    call(statistics.compare, **COMPARISON, **INTERVAL),
    call(
        statistics.count_worst,
        num_clients=(4, COUNT),
        worst_fraction=(0.5, SHARE),
    ),
    call(
        statistics.rounds_to_target,
        records=(RECORDS, table(RECORDS, "round_num", "eval_accuracy")),
        target=(0.5, NUMBER),
        metric=("eval_accuracy", choice("eval_accuracy")),
    ),
    call(
        statistics.rounds_table,
        rounds=(ROUNDS, ROUNDS_KIND),
        num_rounds=(5, COUNT),
        baseline=("FedAvg", choice("FedAvg", "FedProx")),
    ),
)
