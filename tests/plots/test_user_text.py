"""What users call their clients, labels and runs is drawn as it is, not as a formula."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from helpers.pictures import LEDGER
from matplotlib.axes import Axes
from matplotlib.text import Text

from fedlab import plots
from fedlab.plots import diagrams

IMAGES, POINTS = np.full((1, 28, 28), 0.5), np.ones((2, 2))
EFFECT = {"difference": [0.02], "low": [0.01], "high": [0.04]}
RUN = [{"round_num": 1, "accuracy": 0.1}, {"round_num": 2, "accuracy": 0.2}]
NOISY = pd.DataFrame({"target_epsilon": [1.0, np.inf], "accuracy": [0.5, 0.9], "delta": 0.001})
DRAWINGS = {
    "digits": lambda text: plots.digits(IMAGES, [text], title=text),
    "digits_by_client": lambda text: plots.digits_by_client({text: IMAGES}, title=text),
    "reconstructions": lambda text: plots.reconstructions({text: IMAGES}, {text: 1.0}),
    "label_mix": lambda text: plots.label_mix({text: [1, 2]}, title=text),
    "curves": lambda text: plots.curves({text: RUN}, hline={text: 0.1}),
    "bars": lambda text: plots.bars({text: 1.0}, xlabel=text),
    "client_drift": lambda text: plots.client_drift({text: [np.eye(2)[1:] * [[0], [1]]]}, up=text),
    "rounds_to_target": lambda text: plots.rounds_to_target({(text, text): [1]}, 5),
    "client_changes": lambda text: plots.client_changes({text: 0.1}, title=text),
    "settings_heatmap": lambda text: plots.settings_heatmap(
        pd.DataFrame({text: [0.5]}, index=[text]), label=text
    ),
    "roc": lambda text: plots.roc({text: ([0, 1], [0, 1])}, title=text),
    "accuracy_against_epsilon": lambda text: plots.accuracy_against_epsilon({text: NOISY}),
    "effects": lambda text: plots.effects(
        {text: pd.DataFrame(EFFECT, [text]), "b": pd.DataFrame(EFFECT, ["b"])}, xlabel=text
    ),
    "dots": lambda text: plots.dots({text: [0.5]}, xlabel=text, vline={text: 0.9}),
    "participation": lambda text: plots.participation({text: [1]}, {text: [1]}, {text: []}),
    "ladder": lambda text: plots.ladder({text: [0.5]}, ceiling={text: [0.9]}),
    "ledger": lambda text: plots.ledger(LEDGER.replace("masks", text)),
    "pairwise_masks": lambda text: plots.pairwise_masks(
        pd.DataFrame(POINTS, [text, "b"], [text, "b"]), title=text
    ),
    "received_values": lambda text: plots.received_values({text: POINTS}, {text: [0.5]}),
    "series_map": lambda text: diagrams.series_map([(text, "00")]),
}
LEGENDS = "curves rounds_to_target roc accuracy_against_epsilon effects".split()


def shown(drawing, text: str) -> list[Text]:
    figure = drawing.get_figure() if isinstance(drawing, Axes) else drawing
    figure.canvas.draw()
    return [each for each in figure.findobj(Text) if text in each.get_text().replace("\n", "")]


@pytest.mark.parametrize("text", [r"$\frac{$", "a$_b$c", "_x", r"a\b"])
@pytest.mark.parametrize("name", DRAWINGS)
def test_text_is_drawn_as_it_is(name, text):
    found = shown(DRAWINGS[name](text), text)
    assert found
    assert not any(each.get_parse_math() for each in found)


@pytest.mark.parametrize("name", LEGENDS)
def test_a_name_with_an_underscore_is_in_the_legend(name):
    drawing = DRAWINGS[name]("_x")
    assert any(each.get_text().startswith("_x") for each in drawing.get_legend().get_texts())


def test_a_picture_on_given_axes_leaves_the_others_alone():
    _, (first, second) = plt.subplots(1, 2)
    second.set_title("$x$")
    plots.roc({"a": ([0, 1], [0, 1])}, ax=first)
    assert second.title.get_parse_math()
