"""Rounds on a Ray cluster: the local runtime's result, few bytes, and deaths that change nothing."""

import collections
import importlib
import itertools
import os
import signal
import time

import psutil
import pytest
from helpers import processes, tiny
from helpers.ray_rounds import cluster_workers, kill_in_the_middle, ray_processes, slow_cohort
from helpers.sockets import rows, socket_inodes
from helpers.spoilt_clients import SPOILT, copy
from helpers.tff_processes import VARIABLE, assert_close, fed_avg

from fedlab import runtime
from fedlab.data.preprocessing import Cohort, Preprocessing
from fedlab.runtime.local.local_runner import FormRunner

# Not Ray itself: this sets what Ray reads when it is imported.
module = pytest.importorskip("fedlab.runtime.ray.cluster", reason="Ray is an extra: '.[ray]'")
ray = module.ray

connection = importlib.import_module("fedlab.runtime.ray.connection")
NUM_CORES = 4  # as Ray counts them; the machine may have fewer
LOOPBACK = ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000")
DASHBOARD = 8265


@pytest.fixture(scope="module")
def local(process):
    return runtime.compile(process)


@pytest.fixture(scope="module")
def ray_here():
    disconnect = module.connect(None, NUM_CORES)
    yield
    ray.shutdown()
    disconnect()  # does no harm after Ray was shut down
    assert not ray.is_initialized()


@pytest.fixture(scope="module")
def runner(ray_here, process):
    with runtime.compile(process, "ray", num_workers=2, num_partitions=4) as runner:
        yield runner


class FakeTime:
    """The module `time`, with another clock."""

    def __init__(self, clock):
        self._clock = clock

    def __getattr__(self, name):
        return getattr(time, name)

    def monotonic(self):
        return next(self._clock)


def run(runner, cohort_fn=tiny.COHORT_FN, num_rounds=2):
    outputs, state = [], runner.initialize()
    for round_num in range(1, num_rounds + 1):
        outputs.append(runner.next(state, cohort_fn(round_num)))
        state = outputs[-1].state
    return outputs


def idle_workers() -> list[psutil.Process]:
    return [one for one in ray_processes() if "ray::IDLE" in " ".join(one.cmdline())]


# Before this file's cluster is started


def test_a_cluster_that_does_not_answer_is_named(process):
    start = time.monotonic()
    with pytest.raises(ConnectionError, match=r"'127\.0\.0\.1:1'.*ray start --head"):
        runtime.compile(process, "ray", address="127.0.0.1:1")
    assert time.monotonic() - start < 15
    assert not ray.is_initialized()


@pytest.fixture
def run_out_of_time(monkeypatch):
    """Returns a function after which Ray's start fails, the given number of times."""

    def prepare(num_times):
        # Ray asks in a loop whether its processes are there; its clock is half a minute ahead.
        ask, left = connection.services.get_node, iter(range(num_times))

        def not_yet(*args):
            if next(left, None) is None:
                return ask(*args)
            raise RuntimeError("not yet")

        monkeypatch.setattr(connection.services, "get_node", not_yet)
        monkeypatch.setattr(ray._private.node, "time", FakeTime(itertools.count(0, 31)))

    return prepare


def test_a_start_that_takes_too_long_is_tried_again(run_out_of_time):
    run_out_of_time(1)
    before = psutil.Process().children(recursive=True)
    disconnect = connection.connect(None, 1)
    assert ray.get(ray.remote(lambda: 3).remote()) == 3
    disconnect()
    assert processes.wait_until(lambda: psutil.Process().children(recursive=True) == before)


