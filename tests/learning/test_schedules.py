"""A schedule's rates, round by round; round 0 is the first."""

import numpy as np
import pytest
import tensorflow as tf

from fedlab.learning import schedules


def rates(schedule, num_rounds):
    """Asked as TFF asks: in a graph, with an int32 scalar."""
    rate_fn = tf.function(schedule, input_signature=[tf.TensorSpec((), tf.int32)])
    found = [rate_fn(tf.constant(k)) for k in range(num_rounds)]
    assert all(rate.dtype == tf.float32 and rate.shape == () for rate in found)
    return np.array(found)


def test_constant():
    np.testing.assert_allclose(rates(schedules.constant(0.1), 3), 0.1)


def test_exponential_decay():
    schedule = schedules.exponential_decay(0.1, factor=0.5, num_rounds=2)
    np.testing.assert_allclose(rates(schedule, 5), 0.1 * 0.5 ** (np.arange(5) / 2), rtol=1e-6)


def test_a_step_begins_in_its_round():
    schedule = schedules.step_decay({0: 0.1, 5: 0.001, 2: 0.01})
    np.testing.assert_allclose(rates(schedule, 7), [0.1] * 2 + [0.01] * 3 + [0.001] * 2)
    np.testing.assert_allclose(rates(schedules.step_decay({0: 0.1}), 3), 0.1)


def test_cosine_decay():
    expected = [0.05 * (1 + np.cos(np.pi * min(k, 4) / 4)) for k in range(6)]
    np.testing.assert_allclose(
        rates(schedules.cosine_decay(0.1, num_rounds=4), 6), expected, atol=1e-8
    )


def test_warm_up_rises_in_a_line_and_then_the_cosine_begins():
    schedule = schedules.cosine_decay(0.1, num_rounds=7, warmup_rounds=3, final_factor=0.2)
    rise = [0.025, 0.05, 0.075]
    fall = [0.02 + 0.08 * 0.5 * (1 + np.cos(np.pi * k / 4)) for k in (0, 1, 2, 3, 4, 4)]
    np.testing.assert_allclose(rates(schedule, 9), rise + fall, rtol=1e-5)


def test_a_final_factor_of_1_is_a_warm_up_alone():
    schedule = schedules.cosine_decay(0.1, num_rounds=4, warmup_rounds=1, final_factor=1.0)
    np.testing.assert_allclose(rates(schedule, 6), [0.05] + [0.1] * 5, rtol=1e-6)


@pytest.mark.parametrize(
    "build_fn, message",
    [
        (lambda: schedules.constant(-0.1), "rate must be a number of at least 0. Found -0.1"),
        (lambda: schedules.constant(float("inf")), "rate must be .* Found inf"),
        (
            lambda: schedules.exponential_decay(0.1, factor=0.0, num_rounds=1),
            r"factor must lie in \(0, 1\]. Found 0.0",
        ),
        (
            lambda: schedules.exponential_decay(0.1, factor=0.5, num_rounds=0),
            "num_rounds must be at least 1. Found 0",
        ),
        (lambda: schedules.step_decay({}), "rates must begin at round 0"),
        (lambda: schedules.step_decay({1: 0.1}), "rates must begin at round 0"),
        (lambda: schedules.step_decay({0: 0.1, -1: 0.1}), "rates must begin at round 0"),
        (lambda: schedules.step_decay({0: 0.1, 5: -1.0}), r"rates\[5\] must be .* Found -1.0"),
        (
            lambda: schedules.cosine_decay(0.1, num_rounds=3, warmup_rounds=3),
            "num_rounds must be at least 4. Found 3",
        ),
        (
            lambda: schedules.cosine_decay(0.1, num_rounds=3, warmup_rounds=-1),
            "warmup_rounds must be at least 0. Found -1",
        ),
        (
            lambda: schedules.cosine_decay(0.1, num_rounds=3, final_factor=1.1),
            r"final_factor must lie in \[0, 1\]. Found 1.1",
        ),
    ],
)
def test_bad_input_is_named(build_fn, message):
    with pytest.raises(ValueError, match=message):
        build_fn()
