"""What is set for the whole process: which lines of TensorFlow's log reach a learner."""

import gc
import logging

import pytest
import tensorflow as tf
import tensorflow_federated as tff

from fedlab import _process


@pytest.fixture
def told():
    """The lines that TensorFlow's logger lets through."""
    lines, logger = [], tf.get_logger()
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


def build_secure_aggregator():
    tff.learning.secure_aggregator(zeroing=False, clipping=False)
    gc.collect()


def test_building_a_secure_aggregator_tells_nothing(told):
    build_secure_aggregator()
    assert told == []


def test_without_the_filter_it_would(told):
    logger = tf.get_logger()
    logger.removeFilter(_process._is_worth_telling)
    try:
        build_secure_aggregator()
    finally:
        logger.addFilter(_process._is_worth_telling)
    assert told and all("Object was never used" in line for line in told)


@pytest.mark.parametrize("line", ["Object was never used: <tf.Operation 'read/Merge'>", "%s left"])
def test_all_else_is_told(told, line):
    tf.get_logger().error(line, *["two"] * line.count("%s"))
    assert told == [line.replace("%s", "two")]
