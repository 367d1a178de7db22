"""TFF's worker is out of others' reach, and ends when its owner does, however that ended."""

import json
import os
import re
import stat
import subprocess
import threading
import time
from pathlib import Path

import jupyter_client
import psutil
import pytest
from helpers import processes, tiny
from helpers.mounts import run_with_mounts
from helpers.sockets import ENVIRONMENT, rows, socket_inodes

from fedlab.runtime.native import worker as native_worker
from fedlab.runtime.native.worker import Worker


@pytest.fixture(scope="module")
def worker():
    assert tiny.call_worker() == 2
    return processes.find_worker(os.getpid())


# Reach


def test_nothing_of_the_worker_is_on_the_network(worker):
    inodes = socket_inodes(worker.pid)
    for table in ("tcp", "tcp6", "udp", "udp6"):
        assert not inodes & {row[9] for row in rows(table)}, table
    listening = {row[7] for row in rows("unix") if row[6] in inodes and len(row) > 7}
    assert listening == {str(processes.socket_folder(worker) / "1")} or listening == {"1"}


def test_the_socket_is_in_a_folder_of_this_user_alone(worker):
    folder = processes.socket_folder(worker)
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


def test_the_worker_gives_an_operation_one_thread_as_this_process_does(worker):
    assert worker.environ()["TF_NUM_INTRAOP_THREADS"] == "1"
    assert "TF_NUM_INTRAOP_THREADS" not in os.environ


# Where its copy is kept


@pytest.fixture
def small(monkeypatch):
    """A worker program of a few bytes in place of the real one's 300 MB."""
    monkeypatch.setattr(native_worker, "_copy_worker", lambda source, target: target.touch(0o700))


def opened(folder):
    with native_worker._open_worker(folder) as program:
        return Path(os.readlink(f"/proc/self/fd/{program.fileno()}"))


def let_others_write(folder, program):
    folder.chmod(0o770)


def plant_a_link(folder, program):
    program.unlink()
    program.symlink_to("/bin/true")


def link_the_folder(folder, program):
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to("elsewhere")


@pytest.mark.parametrize("spoil", [let_others_write, plant_a_link, link_the_folder])
def test_a_copy_that_others_can_exchange_is_not_run(small, tmp_path, monkeypatch, spoil):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    session = tmp_path / "session"
    session.mkdir(mode=0o700)
    kept = opened(session)
    assert kept.parent == tmp_path / "xdg" / "fedlab" / "worker"
    assert [p.stat().st_mode & 0o777 for p in kept.parents[:2]] == [0o700, 0o700]
    assert opened(session) == kept
    spoil(kept.parent, kept)
    assert opened(session) == session / kept.name


# In a namespace where file systems can be mounted; the worker is a copy of a small program.
ODD_PLACES = """
    import os, shutil
    from fedlab.runtime.native import worker
    from helpers import processes
    worker._copy_worker = lambda source, target: shutil.copy("/bin/sleep", target)
    worker._exchange_address = lambda content: None
    own = worker.Worker()
    try:
        own.get_channel()
    except RuntimeError as error:
        print(str(error).replace(os.environ["TMPDIR"], "TMPDIR").rstrip("."))
    processes.wait_until(lambda: not os.listdir(os.environ["TMPDIR"]))  # the watcher's turn
    print(os.listdir(os.environ["TMPDIR"]))
"""


@pytest.mark.parametrize(
    "cache, temporary, said",
    [
        ("noexec", None, "ended at its start, with exit code 1$"),  # that of `sleep`: it ran
        ("noexec", "noexec", "no program may run in .*xdg.* in TMPDIR/.*Set TMPDIR to a folder"),
        ("size=4k", "size=4k", "cache will not do: .*No space left.*No space left.*Set TMPDIR"),
        ("no home", None, "ended at its start, with exit code 1$"),
        ("no home", "size=4k", "cache will not do: This user has no home folder.*Set TMPDIR"),
    ],
)
def test_where_programs_or_files_cannot_be(tmp_path, cache, temporary, said):
    places = {"xdg": cache if cache != "no home" else None, "tmp": temporary}
    for name in places:
        (tmp_path / name).mkdir()
    out = run_with_mounts(
        [f"-t tmpfs -o mode=700,{o} none {tmp_path / name}" for name, o in places.items() if o],
        ODD_PLACES,
        has_home=cache != "no home",
        XDG_CACHE_HOME=str(tmp_path / "xdg"),
        TMPDIR=str(tmp_path / "tmp"),
    )
    message, left = out.splitlines()
    assert re.search(said, message)
    assert left == "[]"


# Life and death


ENDS = ["whole script", "return", "exception", "exit", "os_exit", "SIGKILL", "SIGTERM", "SIGHUP"]


