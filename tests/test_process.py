"""What is set for the whole process: variables, threads, which lines of TensorFlow's log are told."""

import gc
import logging
import os
import subprocess
import sys

import pytest
import tensorflow as tf
import tensorflow_federated as tff
from helpers.mounts import run_with_mounts

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


OURS = "TF_CPP_MIN_LOG_LEVEL TF_NUM_INTRAOP_THREADS RAY_USAGE_STATS_ENABLED JOBLIB_MULTIPROCESSING".split()


def ask(code: str, *args: str, **variables: str) -> str:
    """What a new process without settings of its own prints."""
    env = {name: value for name, value in os.environ.items() if name not in OURS} | variables
    done = subprocess.run(
        [sys.executable, "-c", code, *args], env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_on_most_machines_the_import_sets_two_variables_and_nothing_else():
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


NO_SHARED_MEMORY = "-t tmpfs -o ro none /dev/shm"


@pytest.mark.parametrize("setting, said", [(None, "0"), ("1", "serial mode")])
def test_without_shared_memory_the_first_cell_is_silent(monkeypatch, setting, said):
    """TFF loads joblib, which warns there unless it is told to work serially."""
    for name in OURS:
        monkeypatch.delenv(name, raising=False)
    if setting is not None:
        monkeypatch.setenv("JOBLIB_MULTIPROCESSING", setting)
    code = """
    import fedlab, os
    from fedlab import data
    data.load("digits", num_clients=3)
    if os.environ["JOBLIB_MULTIPROCESSING"] == "0":
        print(0)
    """
    out = run_with_mounts([NO_SHARED_MEMORY], code)
    assert out.strip() == said if setting is None else said in out


def test_without_a_home_both_runtimes_work_and_leave_nothing(tmp_path):
    for name in ("here", "tmp"):
        (tmp_path / name).mkdir()
    code = f"""
    import os
    os.chdir({str(tmp_path / "here")!r})
    import fedlab
    from helpers import tiny
    runner = fedlab.compile(tiny.build_process())
    runner.next(runner.initialize(), tiny.create_cohort())
    print(os.path.expanduser("~"), tiny.call_worker())
    """
    variables = {"FEDLAB_COMPILED": "", "TMPDIR": str(tmp_path / "tmp")}
    out = run_with_mounts([], code, has_home=False, **variables)
    assert "~ 2" in out.splitlines()
    # TensorFlow leaves the byte code of what autograph writes.
    left = [path.name for path in tmp_path.rglob("*") if "__pycache__" not in path.parts]
    assert sorted(left) == ["here", "tmp"]


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
