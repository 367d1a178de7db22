"""What the article prints of its own run, and what these figures tell about its data.

《深度学习实战》第10集:联邦学习与隐私保护 ("Deep learning in practice, part 10: federated learning and
privacy protection"), a Chinese blog, as it was revised on 4 March 2025. It runs ten rounds on the
first five clients of Federated EMNIST and says neither how many digits these have nor how sure its
figures are.
"""

from collections.abc import Sequence

from fedlab.checks import check_array, check_count

LOSSES = (2.3634, 2.3296, 2.3195, 2.3126, 2.3051, 2.2987, 2.2941, 2.2898, 2.2850, 2.2797)
"""The training metric of each of its ten rounds: the mean cross-entropy in nats."""
ACCURACIES = (0.0917, 0.0917, 0.0979, 0.1104, 0.1187, 0.1500, 0.1458, 0.1292, 0.1417, 0.1521)
"""The training metric of each of its ten rounds: the share of right answers."""
TEST_ACCURACY = 0.1404
"""Its result: the share of right answers on the test digits of the same five clients."""
NUM_CLIENTS = 5
NUM_TRAIN_DIGITS = 480  # `fitting_sizes(ACCURACIES)` has no other below 960
NUM_TEST_DIGITS = 57  # of `fitting_sizes([TEST_ACCURACY])`; Federated EMNIST has 12 a writer


def fitting_sizes(accuracies: Sequence[float], *, at_most: int = 959) -> list[int]:
    """Returns how many examples there can be, if all of some accuracies are of the same examples.

    An accuracy of n examples is one of the n + 1 numbers k / n. A printed accuracy that lies near
    none of them is not of n examples.

    Args:
        accuracies: Accuracies as the article prints them, with four decimals, in [0, 1], at least one.
        at_most: The largest number of examples that is tried, at least 1.

    Returns:
        Each n from 1 to `at_most` such that every accuracy is some k / n, rounded. Ascending.

    Raises:
        TypeError: An argument is not a number where one is meant.
        ValueError: There are no accuracies, or a number is out of range.

    Example:
        >>> fitting_sizes([0.3333], at_most=9)
        [3, 6, 9]
    """
    values = check_array("accuracies", accuracies, (None,), at_least=0, at_most=1).tolist()
    at_most = check_count("at_most", at_most)
    # A little more than half a digit: what lies in the middle may be rounded either way.
    tolerance = (0.5 + 1e-6) * 10.0**-4
    return [
        size
        for size in range(1, at_most + 1)
        if all(abs(round(value * size) / size - value) <= tolerance for value in values)
    ]


def count_right(accuracies: Sequence[float], num_examples: int) -> list[int]:
    """Returns how many examples are right at some printed accuracies.

    Args:
        accuracies: In [0, 1], at least one.
        num_examples: Of how many examples, at least 1.

    Returns:
        The nearest whole number of examples of each accuracy.

    Raises:
        TypeError: An argument is not a number where one is meant.
        ValueError: There are no accuracies, or a number is out of range.

    Example:
        >>> count_right([TEST_ACCURACY], NUM_TEST_DIGITS)
        [8]
    """
    num_examples = check_count("num_examples", num_examples)
    values = check_array("accuracies", accuracies, (None,), at_least=0, at_most=1).tolist()
    return [round(value * num_examples) for value in values]
