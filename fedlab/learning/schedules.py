"""Learning rates that change from round to round.

A schedule is a function from the round's number, an int32 scalar that TFF counts from 0, to a
rate. TFF calls it inside a graph. The first round of `run_rounds` has the number 1 in its records
and the number 0 here. The schedules of `tf.keras.optimizers.schedules` serve as well: a "step" of
theirs is a round.
"""

from collections.abc import Callable
from typing import TypeAlias

import tensorflow as tf

from fedlab import _tensorflow as _tensorflow
from fedlab.checks import check_count, check_number

Schedule: TypeAlias = Callable[[int | tf.Tensor], tf.Tensor]


def exponential_decay(rate: float, *, factor: float, num_rounds: int) -> Schedule:
    """Returns the schedule `rate * factor ** (round_num / num_rounds)`.

    Example:
        >>> schedule = exponential_decay(0.1, factor=0.5, num_rounds=20)
        >>> float(schedule(20))  # 0.05 in float32

    Args:
        rate: Learning rate of the first round, at least 0.
        factor: What the rate is multiplied by over `num_rounds` rounds, in (0, 1].
        num_rounds: Number of rounds over which the rate is multiplied by `factor`, at least 1.

    Returns:
        A function from the round's number to a rate, a float32 scalar.

    Raises:
        TypeError: An argument is not a number of the kind above.
        ValueError: A number is out of range.
    """
    return tf.keras.optimizers.schedules.ExponentialDecay(
        check_number("rate", rate, at_least=0),
        check_count("num_rounds", num_rounds),
        check_number("factor", factor, above=0, at_most=1),
    )
