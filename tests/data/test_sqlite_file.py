"""A stranger's SQLite file: only stored values of plain tables are read, in bounded time and memory."""

import contextlib
import os
import signal
import sqlite3
import threading
import time

import pytest
from helpers import tiny

from fedlab import data
from fedlab.data import emnist, sqlite_file

ENDLESS = "WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k FROM n) SELECT"
REFUSED = "own.sqlite is (not in the format.*Only plain tables are read|damaged .malformed)"


def execute(path, *statements):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


@pytest.fixture
def copy(whole, tmp_path):
    """A copy that a test may change."""
    path = tmp_path / "own.sqlite"
    path.write_bytes(whole.read_bytes())
    return path


# What is no plain table


FORGED = {
    "view": (
        "DROP TABLE client_metadata",
        "CREATE VIEW client_metadata AS "
        f"{ENDLESS} 'c' AS client_id, 'digits_only_train' AS split_name, 1 AS num_examples FROM n",
    ),
    "view that calls itself a table": (
        "DROP TABLE examples",
        "PRAGMA writable_schema = ON",
        "INSERT INTO sqlite_master VALUES ('table', 'examples', 'examples', 0, 'CREATE VIEW "
        f"examples AS {ENDLESS} 1 AS client_id, 1 AS split_name, 1 AS serialized_example_proto "
        "FROM n')",
    ),
    "virtual table": (
        "DROP TABLE client_metadata",
        "CREATE VIRTUAL TABLE client_metadata USING fts4(client_id, split_name, num_examples)",
    ),
    "computed column": (
        "ALTER TABLE client_metadata ADD COLUMN x TEXT AS (hex(zeroblob(num_examples * 400000)))",
    ),
}


@pytest.mark.parametrize("kind", FORGED)
def test_what_is_no_plain_table_is_refused(copy, kind):
    execute(copy, *FORGED[kind])
    with pytest.raises(ValueError, match=REFUSED):
        data.load_sqlite(copy)


def test_the_schema_may_not_call_what_has_side_effects(copy):
    with sqlite_file.open_read_only(copy) as connection:
        assert connection.execute("PRAGMA trusted_schema").fetchone() == (0,)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM examples")


@pytest.mark.parametrize("name", ["a b?mode=rwc#x.sqlite", "%41.sqlite", "é'\".sqlite"])
def test_a_name_is_no_part_of_the_address(copy, name):
    path = copy.rename(copy.with_name(name))
    tiny.assert_holds(data.load_sqlite(path)[0], tiny.TRAIN)
    assert os.listdir(path.parent) == [name]


# Values of other types


VALUES = {"blob": "x'ff00'", "null": "NULL", "number": "7", "no UTF-8": "CAST(x'c3' AS TEXT)"}


def without_types(path):
    """Makes the columns take values of any type."""
    for table, last in (
        ("examples", "serialized_example_proto"),
        ("client_metadata", "num_examples"),
    ):
        execute(
            path,
            "CREATE TABLE other AS SELECT +client_id AS client_id, +split_name AS split_name, "
            f"+{last} AS {last} FROM {table} ORDER BY rowid",
            f"DROP TABLE {table}",
            f"ALTER TABLE other RENAME TO {table}",
        )


@pytest.mark.parametrize("kind", VALUES)
def test_an_id_that_is_no_text_is_refused(copy, kind):
    without_types(copy)
    execute(copy, f"UPDATE client_metadata SET client_id = {VALUES[kind]} WHERE client_id = 'c1'")
    message = "damaged .*decode" if kind == "no UTF-8" else "a client id must be text of at most 80"
    with pytest.raises(ValueError, match=f"own.sqlite.*{message}"):
        data.load_sqlite(copy)


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("which", ["client_id = 'c1'", "client_id = 'c1' AND rowid % 2"])
def test_an_example_that_is_no_bytes_is_refused(copy, kind, which):
    without_types(copy)
    execute(copy, f"UPDATE examples SET serialized_example_proto = {VALUES[kind]} WHERE {which}")
    train, _ = data.load_sqlite(copy)
    message = "own.sqlite is damaged" if kind == "no UTF-8" else "'c1' in .*own.sqlite: an example"
    with pytest.raises(ValueError, match=message):
        train.examples("c1")
    assert tiny.same_bits(train.examples("c2"), tiny.TRAIN.examples("c2"))