def test_two_starts_that_take_too_long_are_a_clear_error_and_leave_nothing(run_out_of_time):
    run_out_of_time(2)
    before, variables = psutil.Process().children(recursive=True), dict(os.environ)
    with pytest.raises(
        RuntimeError, match=r"Ray did not start .*2 times.*timed out.* runtime='local'"
    ):
        connection.connect(None, 1)
    assert processes.wait_until(lambda: psutil.Process().children(recursive=True) == before)
    assert not ray.is_initialized()
    assert {name for name in os.environ if os.environ[name] != variables.get(name)} <= {
        "RAY_AUTH_MODE"
    }


def test_on_one_machine_it_is_quiet_on_loopback_mends_itself_and_ends(process, capfd):
    own = dict(os.environ)
    with runtime.compile(process, "ray", num_workers=2, num_partitions=4) as runner:
        state, cohort = runner.initialize(), slow_cohort()
        undisturbed = runner.next(state, cohort)
        assert_all_listen_on_loopback()
        assert_nobody_outside_is_asked(own)

        killed = []
        thread = kill_in_the_middle(lambda pid: os.kill(pid, signal.SIGKILL), killed)
        found = runner.next(state, cohort)
        assert len(killed) == 1  # before the round ended
        thread.join()
        assert tiny.same_bits(found, undisturbed)
        assert len(cluster_workers()) == 2
        family = ray_processes()
    assert len(family) > 4
    assert [one for one in family if not processes.is_gone(one.pid)] == []
    assert not ray.is_initialized()
    time.sleep(0.5)  # what Ray would print, it prints in a thread
    out, err = capfd.readouterr()
    # gRPC's lines are of TFF's worker, which another test of this process may have started.
    assert (out, [line for line in err.splitlines() if "fork_posix" not in line]) == ("", [])


def assert_all_listen_on_loopback():
    pids = [os.getpid(), *(one.pid for one in ray_processes())]
    inodes = set().union(*map(socket_inodes, pids))
    found = [row for table in ("tcp", "tcp6") for row in rows(table)]
    listening = [row[1].split(":") for row in found if row[3] == "0A" and row[9] in inodes]
    assert len(listening) >= 4  # Ray's own
    assert {address for address, _ in listening} <= set(LOOPBACK)
    assert DASHBOARD not in {int(port, 16) for _, port in listening}


def assert_nobody_outside_is_asked(own):
    """By the one process of Ray's that would ask which cloud this is."""
    asking = [one for one in ray_processes() if any("dashboard.py" in a for a in one.cmdline())]
    assert len(asking) == 1
    found = asking[0].environ()
    assert {found[name] for name in ("http_proxy", "https_proxy")} == {"http://127.0.0.1:9"}
    changed = {name for name, value in os.environ.items() if own.get(name) != value}
    assert not {name for name in changed if "proxy" in name}


def test_a_process_of_ray_that_does_not_end_is_ended():
    disconnect = module.connect(None, 1)
    assert processes.wait_until(idle_workers, 30)
    family = ray_processes()
    idle_workers()[0].suspend()  # it cannot hear that Ray is gone
    disconnect()
    assert [one for one in family if not processes.is_gone(one.pid)] == []


# The same result


def test_two_rounds_are_the_local_runtime_s_on_any_number_of_workers(runner, process, local):
    found = run(runner)
    assert_close(found, run(local))
    with runtime.compile(process, "ray", num_workers=1, num_partitions=4) as alone:
        assert tiny.same_bits(run(alone), found)


def test_a_variable_model_s_rounds_are_the_local_runtime_s(ray_here):
    process = fed_avg(VARIABLE)
    with runtime.compile(process, "ray", num_workers=2, num_partitions=4) as runner:
        found = run(runner)
        assert_close(found, run(runtime.compile(process)))
        assert tiny.same_bits(run(runner), found)


def test_plain_datasets_do_too(runner, local):
    for cohort in (tiny.create_cohort(9, 4, 12, 3, 7), list(tiny.create_cohort().values())):
        expected = local.next(local.initialize(), cohort)
        assert_close(runner.next(runner.initialize(), cohort), expected)


