"""The SQLite file: read as TFF reads it, fetched whole or not at all, and told when it is damaged."""

import contextlib
import http.server
import lzma
import socket
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow_federated as tff
import tiny

from fedlab import datasets
from fedlab.datasets import emnist
from fedlab.datasets.client_data import MemoryClientData

TRAIN, TEST = tiny.create_data(3, 12, 7), tiny.create_data(1, 2, 4)
NAME = "emnist_all.sqlite"
THREE_WAYS = ("Google's storage", "FEDLAB_EMNIST_URL", 'load("emnist", path=')


def writer_digits() -> Path:
    for parent in Path(__file__).resolve().parents:
        path = parent / "shared/data/writer-digits/emnist_all.sqlite.lzma"
        if path.exists():
            return path
    pytest.skip("The writer digits (../shared/data) are for development and are not here.")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / NAME
    tiny.write_sqlite(path, digits_only_train=TRAIN, digits_only_test=TEST)
    return path


@pytest.fixture
def copy(whole, tmp_path):
    """A copy that a test may damage."""
    path = tmp_path / "copy.sqlite"
    path.write_bytes(whole.read_bytes())
    return path


def assert_holds(data, expected):
    assert data.client_ids == expected.client_ids
    for client_id in expected.client_ids:
        assert tiny.same_bits(data.examples(client_id), expected.examples(client_id))


def assert_reads_as_tff(data, tffs_own, client_ids):
    assert data.client_ids == tffs_own.client_ids
    for client_id in client_ids:
        ours = data.create_tf_dataset_for_client(client_id).as_numpy_iterator()
        theirs = tffs_own.create_tf_dataset_for_client(client_id).as_numpy_iterator()
        for mine, their in zip(ours, theirs, strict=True):
            assert list(mine) == list(their) == ["label", "pixels"]
            assert tiny.same_bits(mine, their)
            assert mine["pixels"].dtype == their["pixels"].dtype
            assert mine["label"].dtype == their["label"].dtype


def leftovers(folder):
    return [path.name for path in folder.rglob("*") if path.name != NAME]


# Reading


def test_reads_what_was_written(whole):
    train, test = datasets.load_sqlite(whole)
    assert_holds(train, TRAIN)
    assert_holds(test, TEST)


def test_reads_as_tff_does(whole):
    ours = datasets.load_emnist(cache_dir=whole.parent)
    theirs = tff.simulation.datasets.emnist.load_data(cache_dir=str(whole.parent))
    for data, tffs_own in zip(ours, theirs, strict=True):
        assert_reads_as_tff(data, tffs_own, data.client_ids)


def test_reads_a_file_that_tff_has_saved(tmp_path):
    path = tmp_path / "saved.sqlite"
    tff.simulation.datasets.save_to_sql_client_data(
        TRAIN.client_ids,
        TRAIN.create_tf_dataset_for_client,
        str(path),
        split_names_by_client_id={"c0": "mine", "c1": "yours", "c2": "mine"},
    )
    mine, yours = datasets.load_sqlite(path, splits=("mine", "yours"))
    assert_holds(mine, TRAIN.select(["c0", "c2"]))
    assert_holds(yours, TRAIN.select(["c1"]))


def test_letters_are_in_the_other_splits(tmp_path):
    letters = MemoryClientData(
        ["ann"], lambda client_id: tiny.create_examples(2)._replace(labels=np.array([61, 7])), 62
    )
    path = tmp_path / NAME
    tiny.write_sqlite(path, all_train=letters, all_test=letters, digits_only_train=TRAIN)
    train, _ = datasets.load_emnist(path=path, only_digits=False)
    assert train.num_classes == 62
    assert_holds(train, letters)


@pytest.mark.parametrize("suffix, options", [(".xz", {}), (".lzma", {"format": lzma.FORMAT_ALONE})])
def test_unpacks_a_packed_file_once(whole, tmp_path, suffix, options):
    packed = tmp_path / (NAME + suffix)
    packed.write_bytes(lzma.compress(whole.read_bytes(), **options))
    cache = tmp_path / "cache"
    for _ in range(2):
        train, _ = datasets.load_emnist(path=packed, cache_dir=cache)
        assert_holds(train, TRAIN)
        (unpacked,) = cache.iterdir()
        unpacked.chmod(0o400)  # a second unpacking would bring a new file
    assert unpacked.stat().st_mode & 0o777 == 0o400


def test_another_file_of_the_same_name_is_unpacked_too(whole, tmp_path):
    other = tmp_path / "other.sqlite"
    tiny.write_sqlite(other, digits_only_train=TEST, digits_only_test=TEST)
    for source, expected in ((whole, TRAIN), (other, TEST)):
        packed = tmp_path / "own.sqlite.xz"
        packed.write_bytes(lzma.compress(source.read_bytes()))
        assert_holds(datasets.load_sqlite(packed, cache_dir=tmp_path / "cache")[0], expected)


