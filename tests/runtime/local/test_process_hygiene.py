"""Local rounds are this process and nothing else, leave nothing behind, and the stop button ends them."""

import jupyter_client
import psutil
import pytest
from helpers import tiny
from helpers.scripts import run_script
from helpers.sockets import ENVIRONMENT

NOT_LATER_THAN = 20  # seconds in which a cell must have ended: a guard against hanging, no more


# Nothing else


def test_what_looks_around_sees_children_and_open_doors():
    found = run_script("""
    import socket, subprocess
    doors = [socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)]
    doors[1].bind("\\0fedlab-test-" + str(os.getpid()))
    doors[1].listen()
    child = subprocess.Popen(["sleep", "60"])
    print(json.dumps(look()))
    child.kill()
    """)
    assert found["children"] == ["sleep"]
    assert len(found["listening"]) == 2


NUM_ROUNDS = 500

# One process for the three questions below: TFF takes seconds to import.
ROUNDS = f"""
    import threading
    from helpers import tiny
    from fedlab import evaluation, runtime
    from fedlab.data import sampling
    from fedlab.data.preprocessing import Preprocessing, build_cohort_fn
    from fedlab.models import build_functional_model

    def look_after_each_round():
        state, looks = left_behind.initialize(), [look()]
        for round_num in range(3):
            state = left_behind.next(state, tiny.create_cohort(round_num=round_num)).state
            looks.append(look())
        process.next(process.initialize(), list(tiny.create_cohort().values()))
        left_behind.get_model_weights(state)
        return [*looks, look()]

    class Cohort(dict):
        def __getitem__(self, client_id):  # called while other clients train
            names = [thread.name for thread in threading.enumerate()]
            counts.append(sum(name.startswith("fedlab-client") for name in names))
            return super().__getitem__(client_id)

    def count_threads():
        runner = runtime.compile(process, num_workers=5)
        state = runner.initialize()
        weights = runner.get_model_weights(state)
        for thread in threading.enumerate():
            if thread.name == "fedlab-get-ready":
                thread.join()
        before = threading.active_count()
        runner.next(state, Cohort(tiny.create_cohort(1, 2, 3, 4, 5, 6)))
        model = build_functional_model(tiny.create_model)
        evaluate_fns = [evaluation.build_evaluate_fn(model, tiny.DATA) for _ in range(4)]
        for evaluate_fn in evaluate_fns:
            evaluate_fn(1, weights)
        for thread in threading.enumerate():
            if thread.name.startswith("fedlab"):
                thread.join(10)
        return [max(counts), threading.active_count() - before]

    def look_early_and_late():
        data = tiny.create_data(*range(1, 31))
        cohort_fn = build_cohort_fn(
            data,
            sampling.uniform(data.client_ids, 5, seed=1),
            Preprocessing(batch_size=5, shuffle=True, num_epochs=2),
        )
        runner = runtime.compile(process, num_workers=2)
        state, looks = runner.initialize(), []
        for round_num in range(1, {NUM_ROUNDS} + 1):
            state = runner.next(state, cohort_fn(round_num)).state
            if round_num in (50, {NUM_ROUNDS}):
                looks.append(look())
        return looks

    runtime.install()
    process, counts = tiny.build_process(), []
    left_behind = runtime.compile(process)
    print(json.dumps([look_after_each_round(), count_threads(), look_early_and_late()]))
"""


@pytest.fixture(scope="module")
def rounds():
    """A process's looks around after each of a few rounds, its threads, and its looks in a long run."""
    return run_script(ROUNDS, seconds=300)


def test_there_is_no_other_process_nobody_can_call_and_a_runner_left_behind_lets_it_end(rounds):
    looks, _, _ = rounds
    assert len(looks) == 5
    assert all(look["children"] == look["listening"] == [] for look in looks)


def test_threads_live_as_long_as_a_round(rounds):
    _, (most, left), _ = rounds
    assert 1 <= most <= 5  # a worker that is free already takes the next client
    assert left == 0


def test_five_hundred_rounds_leave_nothing_behind(rounds):
    _, _, (early, late) = rounds
    assert late["memory"] < 1.05 * early["memory"]
    assert late["threads"] <= early["threads"]
    assert late["children"] == late["listening"] == []


# The stop button


@pytest.fixture(scope="module")
def kernel():
    manager, client = jupyter_client.manager.start_new_kernel(
        startup_timeout=tiny.TIMEOUT, kernel_name="python3", env=ENVIRONMENT
    )
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run_cell(client, code, expression="None"):
    """What an expression is after the cell."""
    reply = client.execute_interactive(
        code,
        timeout=tiny.TIMEOUT,
        output_hook=lambda message: None,
        user_expressions={"seen": expression},
    )
    assert reply["content"]["status"] == "ok", reply["content"]
    return reply["content"]["user_expressions"]["seen"]["data"]["text/plain"]


def interrupt(manager, client, code):
    """Starts a cell, interrupts it when it says that it has begun, and returns how it ended."""
    # Else the kernel may refuse the next cell, should it arrive while this one ends.
    request = client.execute(f"import time; print('begun')\n{code}", stop_on_error=False)
    while client.get_iopub_msg(tiny.TIMEOUT)["msg_type"] != "stream":
        pass
    worker = psutil.Process(manager.provisioner.pid)
    before = sum(worker.cpu_times()[:2])
    while sum(worker.cpu_times()[:2]) < before + 1:  # the clients are training
        worker.cpu_percent(0.05)
    manager.interrupt_kernel()
    while True:
        reply = client.get_shell_msg(NOT_LATER_THAN)
        if reply["parent_header"].get("msg_id") == request:
            return reply["content"]


PREPARE = """
import threading
from helpers import tiny
from fedlab import runtime
from fedlab.models import build_functional_model, build_model_fn
from fedlab.learning import build_fed_avg
build_model = {build_model}
process = build_fed_avg(build_model(tiny.create_model), client_learning_rate=0.01)
runtime.install()
runner = runtime.compile(process, num_workers={num_workers}, on_client_error={on_client_error!r})
state = runner.next(runner.initialize(), tiny.create_cohort()).state
expected = runner.next(state, tiny.create_cohort(round_num=2))
endless = {{name: batches.repeat() for name, batches in tiny.create_cohort(9, 9, 9, 9, 9).items()}}
"""
STILL = "import time; before = time.process_time(); time.sleep(1)"
SAME = "tiny.same_bits(expected, runner.next(state, tiny.create_cohort(round_num=2)))"


@pytest.mark.parametrize(
    "build_model, num_workers, on_client_error",
    [
        ("build_functional_model", 2, "raise"),
        ("build_model_fn", 2, "raise"),
        ("build_functional_model", 1, "drop"),
    ],
)
def test_the_stop_button_ends_a_round_and_nothing_is_lost(
    kernel, build_model, num_workers, on_client_error
):
    manager, client = kernel
    options = {"num_workers": num_workers, "on_client_error": on_client_error}
    run_cell(client, PREPARE.format(build_model=build_model, **options))
    for call in ("runner.next(state, endless)", "process.next(state, list(endless.values()))"):
        ended = interrupt(manager, client, call)
        assert ended["status"] == "error"
        assert ended["ename"] == "KeyboardInterrupt"
        assert float(run_cell(client, STILL, "time.process_time() - before")) < 0.5
        assert run_cell(client, "", SAME) == "True"
