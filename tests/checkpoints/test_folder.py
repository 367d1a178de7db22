"""A folder of checkpoints: any path, one run at a time, and only damage is called damage."""

import errno
import fcntl
import os
import resource
import subprocess
from pathlib import Path

import numpy as np
import pytest
from helpers import tiny

from fedlab.checkpoints import FOLDER_NAME, Checkpoints, FolderInUseError, SavedRun

STATE = (np.arange(3, dtype=np.float32), np.int64(1))


def save(folder, *round_nums):
    checkpoints = Checkpoints(folder)
    for round_num in round_nums:
        checkpoints.save(SavedRun(round_num, STATE, [{"round_num": round_num}], {}))
    checkpoints.close()


def load(folder, example=STATE):
    checkpoints = Checkpoints(folder)
    try:
        return checkpoints.load_latest(example)
    finally:
        checkpoints.close()


def names(folder):
    return sorted(path.name for path in (folder / FOLDER_NAME).iterdir())


@pytest.fixture
def saved(tmp_path):
    save(tmp_path, 1, 2)
    return tmp_path


@pytest.mark.parametrize(
    "name",
    ["run [2]", r"a\b", "*", "?", "{a,b}", "~", "$HOME", "-rf", "%s{0}", "new\nline", "写 é'\"", "a" * 250,
     b"\xff\xfe"],
)  # fmt: skip
@pytest.mark.filterwarnings("error")
def test_any_path_will_do(tmp_path, name):
    folder = tmp_path / os.fsdecode(name)
    save(folder, 1)
    assert load(folder).round_num == 1


def test_an_empty_folder_has_no_checkpoint(tmp_path):
    assert load(tmp_path) is None


def test_the_newest_is_that_of_the_largest_number(tmp_path):
    save(tmp_path, 9, 10, 8)
    assert load(tmp_path).round_num == 10
    save(tmp_path, 11)
    expected = [".made-by-fedlab", "lock", "round_10.npz", "round_11.npz", "round_9.npz"]
    assert names(tmp_path) == expected


@pytest.mark.parametrize("below", ["file/run", "file"])
def test_a_folder_that_cannot_be_made_is_named(tmp_path, below):
    (tmp_path / "file").write_text("kept")  # root may write anywhere, but not below a file
    with pytest.raises(NotADirectoryError, match=r"Cannot write checkpoints to .*file"):
        Checkpoints(tmp_path / below)
    with pytest.raises(FileNotFoundError, match="'/proc/1/run'"):
        Checkpoints("/proc/1/run")


def test_a_state_that_could_not_be_loaded_is_not_saved(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.load_latest(STATE)
    longer = (np.arange(4, dtype=np.float32), np.int64(1))
    with pytest.raises(ValueError, match=r"it holds 0 float32\[4\], this process 0 float32\[3\]"):
        checkpoints.save(SavedRun(1, longer, [], {}))
    checkpoints.close()
    assert names(tmp_path) == [".made-by-fedlab", "lock"]


# What is no damage


ERRORS = [
    OSError(number, os.strerror(number)) for number in (errno.EMFILE, errno.EACCES, errno.EIO)
]


@pytest.mark.parametrize("error", [*ERRORS, MemoryError()], ids=repr)
def test_what_is_no_damage_goes_up_as_it_is(saved, monkeypatch, error):
    before = names(saved)

    def fail(path):
        raise error

    checkpoints = Checkpoints(saved)
    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(type(error)) as caught:
        checkpoints.load_latest(STATE)
    assert caught.value is error
    assert "round_2.npz could not be read. Nothing was changed." in error.__notes__[0]
    assert names(saved) == before
    checkpoints.close()


def test_too_few_descriptors_are_no_damage(saved):
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    checkpoints = Checkpoints(saved)
    taken = [os.open("/dev/null", os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 1, limits[1]))
    try:
        with pytest.raises(OSError, match="Too many open files") as caught:
            checkpoints.load_latest(STATE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        os.close(taken[0])
    assert caught.value.errno == errno.EMFILE
    assert checkpoints.load_latest(STATE).round_num == 2
    checkpoints.close()


def test_a_full_disk_leaves_what_was_saved(saved, monkeypatch):
    before = names(saved)

    def fail(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        save(saved, 3)
    assert names(saved) == before


def test_a_checkpoint_of_the_old_format_is_named_and_left_alone(tmp_path):
    save(tmp_path)
    old = tmp_path / FOLDER_NAME / "round_4"
    old.mkdir()
    (old / "saved_model.pb").write_bytes(b"a program")
    with pytest.raises(
        ValueError, match=r"round_4 is a checkpoint of the old format, a TensorFlow"
    ):
        load(tmp_path)
    assert (old / "saved_model.pb").read_bytes() == b"a program"
    save(tmp_path, 1)
    assert load(tmp_path).round_num == 1


# The lock


def test_a_second_run_is_told_who_has_the_folder_and_removes_nothing(tmp_path):
    first = Checkpoints(tmp_path)
    part = tmp_path / FOLDER_NAME / "round_1.npz.fedlab-part-0123456789ab"
    part.write_bytes(b"just being written")
    with pytest.raises(
        FolderInUseError,
        match=rf"in use by process {os.getpid()} on .* since \d{{4}}-.*shut its kernel",
    ):
        Checkpoints(tmp_path)
    assert part.exists()
    first.close()
    first.close()  # does nothing more
    Checkpoints(tmp_path).close()
    assert not part.exists()


def test_the_lock_ends_with_its_process(tmp_path):
    code = f"""
    from fedlab.checkpoints import Checkpoints
    checkpoints = Checkpoints({str(tmp_path)!r})
    print("locked", flush=True)
    input()
    """
    with tiny.start(code, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(FolderInUseError, match=f"in use by process {holder.pid} on "):
            Checkpoints(tmp_path)
        holder.kill()
    Checkpoints(tmp_path).close()


def test_a_file_system_without_locks_is_told_once(saved, monkeypatch):
    def fail(*args):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", fail)
    part = saved / FOLDER_NAME / "round_3.npz.fedlab-part-0123456789ab"
    part.write_bytes(b"perhaps another run's")
    with pytest.warns(UserWarning, match="has no locks .No locks available.") as warned:
        assert load(saved).round_num == 2
    assert len(warned) == 1
    assert part.exists()


def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "thesis").write_text("dear to somebody")
    save(tmp_path)
    lock = tmp_path / FOLDER_NAME / "lock"
    lock.unlink()
    lock.symlink_to("../thesis")
    with pytest.raises(OSError, match="Cannot write checkpoints"):
        Checkpoints(tmp_path)
    assert (tmp_path / "thesis").read_text() == "dear to somebody"
