"""Pictures of secure sums show the numbers they are given, and refuse what they cannot show."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from fedlab import plots

NAMES = ["Ada", "Ben", "Cleo"]
MASKS = pd.DataFrame([[0, 12, -7], [-12, 0, 300], [7, -300, 0]], NAMES, NAMES)
IMAGE = np.arange(12).reshape(3, 4)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def written(ax):
    return [text.get_text() for text in ax.texts]


def test_every_mask_is_written_with_its_sign_and_the_diagonal_is_blank():
    ax = plots.pairwise_masks(MASKS, title="masks")
    assert written(ax) == ["+12", "-7", "-12", "+300", "+7", "-300"]
    assert [text.get_text() for text in ax.get_yticklabels()] == NAMES
    assert ax.get_title() == "masks"


def test_a_mask_and_what_cancels_it_have_opposite_colors():
    (image,) = plots.pairwise_masks(MASKS).images
    assert np.array_equal(image.get_array(), -image.get_array().T)
    assert image.norm.vmin == -image.norm.vmax
    plus, minus, none = (to_hex(image.cmap(image.norm(value))) for value in (300, -300, 0))
    assert len({plus, minus, none}) == 3


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (MASKS.rename(columns={"Ada": "Eve"}), "same names down and across"),
        (MASKS.iloc[:1, :1], "2 to 12 clients. Found 1"),
        (pd.DataFrame(np.zeros((13, 13))), "2 to 12 clients. Found 13"),
        (MASKS.astype(float).replace(12, np.nan), "must be finite"),
    ],
)
def test_masks_that_cannot_be_shown(masks, message):
    with pytest.raises(ValueError, match=message):
        plots.pairwise_masks(masks)


def test_images_stand_above_the_histograms_of_all_numbers():
    numbers = {"plain": np.full(40, 0.5), "masked": np.linspace(0, 1, 50, endpoint=False) + 0.01}
    figure = plots.what_arrives({"plain": IMAGE, "masked": IMAGE.T}, numbers, xlabel="share")
    images, histograms = figure.axes[:2], figure.axes[2:]
    assert [ax.get_title() for ax in images] == ["plain", "masked"]
    assert np.array_equal(images[1].images[0].get_array(), IMAGE.T)
    plain, masked = ([bar.get_height() for bar in ax.patches] for ax in histograms)
    assert plain.count(0) == 49 and max(plain) == pytest.approx(1)
    np.testing.assert_allclose(masked, 1 / 50)
    assert figure.get_supxlabel() == "share"


def test_there_may_be_images_alone():
    figure = plots.what_arrives({"one": IMAGE})
    (ax,) = figure.axes
    assert np.array_equal(ax.images[0].get_array(), IMAGE)


@pytest.mark.parametrize(
    ("images", "numbers", "message"),
    [
        ({}, None, "images must hold at least one"),
        ({"a": np.arange(3)}, None, "images\\['a'\\] must have 2 dimensions. Found 1"),
        ({"a": IMAGE}, {"b": [0.5]}, "shares must be of \\['a'\\]. Found \\['b'\\]"),
        ({"a": IMAGE}, {"a": [0.5, 1.5]}, "shares\\['a'\\] must be numbers in \\[0, 1\\]"),
        ({"a": IMAGE}, {"a": [0.5, np.nan]}, "must be numbers in \\[0, 1\\]"),
        ({"a": IMAGE}, {"a": []}, "must be numbers in \\[0, 1\\]"),
    ],
)
def test_what_cannot_be_shown_is_refused(images, numbers, message):
    with pytest.raises(ValueError, match=message):
        plots.what_arrives(images, numbers)


def opacities(ax):
    return [text.get_alpha() for text in ax.texts if text.get_alpha() is not None]


def test_the_protocol_has_four_steps_of_which_one_may_stand_out():
    ax = plots.secure_aggregation()
    titles = [text for text in written(ax) if text[:1].isdigit()]
    assert [title[0] for title in titles] == ["1", "2", "3", "4"]
    assert set(opacities(ax)) == {1.0}
    assert opacities(plots.secure_aggregation(4)).count(1.0) == 2  # its name, what goes up
    assert opacities(plots.secure_aggregation(1)).count(1.0) == 3


@pytest.mark.parametrize("step", [0, 5, "1"])
def test_another_step_is_refused(step):
    with pytest.raises(ValueError, match=f"must be 1, 2, 3, 4 or None. Found {step}"):
        plots.secure_aggregation(step)
