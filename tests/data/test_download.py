"""A packed file is unpacked, a download fetched: whole or not at all, and whoever waits sees why."""

import errno
import lzma
import os
import shutil
import socket
import time

import pytest
from helpers import serving, tiny

from fedlab import data
from fedlab.data import download

THREE_WAYS = ("Google's storage", "FEDLAB_EMNIST_URL", 'load("emnist", path=')
PACKINGS = {".xz": {}, ".lzma": {"format": lzma.FORMAT_ALONE}}


@pytest.fixture(autouse=True)
def any_disk_will_do(monkeypatch):
    monkeypatch.setattr(download, "ENOUGH_BYTES", 0)


# Unpacking


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


# A full disk


@pytest.fixture
def nearly_full(monkeypatch, any_disk_will_do):
    monkeypatch.setattr(download, "ENOUGH_BYTES", 6 * 10**9)
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)


def test_too_little_space_is_told_before_a_file_is_unpacked(whole, tmp_path, nearly_full):
    packed = tmp_path / "own.sqlite.xz"
    packed.write_bytes(lzma.compress(whole.read_bytes()))
    with pytest.raises(OSError, match=r"not enough space in .*cache \(0.0 GB free\).* cache_dir="):
        data.load_sqlite(packed, cache_dir=tmp_path / "cache")
    assert tiny.leftovers(tmp_path / "cache") == []


def test_too_little_space_is_told_before_anything_is_downloaded(tmp_path, nearly_full):
    with pytest.raises(OSError, match=r"not enough space .* needs 6 GB there: free some"):
        data.load_emnist(url="http://127.0.0.1:1/none.lzma", cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step, code", [("_download", errno.ENOSPC), ("_with_bar", errno.EDQUOT)])
def test_a_disk_that_fills_up_is_not_called_a_failed_download(
    server, tmp_path, monkeypatch, step, code
):
    def fill(*args):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(download, step, fill)
    with pytest.raises(OSError, match="not enough space") as caught:
        data.load_emnist(url=server.url, cache_dir=tmp_path)
    assert not isinstance(caught.value, ConnectionError)
    assert list(tmp_path.iterdir()) == []


# Downloading


@pytest.fixture(scope="module")
def packed_bytes(whole):
    return lzma.compress(whole.read_bytes(), format=lzma.FORMAT_ALONE)


@pytest.fixture
def server(packed_bytes, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("FEDLAB_EMNIST_URL", raising=False)
    with serving.serve(packed_bytes) as server:
        yield server


def test_downloads_once(server, tmp_path):
    for _ in range(2):
        train, test = data.load_emnist(url=server.url, cache_dir=tmp_path / "deep" / "cache")
        tiny.assert_holds(train, tiny.TRAIN)
        tiny.assert_holds(test, tiny.TEST)
    assert server.num_requests == 1
    assert tiny.leftovers(tmp_path / "deep" / "cache") == []


def test_the_variable_names_a_mirror(server, tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLAB_EMNIST_URL", server.url)
    tiny.assert_holds(data.load("emnist", cache_dir=tmp_path).train, tiny.TRAIN)
    assert server.num_requests == 1


def test_google_s_storage_is_asked_where_no_mirror_is_named(monkeypatch, tmp_path, packed_bytes):
    asked = []
    monkeypatch.setattr(
        download,
        "_download",
        lambda url, target: (asked.append(url), target.write_bytes(packed_bytes)),
    )
    monkeypatch.delenv("FEDLAB_EMNIST_URL", raising=False)
    data.load_emnist(cache_dir=tmp_path)
    assert asked == ["https://storage.googleapis.com/tff-datasets-public/emnist_all.sqlite.lzma"]


FAILURES = {
    "cut_short": (ConnectionError, lambda good: {"content": good[:500], "claimed": len(good)}),
    "not_found": (ConnectionError, lambda good: {"content": b"no", "status": 404}),
    "server_error": (ConnectionError, lambda good: {"content": b"", "status": 503}),
    "sign_in_page": (ValueError, lambda good: {"content": b"<html>Sign in</html>"}),
    "nothing": (ValueError, lambda good: {"content": b""}),
    "cut_before_upload": (ValueError, lambda good: {"content": good[: len(good) // 2]}),
    "another_file": (ValueError, lambda good: {"content": lzma.compress(b"another" * 99)}),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failed_download_names_the_ways_leaves_nothing_and_can_be_tried_again(
    server, packed_bytes, tmp_path, failure
):
    error, build_answer = FAILURES[failure]
    server.answer(**build_answer(packed_bytes))
    with pytest.raises(error) as caught:
        data.load_emnist(url=server.url, cache_dir=tmp_path)
    assert server.url in str(caught.value)
    assert all(way in str(caught.value) for way in THREE_WAYS)
    assert list(tmp_path.iterdir()) == []
    server.answer(packed_bytes)
    tiny.assert_holds(data.load_emnist(url=server.url, cache_dir=tmp_path)[0], tiny.TRAIN)


def test_a_refused_connection_names_the_ways(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as bound:  # bound and not listening: nobody answers here
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/{tiny.NAME}.lzma"
        with pytest.raises(ConnectionError) as caught:
            data.load_emnist(url=url, cache_dir=tmp_path)
    assert all(way in str(caught.value) for way in (url, *THREE_WAYS))
    assert list(tmp_path.iterdir()) == []


def test_a_download_cut_short_by_someone_else_is_told_with_the_remedy(whole, tmp_path):
    cached = tmp_path / tiny.NAME  # as TFF's own loader leaves it
    cached.write_bytes(whole.read_bytes()[:5000])
    with pytest.raises(
        ValueError, match=rf"{tiny.NAME} is cut off: 5000 of \d+ bytes.*[Dd]elete it"
    ):
        data.load_emnist(cache_dir=tmp_path)
    assert cached.stat().st_size == 5000  # the learner's to delete
