"""Learning rates that change from round to round.

A schedule is a function from the round's number to a rate. TFF calls it inside its graphs with an
int32 scalar, and counts from 0: the first round of `run_rounds`, round 1, is round 0 here. Keras's
own schedules (`tf.keras.optimizers.schedules`), of which these are made, serve as well: what they
call a step is a round.
"""

from collections.abc import Callable, Mapping

import tensorflow as tf

from fedlab import _tensorflow as _tensorflow

Schedule = Callable[[int], tf.Tensor]
_keras = tf.keras.optimizers.schedules


def constant(rate: float) -> Schedule:
    """Returns the same rate for every round: what a number in a schedule's place does."""
    check_rate("rate", rate)
    return lambda round_num: tf.constant(rate, tf.float32)


def exponential_decay(rate: float, *, factor: float, num_rounds: int) -> Schedule:
    """Returns `rate * factor ** (round / num_rounds)`.

    Args:
        rate: Of the first round, at least 0.
        factor: What the rate is multiplied by over `num_rounds` rounds, in (0, 1].
        num_rounds: At least 1.

    Raises:
        ValueError: A number is out of range.
    """
    check_rate("rate", rate)
    _check_factor("factor", factor, above=0)
    _check_rounds("num_rounds", num_rounds, 1)
    return _keras.ExponentialDecay(rate, num_rounds, factor)


def step_decay(rates: Mapping[int, float]) -> Schedule:
    """Returns a rate that holds until the next one begins.

    Args:
        rates: First round to rate, such as `{0: 0.1, 50: 0.01}`; one of them begins at round 0.

    Raises:
        ValueError: No rate begins at round 0, or a number is negative.
    """
    if 0 not in rates or min(rates) < 0:
        raise ValueError(f"rates must begin at round 0, {{0: rate, …}}. Found {dict(rates)}.")
    for begin, rate in rates.items():
        check_rate(f"rates[{begin}]", rate)
    begins = sorted(rates)
    values = [float(rates[begin]) for begin in begins]
    if len(begins) == 1:  # Keras asks for at least one boundary
        return constant(values[0])
    # Keras's boundary is the last step of a value, ours the first of the next.
    return _keras.PiecewiseConstantDecay([begin - 1 for begin in begins[1:]], values)


def cosine_decay(
    rate: float, *, num_rounds: int, warmup_rounds: int = 0, final_factor: float = 0.0
) -> Schedule:
    """Returns a linear rise to `rate`, then half a cosine wave down (Loshchilov & Hutter 2017).

    Args:
        rate: The highest rate, at least 0; of round `warmup_rounds`.
        num_rounds: From round 0 to the one at which the rate is `rate * final_factor`, where it
            stays; above `warmup_rounds`.
        warmup_rounds: Rounds of the rise. Round k of them has `rate * (k + 1) / (warmup_rounds + 1)`,
            so the first is not wasted on a rate of 0.
        final_factor: In [0, 1]; 1 leaves the linear warm-up alone.

    Raises:
        ValueError: A number is out of range.
    """
    check_rate("rate", rate)
    _check_factor("final_factor", final_factor)
    _check_rounds("warmup_rounds", warmup_rounds, 0)
    _check_rounds("num_rounds", num_rounds, warmup_rounds + 1)
    if not warmup_rounds:
        return _keras.CosineDecay(rate, num_rounds, final_factor)
    return _keras.CosineDecay(
        rate / (warmup_rounds + 1),
        num_rounds - warmup_rounds,
        final_factor,
        warmup_target=rate,
        warmup_steps=warmup_rounds,
    )


def check_rate(name: str, value: float) -> None:
    """Raises ValueError for what is no finite number of at least 0."""
    if not 0 <= value < float("inf"):
        raise ValueError(f"{name} must be a number of at least 0. Found {value}.")


def _check_factor(name: str, value: float, *, above: float = -1) -> None:
    if not (0 <= value <= 1 and value > above):
        bounds = "(0, 1]" if above == 0 else "[0, 1]"
        raise ValueError(f"{name} must lie in {bounds}. Found {value}.")


def _check_rounds(name: str, value: int, least: int) -> None:
    if not value >= least:
        raise ValueError(f"{name} must be at least {least}. Found {value}.")
