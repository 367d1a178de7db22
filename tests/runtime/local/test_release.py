"""Closing a runner frees what it held."""

import gc

import psutil
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from helpers import scripts, tiny

from fedlab import runtime
from fedlab.data.preprocessing import INPUT_SPEC
from fedlab.models import create_loss

LAYER_SIZE = 1000  # a model of 3.2 MB
NUM_WARM, NUM_MEASURED = 10, 15
MAX_GROWTH_BYTES = 30e6  # less than a model for each; before, a Keras model left 10 MB each

MEASURE = """
    from runtime.local import test_release
    print(test_release.measure_growth({kind!r}))
"""


def create_model():
    return tf.keras.Sequential(
        [
            tf.keras.layers.Flatten(input_shape=(28, 28, 1)),
            tf.keras.layers.Dense(LAYER_SIZE, kernel_initializer="zeros"),
            tf.keras.layers.Dense(10, kernel_initializer="zeros"),
        ]
    )


def keras_model():
    return tff.learning.models.from_keras_model(create_model(), create_loss(), INPUT_SPEC)


def functional_model():
    return tff.learning.models.functional_model_from_keras(create_model, create_loss(), INPUT_SPEC)


@pytest.mark.parametrize("kind", ["variables", "functional"])
def test_twenty_five_runners_hold_no_more_than_ten(kind):
    """In a Python of its own: in one that has run other tests, old holes in the heap count, too."""
    assert scripts.run_script(MEASURE.format(kind=kind), seconds=600) < MAX_GROWTH_BYTES


def measure_growth(kind):
    """How many bytes more are resident after twenty-five runners than after ten."""
    model = keras_model if kind == "variables" else functional_model()
    process = tff.learning.algorithms.build_weighted_fed_avg(
        model, client_optimizer_fn=tff.learning.optimizers.build_sgdm(0.1)
    )
    cohort = tiny.create_cohort(3, 4)
    for _ in range(NUM_WARM):
        use(process, cohort)
    before = resident_bytes()
    for _ in range(NUM_MEASURED):
        use(process, cohort)
    return resident_bytes() - before


def use(process, cohort):
    with runtime.compile(process) as runner:
        runner.next(runner.initialize(), cohort)


def resident_bytes():
    gc.collect()
    return psutil.Process().memory_info().rss


def test_a_closed_runner_says_so():
    with runtime.compile(tiny.build_process()) as runner:
        state = runner.initialize()
    for call in (
        runner.initialize,
        lambda: runner.next(state, tiny.create_cohort()),
        lambda: runner.get_model_weights(state),
    ):
        with pytest.raises(RuntimeError, match="This runner is closed"):
            call()
    runner.close()  # once more does nothing
