"""Files are whole or not there, and what a killed process left goes the next day."""

import contextlib
import os
import time
from pathlib import Path

import platformdirs

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
    for name in ("part-old", "part-new", "kept-old"):
        (tmp_path / name).touch()
    (tmp_path / "part-folder").mkdir()
    (tmp_path / "part-folder" / "file").touch()
    for name in ("part-old", "kept-old", "part-folder"):
        os.utime(tmp_path / name, (0, time.time() - 90_000))
    files.remove_abandoned(tmp_path, "part-*")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept-old", "part-new"]


def test_another_process_may_remove_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "glob", lambda self, pattern: [tmp_path / "gone"])
    files.remove_abandoned(tmp_path, "*")


def test_the_cache_is_the_platform_s(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert files.cache_dir() == tmp_path / "fedlab" == Path(platformdirs.user_cache_dir("fedlab"))
