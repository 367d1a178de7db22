"""What is set for the whole process: variables, threads, which lines of TensorFlow's log are told."""

import gc
import logging
import os
import subprocess
import sys

import pytest
import tensorflow as tf
import tensorflow_federated as tff

import fedlab.models  # noqa: F401 - sets TensorFlow's log up


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
    filters = list(logger.filters)
    for one in filters:
        logger.removeFilter(one)
    try:
        build_secure_aggregator()
    finally:
        for one in filters:
            logger.addFilter(one)
    assert told


@pytest.mark.parametrize("line", ["Object was never used: <tf.Operation 'read/Merge'>", "%s left"])
def test_all_else_is_told(told, line):
    tf.get_logger().error(line, *["two"] * line.count("%s"))
    assert told == [line.replace("%s", "two")]


def ask(code: str, *args: str, **variables: str) -> str:
    """What a new process without settings of its own prints."""
    ours = ("TF_CPP_MIN_LOG_LEVEL", "TF_NUM_INTRAOP_THREADS", "RAY_USAGE_STATS_ENABLED")
    env = {name: value for name, value in os.environ.items() if name not in ours} | variables
    done = subprocess.run(
        [sys.executable, "-c", code, *args], env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_import_sets_two_variables_and_nothing_else():
    code = """
import atexit, logging, os
before, hooks = dict(os.environ), atexit._ncallbacks()
import fedlab
print(sorted(os.environ.items() - before.items()), before.keys() - os.environ.keys(),
      atexit._ncallbacks() - hooks, logging.getLogger("tensorflow").filters)
"""
    expected = "[('RAY_USAGE_STATS_ENABLED', '0'), ('TF_CPP_MIN_LOG_LEVEL', '3')] set() 0 []"
    assert ask(code) == expected
    assert ask(code, TF_CPP_MIN_LOG_LEVEL="0", RAY_USAGE_STATS_ENABLED="1") == "[] set() 0 []"


THREADS = """
import os, subprocess, sys
import tensorflow as tf
tf.constant(1.0) + 1.0  # whatever comes later is too late
child = [sys.executable, "-c", "import os; print(os.environ.get('TF_NUM_INTRAOP_THREADS'))"]
said = subprocess.run(child, capture_output=True, text=True, check=True).stdout.strip()
print(tf.config.threading.get_intra_op_parallelism_threads(), said)
"""


# That every room sets TensorFlow up is in `test_imports.py`. The module that does loads no TFF: seconds less.
@pytest.mark.parametrize(
    "first, variables, expected",
    [
        ("import fedlab; fedlab.compile", {}, "1 None"),
        ("import fedlab._tensorflow", {"TF_NUM_INTRAOP_THREADS": "3"}, "0 3"),
    ],
)
def test_operations_have_one_thread_here_and_children_do_not_inherit_it(first, variables, expected):
    assert ask(first + THREADS, **variables) == expected


AFTER_TENSORFLOW = {
    "import fedlab": "1 None",
    "tf.config.threading.set_intra_op_parallelism_threads(2); import fedlab": "2 None",
    "tf.constant(1.0); import fedlab": "0 None",  # too late
}
# Forks of a process that has imported TensorFlow and not used it.
FORKS = f"""
import os, sys
import tensorflow as tf
for first in sys.argv[1:]:
    if os.fork() == 0:
        exec(first)
        break
    assert os.wait()[1] == 0
else:
    sys.exit()
{THREADS}
"""


def test_settings_made_in_tensorflow_before_the_import_stay():
    assert ask(FORKS, *AFTER_TENSORFLOW).splitlines() == list(AFTER_TENSORFLOW.values())