def test_the_writer_digits_are_what_their_readme_says(tmp_path):
    train, test = datasets.load_sqlite(writer_digits(), cache_dir=tmp_path)
    (unpacked,) = tmp_path.iterdir()
    assert train.client_ids == test.client_ids
    assert len(train.client_ids) == 640
    assert train.client_ids == sorted(train.client_ids)
    assert train.client_ids[0].startswith("w")
    with sqlite3.connect(unpacked) as connection:
        query = "SELECT split_name, sum(num_examples) FROM client_metadata GROUP BY split_name"
        assert dict(connection.execute(query)) == {
            "digits_only_train": 48_860,
            "digits_only_test": 5_423,
        }
    unpacked.rename(tmp_path / NAME)
    theirs = tff.simulation.datasets.emnist.load_data(cache_dir=str(tmp_path))
    for data, tffs_own in zip(datasets.load_emnist(cache_dir=tmp_path), theirs, strict=True):
        assert_reads_as_tff(data, tffs_own, data.client_ids[:300:100])


# Damage


def read_all(path, **options):
    for data in datasets.load_sqlite(path, **options):
        for client_id in data.client_ids:
            data.examples(client_id)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.999])
def test_a_cut_off_file_is_told(copy, share):
    copy.write_bytes(copy.read_bytes()[: int(share * copy.stat().st_size)])
    with pytest.raises(ValueError, match=r"copy.sqlite is (cut off|not an SQLite file)"):
        datasets.load_sqlite(copy)


@pytest.mark.parametrize(
    "content", [b"", b"<html>Sign in</html>", b"PK\x03\x04" * 50, b"SQLite format 3\0" + b"\0" * 90]
)
def test_a_file_that_is_not_sqlite_is_told(tmp_path, content):
    path = tmp_path / "own.sqlite"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"own.sqlite is (not|damaged)"):
        datasets.load_sqlite(path)


def test_overwritten_pages_are_told(copy):
    content = bytearray(copy.read_bytes())
    content[4096:] = b"\x5a" * len(content[4096:])
    copy.write_bytes(content)
    with pytest.raises(ValueError, match=r"copy.sqlite is damaged"):
        read_all(copy)


def test_a_folder_or_nothing_is_not_a_file(tmp_path):
    for path in (tmp_path, tmp_path / "nothing.sqlite"):
        with pytest.raises(FileNotFoundError, match=str(path)):
            datasets.load_sqlite(path)


def test_other_tables_are_told_what_is_expected(tmp_path):
    path = tmp_path / "own.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE examples (writer TEXT)")
    with pytest.raises(ValueError, match=r"own.sqlite is not in the format.*'examples'.*'writer'"):
        datasets.load_sqlite(path)


def test_a_missing_split_is_told_what_there_is(copy):
    with pytest.raises(ValueError, match="no split 'all_train'. It has: digits_only_test, digits_"):
        datasets.load_emnist(path=copy, only_digits=False)


def execute(path, statement, *values):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


@pytest.mark.parametrize(
    "statement, values, message",
    [
        ("DELETE FROM examples WHERE client_id = 'c1'", (), "'c1' has no examples"),
        (
            "UPDATE examples SET serialized_example_proto = ? WHERE client_id = 'c1'",
            (b"\x0a\xff\xff",),
            "'c1' in .*copy.sqlite: an example is not",
        ),
        (
            "UPDATE examples SET serialized_example_proto = ? WHERE client_id = 'c1'",
            (tiny.example_proto(np.zeros(64), 3),),
            "'c1' in .*copy.sqlite: an example is not",
        ),
        (
            "UPDATE examples SET serialized_example_proto = ? WHERE client_id = 'c1'",
            (tiny.example_proto(np.zeros((28, 28)), 12),),
            "'c1': labels must lie between 0 and 9. Found 12",
        ),
        (
            "UPDATE examples SET serialized_example_proto = ? WHERE client_id = 'c1'",
            (tiny.example_proto(np.full((28, 28), np.nan), 1),),
            "'c1': pixels must be finite",
        ),
        (
            "UPDATE examples SET serialized_example_proto = 'text' WHERE client_id = 'c1'",
            (),
            "'c1' in .*copy.sqlite: an example is not",
        ),
    ],
    ids=["no_example", "cut_proto", "shape", "label", "nan", "text"],
)
def test_a_damaged_client_is_named_and_the_others_can_be_read(copy, statement, values, message):
    execute(copy, statement, *values)
    train, _ = datasets.load_sqlite(copy)
    with pytest.raises(ValueError, match=message):
        train.create_tf_dataset_for_client("c1")
    assert tiny.same_bits(train.examples("c2"), TRAIN.examples("c2"))


PACKINGS = {".xz": {}, ".lzma": {"format": lzma.FORMAT_ALONE}}


