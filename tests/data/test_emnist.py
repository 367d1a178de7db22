"""The SQLite file: read as TFF reads it, and told when it is damaged."""

import contextlib
import importlib
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import tensorflow_federated as tff
from helpers import tiny

from fedlab import data
from fedlab.data.client_data import MemoryClientData
from fedlab.data.elements import image_element_spec


def writer_digits() -> Path:
    for parent in Path(__file__).resolve().parents:
        path = parent / "shared/data/writer-digits/emnist_all.sqlite.lzma"
        if path.exists():
            return path
    pytest.skip("The writer digits (../shared/data) are for development and are not here.")


@pytest.fixture
def copy(whole, tmp_path):
    """A copy that a test may damage."""
    path = tmp_path / "copy.sqlite"
    path.write_bytes(whole.read_bytes())
    return path


def assert_reads_as_tff(dataset, tffs_own, client_ids):
    assert dataset.client_ids == tffs_own.client_ids
    for client_id in client_ids:
        ours = dataset.create_tf_dataset_for_client(client_id).as_numpy_iterator()
        theirs = tffs_own.create_tf_dataset_for_client(client_id).as_numpy_iterator()
        for mine, their in zip(ours, theirs, strict=True):
            assert list(mine) == list(their) == ["label", "pixels"]
            assert tiny.same_bits(mine, their)
            assert mine["pixels"].dtype == their["pixels"].dtype
            assert mine["label"].dtype == their["label"].dtype


# Reading


def test_reads_what_was_written(whole):
    train, test = data.load_sqlite(whole)
    tiny.assert_holds(train, tiny.TRAIN)
    tiny.assert_holds(test, tiny.TEST)


def test_reads_as_tff_does(whole):
    ours = data.load_emnist(cache_dir=whole.parent)
    theirs = tff.simulation.datasets.emnist.load_data(cache_dir=str(whole.parent))
    for dataset, tffs_own in zip(ours, theirs, strict=True):
        assert_reads_as_tff(dataset, tffs_own, dataset.client_ids)


def test_the_benchmarks_generated_file_is_read_as_tff_reads_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[2] / "benchmarks")
    emnist_file = importlib.import_module("_emnist_file")
    monkeypatch.setattr(emnist_file, "NUM_STYLES", 2)
    monkeypatch.setattr(emnist_file, "NUM_WRITERS", 20)
    sizes = {"digits_only_train": 1001, "digits_only_test": 101}
    monkeypatch.setattr(emnist_file, "NUM_DIGITS", sizes)
    path = tmp_path / "generated.sqlite"
    emnist_file.write_emnist_file(path, seed=0)
    for split, dataset in zip(sizes, data.load_sqlite(path), strict=True):
        tffs_own = tff.simulation.datasets.load_and_parse_sql_client_data(
            str(path), image_element_spec(), split
        )
        assert_reads_as_tff(dataset, tffs_own, dataset.client_ids)
        num_examples = [dataset.num_examples(client_id) for client_id in dataset.client_ids]
        assert (len(num_examples), sum(num_examples)) == (20, sizes[split])
        assert len(set(num_examples)) > 1


def test_reads_a_file_that_tff_has_saved(tmp_path):
    path = tmp_path / "saved.sqlite"
    tff.simulation.datasets.save_to_sql_client_data(
        tiny.TRAIN.client_ids,
        tiny.TRAIN.create_tf_dataset_for_client,
        str(path),
        split_names_by_client_id={"c0": "mine", "c1": "yours", "c2": "mine"},
    )
    mine, yours = data.load_sqlite(path, splits=("mine", "yours"))
    tiny.assert_holds(mine, tiny.TRAIN.select(["c0", "c2"]))
    tiny.assert_holds(yours, tiny.TRAIN.select(["c1"]))


def test_letters_are_in_the_other_splits(tmp_path):
    letters = MemoryClientData(
        ["ann"], lambda client_id: tiny.create_examples(2)._replace(labels=np.array([61, 7])), 62
    )
    path = tmp_path / tiny.NAME
    tiny.write_sqlite(path, all_train=letters, all_test=letters, digits_only_train=tiny.TRAIN)
    train, _ = data.load_emnist(path=path, only_digits=False)
    assert train.num_classes == 62
    tiny.assert_holds(train, letters)


def test_the_writer_digits_are_what_their_readme_says(tmp_path):
    train, test = data.load_sqlite(writer_digits(), cache_dir=tmp_path)
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
    unpacked.rename(tmp_path / tiny.NAME)
    theirs = tff.simulation.datasets.emnist.load_data(cache_dir=str(tmp_path))
    for dataset, tffs_own in zip(data.load_emnist(cache_dir=tmp_path), theirs, strict=True):
        assert_reads_as_tff(dataset, tffs_own, dataset.client_ids[:300:100])


# Damage


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.999])
def test_a_cut_off_file_is_told(copy, share):
    copy.write_bytes(copy.read_bytes()[: int(share * copy.stat().st_size)])
    with pytest.raises(ValueError, match=r"copy.sqlite is (cut off|not an SQLite file)"):
        data.load_sqlite(copy)


@pytest.mark.parametrize(
    "content", [b"", b"<html>Sign in</html>", b"PK\x03\x04" * 50, b"SQLite format 3\0" + b"\0" * 90]
)
def test_a_file_that_is_not_sqlite_is_told(tmp_path, content):
    path = tmp_path / "own.sqlite"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"own.sqlite is (not|damaged)"):
        data.load_sqlite(path)


def test_overwritten_pages_are_told(copy):
    content = bytearray(copy.read_bytes())
    content[4096:] = b"\x5a" * len(content[4096:])
    copy.write_bytes(content)
    with pytest.raises(ValueError, match=r"copy.sqlite is damaged"):
        tiny.read_all(copy)


def test_a_folder_or_nothing_is_not_a_file(tmp_path):
    for path in (tmp_path, tmp_path / "nothing.sqlite"):
        with pytest.raises(FileNotFoundError, match=str(path)):
            data.load_sqlite(path)


def test_other_tables_are_told_what_is_expected(tmp_path):
    path = tmp_path / "own.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE examples (writer TEXT)")
    with pytest.raises(ValueError, match=r"own.sqlite is not in the format.*'examples'.*'writer'"):
        data.load_sqlite(path)


def test_a_missing_split_is_told_what_there_is(copy):
    with pytest.raises(ValueError, match="no split 'all_train'. It has: digits_only_test, digits_"):
        data.load_emnist(path=copy, only_digits=False)


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
    train, _ = data.load_sqlite(copy)
    with pytest.raises(ValueError, match=message):
        train.create_tf_dataset_for_client("c1")
    assert tiny.same_bits(train.examples("c2"), tiny.TRAIN.examples("c2"))