@pytest.fixture(scope="module")
def ended():
    """How each of several processes ended, with the worker and watchers that it had.

    They are forks of one that has imported TFF (and not used it), which takes its time. That one ends
    last, as any script that leaves references.
    """
    code = """
        import json, os, signal, sys, time
        import psutil
        from helpers import processes, tiny
        from fedlab.runtime.native import native_runner
        whole, *ends = sys.argv[1:]
        for end in ends:
            if os.fork() == 0:
                break
        else:
            end = whole
            for _ in ends:
                os.wait()
        tiny.call_worker()
        kept = (tiny, native_runner.native_context())
        worker = processes.find_worker(os.getpid())
        children = [child.pid for child in psutil.Process().children(recursive=True)]
        told = [end, os.getpid(), children, str(processes.socket_folder(worker))]
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
    process = tiny.start(code, *ENDS, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    out, _ = process.communicate(timeout=tiny.TIMEOUT)
    assert process.returncode == 0  # of the whole script
    return {end: rest for end, *rest in map(json.loads, out.splitlines())}


@pytest.mark.parametrize("end", ENDS)
def test_worker_watcher_and_folder_go_with_their_owner(ended, end):
    owner, children, folder = ended[end]
    assert processes.is_gone(owner)
    assert len(children) >= 2  # the watcher and the worker
    assert processes.wait_until(lambda: all(processes.is_gone(child) for child in children))
    assert processes.wait_until(lambda: not os.path.exists(folder))


@pytest.fixture
def own():
    """A worker of the test's own, and the processes that it has started since."""
    before = set(psutil.Process().children(recursive=True))
    own = Worker()
    yield own, lambda: set(psutil.Process().children(recursive=True)) - before
    own.close()


def test_after_its_worker_s_death_the_watcher_ends_its_own_group_alone(own):
    owner, started = own
    owner.get_channel()
    group = min(child.pid for child in started())
    (worker,) = [child for child in started() if "tff-worker" in child.exe()]
    folder = processes.socket_folder(worker)
    worker.kill()
    assert processes.wait_until(lambda: processes.is_gone(group))
    left = [pid for pid in psutil.pids() if pid != group and os.getpgid(pid) == group]
    assert len(left) == 2  # the watcher and its cat: as long as they are there, so is the group
    owner.close()
    assert processes.wait_until(lambda: all(processes.is_gone(pid) for pid in left))
    assert not folder.exists()


def test_two_threads_start_one_worker(own):
    owner, started = own
    found = []
    threads = [threading.Thread(target=lambda: found.append(owner.get_channel())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(tiny.TIMEOUT)
    assert found[0] is found[1]
    assert len([child for child in started() if "tff-worker" in child.exe()]) == 1


def test_copies_of_rebuilt_environments_do_not_stay(monkeypatch, tmp_path, own):
    owner, started = own
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    owner.get_channel()
    (kept,) = (tmp_path / "fedlab" / "worker").iterdir()
    owner.close()
    long_ago = (0, time.time() - 90_000)
    part = f"0.87.0-5-7.fedlab-part-{'0' * 12}"
    for name, times in (("0.86.0-5-7", long_ago), (part, long_ago), ("0.88.0-5-7", None)):
        (kept.parent / f"tff-worker-{name}").touch()
        os.utime(kept.parent / f"tff-worker-{name}", times)
    os.utime(kept, long_ago)
    owner.get_channel()
    assert str(kept) in [child.exe() for child in started()]
    assert {path.name for path in kept.parent.iterdir()} == {kept.name, "tff-worker-0.88.0-5-7"}
    kept.unlink()  # 300 MB


# TFF takes seconds to import. The first kernel has it, which is asked to end; those that are killed,
# every other, have no say in it. The worker and what watches over it are the same without.
WITH_TFF = "from helpers import tiny; tiny.call_worker()"
WITHOUT_TFF = "from fedlab.runtime.native.worker import Worker; own = Worker(); own.get_channel()"


def test_a_kernel_restarted_ten_times_leaves_nothing_behind():
    manager, client = jupyter_client.manager.start_new_kernel(
        startup_timeout=tiny.TIMEOUT, kernel_name="python3", env=ENVIRONMENT
    )
    seen = []
    try:
        for restart in range(11):
            if restart:
                manager.restart_kernel(now=restart % 2 == 0)
                client.wait_for_ready(tiny.TIMEOUT)
            own = WITHOUT_TFF if restart else WITH_TFF
            code = f"import os\nfrom helpers import processes\n{own}\nw = processes.find_worker(os.getpid())"
            reply = client.execute_interactive(
                code,
                timeout=tiny.TIMEOUT,
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
        assert processes.wait_until(lambda pid=int(worker_pid): processes.is_gone(pid))
        assert processes.wait_until(lambda pid=int(watcher_pid): processes.is_gone(pid))
        assert processes.wait_until(lambda folder=folder: not os.path.exists(folder))
