"""Two runs do not work in one folder, and whoever comes second is told who was first."""

import fcntl
import os
import threading
import time

import pytest

from fedlab.checkpoints import FolderInUseError
from fedlab.checkpoints.lock import lock_folder, unlock_folder


@pytest.fixture
def hold(tmp_path):
    """Takes the lock as somebody else, with a text in it."""

    def take(text):
        other = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
        fcntl.flock(other, fcntl.LOCK_EX)
        os.pwrite(other, text, 0)
        return other

    return take


def later(function):
    def run():
        time.sleep(0.3)
        function()

    threading.Thread(target=run).start()


def test_whoever_has_the_lock_is_named(tmp_path, hold):
    hold(b"process 7 on here\n")
    with pytest.raises(FolderInUseError, match="in use by process 7 on here. Wait"):
        lock_folder(tmp_path)


def test_a_holder_who_is_about_to_write_its_name_is_waited_for(tmp_path, hold):
    other = hold(b"")
    later(lambda: os.pwrite(other, b"process 8 on here\n", 0))
    with pytest.raises(FolderInUseError, match="in use by process 8 on here"):
        lock_folder(tmp_path)


def test_a_holder_who_is_about_to_let_go_is_waited_for(tmp_path, hold):
    other = hold(b"")  # it has taken its name out
    later(lambda: os.close(other))
    unlock_folder(lock_folder(tmp_path))


def test_a_holder_who_never_writes_its_name_is_somebody_else(tmp_path, hold):
    hold(b"")
    with pytest.raises(FolderInUseError, match="in use by another process"):
        lock_folder(tmp_path)