def test_a_client_without_examples_counts_for_nothing(runner):
    cohort, state = tiny.create_cohort(), runner.initialize()
    empty = cohort | {"c3": cohort["c1"].take(0)}
    assert tiny.same_bits(runner.next(state, empty), runner.next(state, cohort))


def test_a_training_run_is_the_local_one(runner, train, unbroken):
    found = train(process=runner)
    assert_close(found.weights, unbroken.weights, 1e-5)
    assert_close(found.to_frame()["loss"].values, unbroken.to_frame()["loss"].values, 1e-5)


# The data


def test_a_client_s_examples_are_sent_once(runner, monkeypatch):
    read, read_fn = collections.Counter(), module.client_arrays

    def count(client_data, client_id):
        read[client_id] += 1
        return read_fn(client_data, client_id)

    monkeypatch.setattr(module, "client_arrays", count)
    data = tiny.create_data(3, 4, 5, 6, 7, 8)
    run(runner, lambda round_num: Cohort(data, data.client_ids, Preprocessing(2), round_num))
    assert read == dict.fromkeys(data.client_ids, 1)


def test_other_clients_of_the_same_names_are_other_clients(runner, local):
    for sizes in ((12, 4, 8), (3, 7, 2), (12, 4, 8)):
        data = tiny.create_data(*sizes)
        cohort = Cohort(data, data.client_ids, Preprocessing(5), round_num=1)
        expected = local.next(local.initialize(), cohort)
        assert_close(runner.next(runner.initialize(), cohort), expected)


# Clients that fail


@pytest.mark.parametrize("spoil", ["NaN", "a failure in the data"])
def test_a_client_that_fails_is_named_or_left_out(runner, process, spoil):
    state, cohort = runner.initialize(), tiny.create_cohort(5, 8, 3, 12, 6, 2)
    before, expected = copy(state), runner.next(state, cohort)
    spoilt = cohort | {name: SPOILT[spoil](cohort[name]) for name in ("c3", "c4")}
    with pytest.raises(runtime.ClientError) as caught:
        runner.next(state, spoilt)
    assert caught.value.client_id == "c3"
    assert tiny.same_bits(state, before)
    assert tiny.same_bits(runner.next(state, cohort), expected)

    dropping = FormRunner(process, lambda form: runner._clients, drop=True)
    found = dropping.next(state, spoilt)
    assert list(dropping.dropped) == ["c3", "c4"]
    left = {name: one for name, one in cohort.items() if name not in dropping.dropped}
    assert_close(found, runner.next(state, left))
    with pytest.raises(runtime.ClientError, match="every other"):
        dropping.next(state, {"c3": spoilt["c3"], "c4": spoilt["c4"]})


def test_a_file_that_cannot_be_read_is_its_own_client_s_failure(runner, monkeypatch):
    data = tiny.create_data(3, 4, 5)
    examples = data.examples
    broken = tiny.MemoryClientData(
        data.client_ids, lambda one: 1 / 0 if one == "c1" else examples(one)
    )
    cohort = Cohort(broken, broken.client_ids, Preprocessing(5), round_num=1)
    with pytest.raises(runtime.ClientError, match="'c1' failed: division by zero"):
        runner.next(runner.initialize(), cohort)


# What is refused


def test_partitions_are_checked(process):
    with pytest.raises(ValueError, match="at least 1. Found 0"):
        runtime.compile(process, "ray", num_partitions=0)


def test_more_workers_than_cores_are_refused_at_once(ray_here, process):
    start = time.monotonic()
    with pytest.raises(RuntimeError, match="5 workers need as many cores. Found 4"):
        runtime.compile(process, "ray", num_workers=5)
    assert time.monotonic() - start < 10


def test_another_cluster_than_the_one_in_use_is_refused(ray_here, process):
    with pytest.raises(ConnectionError, match="connected to .* not to '127.0.0.1:1'"):
        runtime.compile(process, "ray", address="127.0.0.1:1")
