"""TFF's worker gives TFF's results, is out of others' reach, and ends when its owner does."""

import asyncio
import contextlib
import json
import os
import stat
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import jupyter_client
import numpy as np
import psutil
import pytest
import tensorflow as tf
import tensorflow_federated as tff
import tiny

from fedlab import runtime
from fedlab.algorithms import build_fed_avg
from fedlab.models import build_functional_model
from fedlab.preprocessing import Preprocessing

HERE = Path(__file__).parent
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{HERE.parent}:{HERE}", "TF_CPP_MIN_LOG_LEVEL": "3"}
TIMEOUT = 120


@tff.tensorflow.computation(tf.int32)
def increment(number):
    return number + 1


def call_worker():
    runtime.install()
    return int(increment(1))


def find_worker(pid: int) -> psutil.Process:
    """The worker that belongs to a process."""
    children = psutil.Process(pid).children(recursive=True)
    (worker,) = [child for child in children if "tff-worker" in child.exe()]
    return worker


def socket_folder(worker: psutil.Process) -> Path:
    return Path(worker.cwd())


@pytest.fixture(scope="module")
def worker():
    assert call_worker() == 2
    return find_worker(os.getpid())


def start(code: str, **options) -> subprocess.Popen:
    """Runs a script in another Python."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], env=ENVIRONMENT, text=True, **options
    )


# Results


def two_rounds():
    """Weights after two rounds of FedAvg, in whatever runtime is installed."""
    data = tiny.create_data(12, 4, 8)
    process = build_fed_avg(build_functional_model(tiny.create_model), client_learning_rate=0.1)
    state = process.initialize()
    for round_num in (1, 2):
        shuffled = Preprocessing(batch_size=5, shuffle=True)
        batches = [
            shuffled.apply(data.create_tf_dataset_for_client(client_id), round_num)
            for client_id in data.client_ids
        ]
        state = process.next(state, batches).state
    return process.get_model_weights(state).trainable


def test_results_are_stock_tff_s_bit_for_bit(tmp_path):
    # Stock TFF's worker outlives its parent, so the script ends it.
    stock = start(
        f"""
        import numpy, psutil
        import test_runtime
        numpy.savez({str(tmp_path / "stock.npz")!r}, *test_runtime.two_rounds())
        children = psutil.Process().children(recursive=True)
        assert any("worker_binary" in child.exe() for child in children)
        for child in children:
            child.kill()
        """,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    runtime.install()
    ours = two_rounds()
    assert stock.wait(TIMEOUT) == 0
    with np.load(tmp_path / "stock.npz") as theirs:
        assert tiny.same_bits(ours, [theirs[name] for name in theirs.files])


def test_a_runner_is_a_process_s_own_face():
    process = build_fed_avg(build_functional_model(tiny.create_model))
    with runtime.compile(process) as runner:
        state = runner.initialize()
        weights = tf.nest.map_structure(lambda value: value + 1, runner.get_model_weights(state))
        state = runner.set_model_weights(state, weights)
        assert tiny.same_bits(runner.get_model_weights(state), weights)
        data = tiny.create_data(3).create_tf_dataset_for_client("c0")
        batches = {"c0": Preprocessing().apply(data)}
        output = runner.next(state, batches.values())
        assert output.metrics["client_work"]["train"]["num_examples"] == 3


# Reach


def socket_inodes(pid: int) -> set[str]:
    links = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(path))
    return {link[8:-1] for link in links if link.startswith("socket:[")}


def rows(table: str) -> list[list[str]]:
    path = Path("/proc/net") / table
    return [line.split() for line in path.read_text().splitlines()[1:]] if path.exists() else []


def test_nothing_of_the_worker_is_on_the_network(worker):
    inodes = socket_inodes(worker.pid)
    for table in ("tcp", "tcp6", "udp", "udp6"):
        assert not inodes & {row[9] for row in rows(table)}, table
    listening = {row[7] for row in rows("unix") if row[6] in inodes and len(row) > 7}
    assert listening == {str(socket_folder(worker) / "1")} or listening == {"1"}


def test_the_socket_is_in_a_folder_of_this_user_alone(worker):
    folder = socket_folder(worker)
    assert folder.name.startswith("fedlab-")
    status = folder.stat()
    assert stat.S_IMODE(status.st_mode) == 0o700
    assert status.st_uid == os.getuid()
    assert stat.S_ISSOCK((folder / "1").stat().st_mode)


def test_nobody_else_may_change_the_worker_s_program(worker):
    status = Path(worker.exe()).stat()
    assert status.st_uid == os.getuid()
    assert not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def test_the_worker_holds_none_of_our_streams(worker):
    for stream in (0, 1, 2):
        assert os.readlink(f"/proc/{worker.pid}/fd/{stream}") == "/dev/null"


# Life and death


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until(condition, seconds=10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


ENDS = ["return", "exception", "exit", "os_exit", "SIGKILL", "SIGTERM", "SIGHUP"]


@pytest.fixture(scope="module")
def ended():
    """How each of several processes ended, with the worker and watchers that it had.

    They are forks of one that has imported TFF (and not used it), which takes its time.
    """
    code = """
        import json, os, signal, sys, time
        import psutil
        import test_runtime
        from fedlab import runtime
        for end in test_runtime.ENDS:
            if os.fork() == 0:
                break
        else:
            for _ in test_runtime.ENDS:
                os.wait()
            os._exit(0)
        test_runtime.call_worker()
        kept = (test_runtime, runtime._context())
        worker = test_runtime.find_worker(os.getpid())
        children = [child.pid for child in psutil.Process().children(recursive=True)]
        told = [end, os.getpid(), children, str(test_runtime.socket_folder(worker))]
        os.write(1, (json.dumps(told) + "\\n").encode())
        if end == "exception":
            raise RuntimeError
        if end == "exit":
            sys.exit(3)
        if end == "os_exit":
            os._exit(3)
        if end.startswith("SIG"):
            os.kill(os.getpid(), getattr(signal, end))
            time.sleep(60)
    """
    # What reads stdout to its end would wait for ever if a worker held it.
    process = start(code, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    out, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0
    return {end: rest for end, *rest in map(json.loads, out.splitlines())}


@pytest.mark.parametrize("end", ENDS)
def test_worker_watcher_and_folder_go_with_their_owner(ended, end):
    owner, children, folder = ended[end]
    assert is_gone(owner)
    assert len(children) >= 2  # the watcher and the worker
    assert wait_until(lambda: all(is_gone(child) for child in children))
    assert wait_until(lambda: not os.path.exists(folder))


def test_a_whole_script_that_leaves_references_lets_go_of_its_streams():
    code = "import test_runtime as t; kept = (t.call_worker(), t); print(kept[0])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=True,
    )
    assert done.stdout == "2\n"


def test_a_killed_worker_is_started_again(worker):
    folder = socket_folder(worker)
    worker.kill()
    assert wait_until(lambda: is_gone(worker.pid))
    assert call_worker() == 2
    assert find_worker(os.getpid()).pid != worker.pid
    assert wait_until(lambda: not folder.exists())


def test_works_inside_a_running_event_loop():
    async def cell():
        return call_worker()

    assert asyncio.run(cell()) == 2


def test_works_from_another_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(call_worker()))
    thread.start()
    thread.join(TIMEOUT)
    assert found == [2]


def test_a_kernel_restarted_ten_times_leaves_nothing_behind():
    manager, client = jupyter_client.manager.start_new_kernel(
        startup_timeout=TIMEOUT, kernel_name="python3", env=ENVIRONMENT
    )
    seen = []
    try:
        for restart in range(11):
            if restart:
                manager.restart_kernel(now=restart % 2 == 0)
                client.wait_for_ready(TIMEOUT)
            code = "import test_runtime as t, os; t.call_worker(); w = t.find_worker(os.getpid())"
            reply = client.execute_interactive(
                code,
                timeout=TIMEOUT,
                output_hook=lambda message: None,
                user_expressions={"seen": "(w.pid, w.ppid(), w.cwd())"},
            )
            assert reply["content"]["status"] == "ok", reply["content"]
            text = reply["content"]["user_expressions"]["seen"]["data"]["text/plain"]
            seen.append(tuple(part.strip(" '()") for part in text.split(",")))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert len({folder for _, _, folder in seen}) == 11
    for worker_pid, watcher_pid, folder in seen:
        assert wait_until(lambda pid=int(worker_pid): is_gone(pid))
        assert wait_until(lambda pid=int(watcher_pid): is_gone(pid))
        assert wait_until(lambda folder=folder: not os.path.exists(folder))
