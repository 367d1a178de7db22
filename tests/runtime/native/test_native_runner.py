"""On the guarded worker TFF's own runtime gives stock TFF's results, from anywhere, and again after the worker died."""

import asyncio
import os
import subprocess
import threading

import numpy as np
from helpers import processes, tiny
from helpers.native_rounds import two_rounds

from fedlab import runtime

# Results


def test_results_are_stock_tff_s_bit_for_bit(tmp_path):
    # Stock TFF's worker outlives its parent, so the script ends it.
    stock = tiny.start(
        f"""
        import numpy, psutil
        from helpers import native_rounds as here
        numpy.savez({str(tmp_path / "stock.npz")!r}, *here.two_rounds())
        children = psutil.Process().children(recursive=True)
        assert any("worker_binary" in child.exe() for child in children)
        for child in children:
            child.kill()
        """,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    runtime.install("tff")
    ours = two_rounds()
    assert stock.wait(tiny.TIMEOUT) == 0
    with np.load(tmp_path / "stock.npz") as theirs:
        assert tiny.same_bits(ours, [theirs[name] for name in theirs.files])


def test_a_client_whose_update_is_not_finite_is_left_out_without_a_word():
    process = tiny.build_process()
    runner = runtime.compile(process, "tff")
    cohort = tiny.create_cohort()
    spoilt = cohort["c1"].map(lambda images, labels: (images * np.nan, labels))
    state = runner.initialize()
    found = runner.next(state, cohort | {"c1": spoilt}).state
    del cohort["c1"]
    expected = runner.next(state, cohort).state
    weights = runner.get_model_weights
    for ours, theirs in zip(weights(found).trainable, weights(expected).trainable, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


# Called from anywhere


def test_a_killed_worker_is_started_again():
    assert tiny.call_worker() == 2
    worker = processes.find_worker(os.getpid())
    folder = processes.socket_folder(worker)
    worker.kill()
    assert processes.wait_until(lambda: processes.is_gone(worker.pid))
    assert tiny.call_worker() == 2
    assert processes.find_worker(os.getpid()).pid != worker.pid
    assert processes.wait_until(lambda: not folder.exists())


def test_works_inside_a_running_event_loop():
    async def cell():
        return tiny.call_worker()

    assert asyncio.run(cell()) == 2


def test_works_from_other_threads():
    found = []
    threads = [threading.Thread(target=lambda: found.append(tiny.call_worker())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(tiny.TIMEOUT)
    assert found == [2, 2]
