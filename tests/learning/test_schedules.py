"""A schedule's rates, round by round; round 0 is the first."""

import numpy as np
import pytest
import tensorflow as tf

from fedlab.learning import schedules


def test_exponential_decay_in_a_graph_as_tff_calls_it():
    schedule = schedules.exponential_decay(0.1, factor=0.5, num_rounds=2)
    rate_fn = tf.function(schedule, input_signature=[tf.TensorSpec((), tf.int32)])
    rates = [rate_fn(tf.constant(k)) for k in range(5)]
    assert all(rate.dtype == tf.float32 and rate.shape == () for rate in rates)
    np.testing.assert_allclose(rates, 0.1 * 0.5 ** (np.arange(5) / 2), rtol=1e-6)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"rate": -0.1}, "rate must be a finite number of at least 0. Found -0.1"),
        ({"factor": 0.0}, r"factor must be a number in \(0, 1\]. Found 0.0"),
        ({"num_rounds": 0}, "num_rounds must be at least 1. Found 0"),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        schedules.exponential_decay(**{"rate": 0.1, "factor": 0.5, "num_rounds": 1} | options)
