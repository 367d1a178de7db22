"""What the article's printed figures tell about its data."""

import pytest

from fedlab.experiments import article


def test_the_printed_training_accuracies_fit_480_digits_alone():
    assert article.fitting_sizes(article.ACCURACIES) == [article.NUM_TRAIN_DIGITS]
    assert 960 in article.fitting_sizes(article.ACCURACIES, at_most=960)
    right = article.count_right(article.ACCURACIES, article.NUM_TRAIN_DIGITS)
    assert right == [44, 44, 47, 53, 57, 72, 70, 62, 68, 73]


def test_the_test_accuracy_is_8_of_57_or_16_of_114_digits():
    sizes = article.fitting_sizes([article.TEST_ACCURACY], at_most=130)
    assert sizes == [article.NUM_TEST_DIGITS, 114]
    assert [article.count_right([article.TEST_ACCURACY], size)[0] for size in sizes] == [8, 16]


@pytest.mark.parametrize("size", [7, 57, 480])
def test_the_true_size_always_fits(size):
    printed = [round(k / size, 4) for k in range(size + 1)]
    assert size in article.fitting_sizes(printed)
    assert article.count_right(printed, size) == list(range(size + 1))


def test_what_lies_near_no_share_does_not_fit():
    assert article.fitting_sizes([0.3], at_most=9) == []


@pytest.mark.parametrize(
    "accuracies, message",
    [
        ([], "accuracies must have"),
        ([14.04], "accuracies must be .* Found 14.04"),
        ([float("nan")], "accuracies"),
    ],
)
def test_no_accuracy_is_refused(accuracies, message):
    with pytest.raises(ValueError, match=message):
        article.fitting_sizes(accuracies)
