"""A packed file is unpacked whole and checked, or not at all."""

import lzma
import os
import time

import pytest
from helpers import tiny

from fedlab import data
from fedlab.data import download

PACKINGS = {".xz": {}, ".lzma": {"format": lzma.FORMAT_ALONE}}


@pytest.fixture(autouse=True)
def any_disk_will_do(monkeypatch):
    monkeypatch.setattr(download, "ENOUGH_BYTES", 0)


@pytest.mark.parametrize("suffix, options", PACKINGS.items())
def test_unpacks_a_packed_file_once(whole, tmp_path, suffix, options):
    packed = tmp_path / (tiny.NAME + suffix)
    packed.write_bytes(lzma.compress(whole.read_bytes(), **options))
    cache = tmp_path / "cache"
    for _ in range(2):
        train, _ = data.load_emnist(path=packed, cache_dir=cache)
        tiny.assert_holds(train, tiny.TRAIN)
        (unpacked,) = cache.iterdir()
        unpacked.chmod(0o400)  # a second unpacking would bring a new file
    assert unpacked.stat().st_mode & 0o777 == 0o400


def test_another_file_of_the_same_name_is_unpacked_too(whole, tmp_path):
    other = tmp_path / "other.sqlite"
    tiny.write_sqlite(other, digits_only_train=tiny.TEST, digits_only_test=tiny.TEST)
    for source, expected in ((whole, tiny.TRAIN), (other, tiny.TEST)):
        packed = tmp_path / "own.sqlite.xz"
        packed.write_bytes(lzma.compress(source.read_bytes()))
        tiny.assert_holds(data.load_sqlite(packed, cache_dir=tmp_path / "cache")[0], expected)


@pytest.mark.parametrize("suffix", PACKINGS)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_a_cut_off_packed_file_is_told_and_leaves_nothing(whole, tmp_path, suffix, share):
    packed, cache = tmp_path / f"own{suffix}", tmp_path / "cache"
    content = lzma.compress(whole.read_bytes(), **PACKINGS[suffix])
    packed.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=f"own{suffix} is cut off or damaged"):
        data.load_sqlite(packed, cache_dir=cache)
    assert tiny.leftovers(cache) == []


@pytest.mark.parametrize("suffix", PACKINGS)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_flipped_bytes_in_a_packed_file_are_told(whole, tmp_path, suffix, share):
    packed, cache = tmp_path / f"own{suffix}", tmp_path / "cache"
    content = bytearray(lzma.compress(whole.read_bytes(), **PACKINGS[suffix]))
    start = int(share * len(content))
    content[start : start + 8] = bytes(byte ^ 0xFF for byte in content[start : start + 8])
    packed.write_bytes(content)
    with pytest.raises(ValueError, match=rf"own\{suffix} is (cut off|damaged|not an SQLite)"):
        tiny.read_all(packed, cache_dir=cache)
    assert tiny.leftovers(cache) == []


def test_a_packed_file_that_holds_something_else_leaves_nothing(tmp_path):
    packed = tmp_path / "own.xz"
    packed.write_bytes(lzma.compress(b"not a data set" * 100))
    with pytest.raises(ValueError, match=r"own\.xz.* not an SQLite file"):
        data.load_sqlite(packed, cache_dir=tmp_path / "cache")
    assert tiny.leftovers(tmp_path / "cache") == []


def test_the_bar_shows_how_much_of_the_packed_file_is_read(whole, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(download, "_BAR_AFTER_SECONDS", 0)
    packed = tmp_path / "own.sqlite.xz"
    packed.write_bytes(lzma.compress(whole.read_bytes()))
    data.load_sqlite(packed, cache_dir=tmp_path / "cache")
    last = capfd.readouterr().err.rpartition("\r")[2]
    assert "Unpacking own.sqlite.xz: 100%" in last


def test_what_a_killed_attempt_left_goes_the_next_day(whole, tmp_path):
    packed = tmp_path / "own.sqlite.xz"
    packed.write_bytes(lzma.compress(whole.read_bytes()))
    cache = tmp_path / "cache"
    cache.mkdir()
    old, new = (f"other-{'0' * 16}.sqlite.fedlab-part-{digit * 12}" for digit in "01")
    for name in (old, new):
        (cache / name).touch()
    os.utime(cache / old, (0, time.time() - 90_000))
    data.load_sqlite(packed, cache_dir=cache)
    assert [path.name for path in cache.glob("*part-*")] == [new]