@pytest.mark.parametrize("kind", VALUES)
def test_a_split_s_name_may_be_anything(copy, kind):
    without_types(copy)
    execute(copy, f"UPDATE client_metadata SET split_name = {VALUES[kind]} WHERE client_id = 'c1'")
    with pytest.raises(ValueError, match="It has: digits_only_test|is damaged .*decode"):
        data.load_sqlite(copy, splits=["none"])


# Text of the file in messages


LONG = "x" * 70_000
LONG_TEXTS = {
    "id": f"UPDATE client_metadata SET client_id = '{LONG}' WHERE client_id = 'c1'",
    "huge id": "UPDATE client_metadata SET client_id = hex(zeroblob(5000000))",
    "split": f"UPDATE client_metadata SET split_name = char(27) || '{LONG}'",
    "column": f'ALTER TABLE client_metadata RENAME COLUMN client_id TO "{LONG}"',
    "no UTF-8": f"UPDATE client_metadata SET client_id = '{LONG}' || CAST(x'c3' AS TEXT)",
}


@pytest.mark.parametrize("kind", LONG_TEXTS)
def test_a_message_quotes_at_most_80_characters_of_the_file(copy, kind):
    execute(copy, LONG_TEXTS[kind])
    with pytest.raises(ValueError, match="own.sqlite") as caught:
        data.load_sqlite(copy)
    assert len(str(caught.value)) < len(str(copy)) + 300
    assert str(caught.value).isprintable()


# Time and memory


PAGE_BYTES = 512


def inner_page(child: int) -> bytes:
    """An inner page of a table's tree; all of its children are the same page."""
    cells = b"".join(child.to_bytes(4, "big") + bytes([key]) for key in range(1, 51))
    start = PAGE_BYTES - len(cells)
    pointers = b"".join((start + 5 * k).to_bytes(2, "big") for k in range(50))
    header = b"\5\0\0" + b"".join(n.to_bytes(2, "big") for n in (50, start)) + b"\0"
    return (header + child.to_bytes(4, "big") + pointers).ljust(start, b"\0") + cells


@pytest.fixture
def tangled(tmp_path):
    """A small file whose table `client_metadata` seems to have 51**10 rows."""
    path = tmp_path / "own.sqlite"
    execute(
        path,
        f"PRAGMA page_size = {PAGE_BYTES}",
        "CREATE TABLE examples (split_name, client_id, serialized_example_proto)",
        "CREATE TABLE client_metadata (client_id, split_name, num_examples)",
        "CREATE TABLE more (x)",
        "INSERT INTO client_metadata VALUES ('c1', 'digits_only_train', 1)",
        f"INSERT INTO more VALUES (zeroblob({12 * PAGE_BYTES}))",
    )
    with contextlib.closing(sqlite3.connect(path)) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'client_metadata'"
        (root,) = connection.execute(query).fetchone()
    content = bytearray(path.read_bytes())
    last = len(content) // PAGE_BYTES
    chain = [root, *range(last - 9, last + 1)]
    pages = [inner_page(child) for child in chain[1:]]
    leaf = content[(root - 1) * PAGE_BYTES : root * PAGE_BYTES]
    for number, page in zip(chain, [*pages, leaf], strict=True):
        content[(number - 1) * PAGE_BYTES : number * PAGE_BYTES] = page
    path.write_bytes(content)
    return path


def test_a_file_gives_no_more_than_it_contains(tangled):
    with pytest.raises(ValueError, match="own.sqlite is damaged: it gives more than it contains"):
        data.load_sqlite(tangled)


def test_a_query_that_never_ends_is_ended(tangled, monkeypatch):
    monkeypatch.setattr(sqlite_file, "_MIN_SECONDS", 0.1)
    with pytest.raises(ValueError, match="own.sqlite takes too long to read for its size"):
        data.load_sqlite(tangled, splits=["another"])


def test_the_tangle_of_an_unpacked_file_is_seen(tangled):
    with pytest.raises(ValueError, match="own.sqlite is damaged"):
        emnist.check_every_page(tangled)


def test_ctrl_c_ends_a_query(tangled, monkeypatch):
    monkeypatch.setattr(sqlite_file, "_MIN_SECONDS", 60)
    main = threading.main_thread().ident
    timer = threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT))
    # A shell's background job, as which these tests may run, ignores it.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        start = time.thread_time()
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            data.load_sqlite(tangled, splits=["another"])
        assert time.thread_time() - start < 50
    finally:
        timer.join()
        signal.signal(signal.SIGINT, handler)
