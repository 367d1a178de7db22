"""Digits made smaller, moved, thinner or thicker: how much ink there is then, and where."""

import numpy as np
import pytest

from fedlab.data import handwriting

SHAPE = (28, 28)


def draw(*rows_and_columns) -> np.ndarray:
    """One image, with ink in a rectangle: first and last row, first and last column."""
    top, bottom, left, right = rows_and_columns
    image = np.ones((1, *SHAPE), np.float32)
    image[0, top : bottom + 1, left : right + 1] = 0
    return image


def extent(image: np.ndarray) -> tuple[int, int]:
    """Height and width of the half dark part."""
    ink = image[0] < 0.5
    return int(ink.any(axis=1).sum()), int(ink.any(axis=0).sum())


def centre(image: np.ndarray) -> np.ndarray:
    """Row and column of the ink's centre of mass."""
    ink = 1 - image[0].astype(float)
    rows, columns = np.indices(SHAPE)
    return np.array([(rows * ink).sum(), (columns * ink).sum()]) / ink.sum()


@pytest.mark.parametrize("scale", [0.8, 0.65, 0.5])
def test_a_smaller_digit_keeps_its_centre_and_has_the_square_of_the_scale_in_ink(scale):
    square = draw(4, 23, 4, 23)
    smaller = handwriting.scale_digits(square, scale)
    assert extent(smaller)[0] == extent(smaller)[1] == pytest.approx(20 * scale, abs=1)
    assert (1 - smaller).sum() == pytest.approx(400 * scale**2, rel=0.03)
    assert centre(smaller) == pytest.approx([13.5, 13.5], abs=0.01)
    assert smaller.dtype == np.float32 and smaller.min() >= 0 and smaller.max() == 1


def test_what_is_off_the_centre_comes_nearer_to_it():
    right = handwriting.scale_digits(draw(12, 15, 20, 23), 0.5)
    assert centre(right) == pytest.approx([13.5, 13.5 + (21.5 - 13.5) / 2], abs=0.05)


def test_each_digit_moves_by_its_own_shift_and_paper_comes_in():
    images = np.concatenate([draw(10, 13, 10, 13), draw(10, 13, 10, 13), draw(0, 27, 0, 27)])
    moved = handwriting.shift_digits(images, np.array([[2, -3], [0, 0], [4, 0]]))
    assert np.array_equal(moved[:1], draw(12, 15, 7, 10))
    assert np.array_equal(moved[1], images[1])
    assert np.array_equal(moved[2:], draw(4, 27, 0, 27))


def test_a_stroke_loses_or_gains_one_pixel():
    stroke = draw(4, 23, 10, 12)
    assert extent(handwriting.change_strokes(stroke, "thin")) == (19, 2)
    assert extent(handwriting.change_strokes(stroke, "thick")) == (21, 4)
    edge = draw(0, 27, 0, 27)
    assert np.array_equal(handwriting.change_strokes(edge, "thick"), edge)


def test_no_change_is_none_and_gives_a_copy():
    image = np.random.default_rng(0).random((2, *SHAPE)).astype(np.float32)
    before = image.copy()
    for changed in (
        handwriting.scale_digits(image, 1.0),
        handwriting.shift_digits(image, np.zeros((2, 2), int)),
        handwriting.change_strokes(image, "as written"),
    ):
        assert np.array_equal(changed, before) and changed.dtype == np.float32
        changed[:] = 0
        assert np.array_equal(image, before)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda image: handwriting.scale_digits(image, 1.2), "scale must be a number in"),
        (lambda image: handwriting.scale_digits(image * 255, 0.5), "divide by 255"),
        (lambda image: handwriting.scale_digits(image[0], 0.5), "pixels must have shape"),
        (lambda image: handwriting.shift_digits(image, np.zeros((2, 2), int)), "shifts must have"),
        (lambda image: handwriting.shift_digits(image, np.zeros((1, 2))), "whole numbers"),
        (lambda image: handwriting.change_strokes(image, "bold"), "stroke must be"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(draw(4, 5, 6, 7))