@pytest.mark.parametrize("suffix", PACKINGS)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_a_cut_off_packed_file_is_told_and_leaves_nothing(whole, tmp_path, suffix, share):
    packed, cache = tmp_path / f"own{suffix}", tmp_path / "cache"
    content = lzma.compress(whole.read_bytes(), **PACKINGS[suffix])
    packed.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=f"own{suffix} is cut off or damaged"):
        datasets.load_sqlite(packed, cache_dir=cache)
    assert leftovers(cache) == []


@pytest.mark.parametrize("suffix", PACKINGS)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_flipped_bytes_in_a_packed_file_are_told(whole, tmp_path, suffix, share):
    packed, cache = tmp_path / f"own{suffix}", tmp_path / "cache"
    content = bytearray(lzma.compress(whole.read_bytes(), **PACKINGS[suffix]))
    start = int(share * len(content))
    content[start : start + 8] = bytes(byte ^ 0xFF for byte in content[start : start + 8])
    packed.write_bytes(content)
    with pytest.raises(ValueError, match=rf"own\{suffix} is (cut off|damaged|not an SQLite)"):
        read_all(packed, cache_dir=cache)
    assert leftovers(cache) == []


def test_a_packed_file_that_holds_something_else_leaves_nothing(tmp_path):
    packed = tmp_path / "own.xz"
    packed.write_bytes(lzma.compress(b"not a data set" * 100))
    with pytest.raises(ValueError, match=r"own\.xz.* not an SQLite file"):
        datasets.load_sqlite(packed, cache_dir=tmp_path / "cache")
    assert leftovers(tmp_path / "cache") == []


# Downloading


class Server:
    """Serves one answer on the loopback interface, and counts the requests."""

    def __init__(self, content: bytes):
        self.content, self.status, self.claimed = content, 200, len(content)
        self.num_requests = 0
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.num_requests += 1
                self.send_response(server.status)
                self.send_header("Content-Length", str(server.claimed))
                self.end_headers()
                self.wfile.write(server.content)

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/{NAME}.lzma"

    def answer(self, content: bytes, *, status: int = 200, claimed: int | None = None):
        self.content, self.status, self.claimed = content, status, claimed or len(content)


@pytest.fixture(scope="module")
def packed_bytes(whole):
    return lzma.compress(whole.read_bytes(), format=lzma.FORMAT_ALONE)


@pytest.fixture
def server(packed_bytes, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("FEDLAB_EMNIST_URL", raising=False)
    server = Server(packed_bytes)
    thread = threading.Thread(target=server.http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()


def test_downloads_once(server, tmp_path):
    for _ in range(2):
        train, test = datasets.load_emnist(url=server.url, cache_dir=tmp_path / "deep" / "cache")
        assert_holds(train, TRAIN)
        assert_holds(test, TEST)
    assert server.num_requests == 1
    assert leftovers(tmp_path / "deep" / "cache") == []


def test_the_variable_names_a_mirror(server, tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLAB_EMNIST_URL", server.url)
    assert_holds(datasets.load("emnist", cache_dir=tmp_path)[0], TRAIN)
    assert server.num_requests == 1


def test_google_s_storage_is_asked_where_no_mirror_is_named(monkeypatch, tmp_path, packed_bytes):
    asked = []
    monkeypatch.setattr(
        emnist.fetch,
        "_download",
        lambda url, target: (asked.append(url), target.write_bytes(packed_bytes)),
    )
    monkeypatch.delenv("FEDLAB_EMNIST_URL", raising=False)
    datasets.load_emnist(cache_dir=tmp_path)
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
        datasets.load_emnist(url=server.url, cache_dir=tmp_path)
    assert server.url in str(caught.value)
    assert all(way in str(caught.value) for way in THREE_WAYS)
    assert list(tmp_path.iterdir()) == []
    server.answer(packed_bytes)
    assert_holds(datasets.load_emnist(url=server.url, cache_dir=tmp_path)[0], TRAIN)


def test_a_refused_connection_names_the_ways(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as bound:  # bound and not listening: nobody answers here
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/{NAME}.lzma"
        with pytest.raises(ConnectionError) as caught:
            datasets.load_emnist(url=url, cache_dir=tmp_path)
    assert all(way in str(caught.value) for way in (url, *THREE_WAYS))
    assert list(tmp_path.iterdir()) == []


def test_a_download_cut_short_by_someone_else_is_told_with_the_remedy(whole, tmp_path):
    cached = tmp_path / NAME  # as TFF's own loader leaves it
    cached.write_bytes(whole.read_bytes()[:5000])
    with pytest.raises(ValueError, match=rf"{NAME} is cut off: 5000 of \d+ bytes.*[Dd]elete it"):
        datasets.load_emnist(cache_dir=tmp_path)
    assert cached.stat().st_size == 5000  # the learner's to delete
