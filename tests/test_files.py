"""Files are whole or not there, links and modes stay, and what a killed process left goes."""

import contextlib
import os
import pwd
import socket
import stat
import time
from pathlib import Path

import platformdirs
import pytest

from fedlab import files


def test_what_is_written_beside_takes_the_name_only_if_all_went_well(tmp_path):
    target = tmp_path / "result.csv"
    with files.written_beside(target) as part:
        part.write_text("first")
        assert not target.exists()
    assert target.read_text() == "first"
    with contextlib.suppress(KeyboardInterrupt), files.written_beside(target) as part:
        part.write_text("half")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["result.csv"]
    assert target.read_text() == "first"


def test_write_text_makes_the_folder_and_a_file_as_any_other(tmp_path):
    target, plain = tmp_path / "new" / "a.csv", tmp_path / "plain"
    files.write_text(target, "1")
    plain.touch()
    assert target.stat().st_mode == plain.stat().st_mode


def test_removes_what_nobody_touched_for_a_day(tmp_path):
    for name in ("part-old", "part-new", "kept-old", "part-old-kept"):
        (tmp_path / name).touch()
    (tmp_path / "part-folder").mkdir()
    (tmp_path / "part-link").symlink_to("kept-old")
    for name in ("part-old", "kept-old", "part-folder", "part-link", "part-old-kept"):
        os.utime(tmp_path / name, (0, time.time() - 90_000), follow_symlinks=False)
    files.remove_abandoned(tmp_path, "part-[a-z]+")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "kept-old", "part-folder", "part-link", "part-new", "part-old-kept",
    ]  # fmt: skip


def test_another_process_may_remove_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "iterdir", lambda self: [tmp_path / "gone"])
    files.remove_abandoned(tmp_path, ".*")


def test_the_cache_is_the_platform_s(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert files.cache_dir() == tmp_path / "fedlab" == Path(platformdirs.user_cache_dir("fedlab"))


def test_without_a_home_there_is_no_cache(monkeypatch):
    def find_nobody(uid):
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", find_nobody)
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(FileNotFoundError, match="no home folder. Set the variable XDG_CACHE_HOME"):
        files.cache_dir()


# What this user alone may change


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "folder" / "file"
    path.parent.mkdir(mode=0o700)
    path.write_text("own")
    return path


def link_the_file(path):
    path.rename(path.with_name("target"))
    path.symlink_to("target")


def link_the_folder(path):
    path.parent.rename(path.parent.with_name("target"))
    path.parent.symlink_to("target")


SPOILT = {
    "file others may write": lambda path: path.chmod(0o602),
    "file the group may write": lambda path: path.chmod(0o620),
    "folder others may write": lambda path: path.parent.chmod(0o702),
    "folder the group may write": lambda path: path.parent.chmod(0o720),
    "linked file": link_the_file,
    "linked folder": link_the_folder,
    "pipe": lambda path: [path.unlink(), os.mkfifo(path)],
    "folder in its place": lambda path: [path.unlink(), path.mkdir()],
    "nothing": Path.unlink,
}


@pytest.mark.parametrize("how", SPOILT)
def test_what_others_may_change_is_not_opened(own, how):
    files.open_ours(own).close()
    SPOILT[how](own)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError):
        files.open_ours(own)
    assert os.listdir("/proc/self/fd") == before


def test_another_user_s_file_is_not_opened(own, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: own.stat().st_uid + 1)
    with pytest.raises(PermissionError, match="is another user's, or others may write to it"):
        files.open_ours(own)
    with pytest.raises(PermissionError, match="is another user's, or others may write to it"):
        files.make_own_folder(own.parent)


def test_what_is_open_is_what_was_checked(own):
    with files.open_ours(own) as file:
        own.unlink()
        own.write_text("exchanged")
        assert file.read() == b"own"


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o077])
def test_new_folders_are_this_user_s_alone_whatever_the_umask(tmp_path, umask):
    tmp_path.chmod(0o755)
    before = os.umask(umask)
    try:
        files.make_own_folder(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(before)
    made = [tmp_path / name for name in ("", "a", "a/b", "a/b/c")]
    assert [stat.S_IMODE(path.stat().st_mode) for path in made] == [0o755, 0o700, 0o700, 0o700]


@pytest.mark.parametrize(
    "how", ["folder others may write", "folder the group may write", "linked folder"]
)
def test_a_folder_that_is_not_this_user_s_alone_is_refused_and_stays(own, how):
    SPOILT[how](own)
    before = own.parent.lstat()
    with pytest.raises(OSError, match="others may write to it|is a symbolic link"):
        files.make_own_folder(own.parent)
    assert own.parent.lstat() == before


# What is written over


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    return path


def test_a_symbolic_link_stays_and_its_target_is_written(tmp_path, target):
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link"
    link.symlink_to("../file")
    files.write_text(link, "new")
    assert os.readlink(link) == "../file"
    assert target.read_text() == "new"
    assert not target.is_symlink()
    assert os.listdir(tmp_path / "elsewhere") == ["link"]


def test_a_link_to_a_file_that_does_not_exist_makes_that_file(tmp_path):
    (tmp_path / "link").symlink_to("new/file")
    files.write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "new" / "file").read_text() == "new"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o666])
def test_the_mode_is_kept(target, mode):
    target.chmod(mode)
    files.write_text(target, "new")
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == mode


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


SPECIAL = {
    "folder": lambda path: path.mkdir(),
    "fifo": os.mkfifo,
    "socket": make_socket,
    "loop": lambda path: path.symlink_to(path.name),
    "link to a fifo": lambda path: [os.mkfifo(f"{path}.fifo"), path.symlink_to(f"{path}.fifo")],
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_regular_file_is_refused(tmp_path, kind):
    SPECIAL[kind](tmp_path / "s")
    before = [(path.name, path.lstat()) for path in tmp_path.iterdir()]
    with pytest.raises(ValueError, match=r"/s is not a regular file"):
        files.write_text(tmp_path / "s", "new")
    assert [(path.name, path.lstat()) for path in tmp_path.iterdir()] == before


def test_another_user_s_file_is_refused(tmp_path, target, monkeypatch):
    uid = target.stat().st_uid
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    with pytest.raises(PermissionError, match="file belongs to another user or is read-only"):
        files.write_text(target, "new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"file": "old"}


def test_a_read_only_file_is_refused(tmp_path, target, monkeypatch):
    target.chmod(0o444)
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # root may write any file
    with pytest.raises(PermissionError, match="is read-only. It was left as it is"):
        files.write_text(target, "new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"file": "old"}


def test_a_device_is_refused(target, monkeypatch):
    # No real device: what a mistake would replace is not the test's.
    status = list(target.lstat())
    status[0] = stat.S_IFCHR | 0o666
    monkeypatch.setattr(Path, "lstat", lambda self: os.stat_result(status))
    with pytest.raises(ValueError, match="is not a regular file"):
        files.write_text(target, "new")
    assert target.read_text() == "old"
