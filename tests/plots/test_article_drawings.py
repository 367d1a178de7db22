"""The article's drawings: what is marked in them is what is wrong."""

import matplotlib.pyplot as plt
import pytest
from helpers.pictures import texts
from matplotlib.patches import FancyArrowPatch

from fedlab.plots import article_drawings
from fedlab.plots.style import COLORS


def arrows(ax, *, is_dashed):
    """Start and end of each arrow with such a line; the vertices after them are its head."""
    found = [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]
    chosen = [arrow for arrow in found if (arrow.get_linestyle() == "--") == is_dashed]
    return [arrow.get_path().vertices[[0, 2]] for arrow in chosen]


def test_the_marked_arrows_alone_lead_down_to_each_client():
    ax = article_drawings.architecture_of_the_article()
    assert all(start[1] > end[1] for start, end in arrows(ax, is_dashed=True))
    assert all(start[1] <= end[1] for start, end in arrows(ax, is_dashed=False))
    num_clients = sum(text.startswith("client") for text in texts(ax))
    assert len(arrows(ax, is_dashed=True)) == num_clients == 2


def test_the_chain_stands_above_and_what_fed_avg_does_below():
    ax = article_drawings.training_of_the_article()
    heads = {
        color: sum(patch.get_edgecolor()[:3] == plt.matplotlib.colors.to_rgb(COLORS[color])
                   for patch in ax.patches if isinstance(patch, FancyArrowPatch))
        for color in ("model", "update")
    }  # fmt: skip
    assert heads == {"model": 3, "update": 3}
    assert sum("trains" in text for text in texts(ax)) == 2 + 3


@pytest.mark.parametrize(
    "draw",
    [article_drawings.architecture_of_the_article, article_drawings.training_of_the_article],
)
def test_no_text_leaves_the_picture(draw):
    ax = draw()
    renderer = ax.figure.canvas.get_renderer()
    for text in ax.texts:
        box, whole = text.get_window_extent(renderer), ax.figure.bbox
        assert whole.x0 <= box.x0 and box.x1 <= whole.x1 and box.y1 <= whole.y1, text.get_text()
