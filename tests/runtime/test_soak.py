"""Hundreds of runners and restarts leave nothing: `./lab test -m soak tests/runtime/test_soak.py`."""

import jupyter_client
import psutil
import pytest
from helpers import processes, scripts, tiny
from helpers.sockets import ENVIRONMENT

pytestmark = pytest.mark.soak
NUM_RUNNERS, NUM_RESTARTS = 200, 50
MEGABYTE = 2**20
MINUTES = 30 * 60

# Every fourth runner is TFF's own, whose worker stays for the process; it is there before the first look.
RUNNERS = """
    from fedlab import runtime
    from helpers import processes, tiny
    process, cohort, looks = tiny.build_process(), tiny.create_cohort(), []
    for number in range(1, int(os.environ["NUM_RUNNERS"]) + 1):
        with runtime.compile(process, "tff" if number % 4 == 0 else "local") as runner:
            runner.next(runner.initialize(), cohort)
        del runner
        if number % 20 == 0:
            looks.append(processes.look(os.environ["TMPDIR"]))
    print(json.dumps(looks))
"""


def assert_flat(looks: list[dict]) -> None:
    first, last = looks[0], looks[-1]
    print(*looks, sep="\n")  # shown with -s
    for name in ("descriptors", "children", "temporary"):
        assert last[name] == first[name], name
    assert last["threads"] <= first["threads"] + 2  # of pools, which grow to their size
    assert last["memory"] <= first["memory"] + 50 * MEGABYTE
    assert not set(last["shared"]) - set(first["shared"])


def test_runners_made_used_and_closed_leave_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("NUM_RUNNERS", str(NUM_RUNNERS))
    assert_flat(scripts.run_script(RUNNERS, MINUTES))
    assert processes.wait_until(lambda: list(tmp_path.iterdir()) == [])


# Each kernel has a worker of its own. Every other one is killed; of those that are asked to end some run
# a round, too. (A killed process leaves files that AutoGraph, which is TensorFlow's, removes at its end.)
WORKER = "from fedlab.runtime.native.worker import Worker; own = Worker(); own.get_channel()"
ROUND = """
from fedlab import runtime
from helpers import tiny
runner = runtime.compile(tiny.build_process())
runner.next(runner.initialize(), tiny.create_cohort())
"""


def test_kernels_restarted_leave_nothing(tmp_path):
    manager, client = jupyter_client.manager.start_new_kernel(
        startup_timeout=tiny.TIMEOUT,
        kernel_name="python3",
        env=ENVIRONMENT | {"TMPDIR": str(tmp_path)},
    )
    looks = []
    try:
        for restart in range(1, NUM_RESTARTS + 1):
            code = WORKER + ROUND * (restart % 10 == 9)
            reply = client.execute_interactive(
                code, timeout=tiny.TIMEOUT, output_hook=lambda message: None
            )
            assert reply["content"]["status"] == "ok", reply["content"]
            manager.restart_kernel(now=restart % 2 == 0)
            client.wait_for_ready(tiny.TIMEOUT)
            # The kernel alone, without the worker of the one before it.
            assert processes.wait_until(lambda: processes.look(tmp_path)["children"] == 1)
            assert processes.wait_until(lambda: list(tmp_path.iterdir()) == [])
            if restart % 10 == 5:
                looks.append(processes.look(tmp_path))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert_flat(looks)
    assert psutil.Process().children() == []
