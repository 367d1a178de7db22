"""Federated data: TFF's `ClientData` face, a learner's own arrays, `load`."""

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from helpers import tiny

from fedlab import data, runtime
from fedlab.data.client_data import MemoryClientData
from fedlab.data.preprocessing import preprocess


def read_back(dataset):
    elements = list(dataset.as_numpy_iterator())
    return np.array([e["pixels"] for e in elements]), np.array([e["label"] for e in elements])


# MemoryClientData is a TFF ClientData


@pytest.fixture(scope="module")
def small():
    return tiny.create_data(3, 5, 2)


def test_gives_each_client_s_examples_as_a_dataset(small):
    for client_id in small.client_ids:
        read = read_back(small.create_tf_dataset_for_client(client_id))
        assert tiny.same_bits(read, small.examples(client_id))


def test_tff_can_preprocess_it(small):
    batched = small.preprocess(preprocess)
    assert batched.client_ids == small.client_ids
    images, labels = next(iter(batched.create_tf_dataset_for_client("c1")))
    np.testing.assert_array_equal(images[..., 0], small.examples("c1").pixels)
    np.testing.assert_array_equal(labels, small.examples("c1").labels)


def test_tff_can_pool_the_clients(small):
    read, _ = read_back(small.create_tf_dataset_from_all_clients(seed=1))
    expected, _ = tiny.all_arrays(small)
    assert Counter(p.tobytes() for p in read) == Counter(p.tobytes() for p in expected)


def test_tff_can_split_the_clients(small):
    train, test = small.train_test_client_split(small, num_test_clients=1, seed=0)
    assert sorted(train.client_ids + test.client_ids) == small.client_ids
    assert len(test.client_ids) == 1
    (client_id,) = test.client_ids
    read = read_back(test.create_tf_dataset_for_client(client_id))
    assert tiny.same_bits(read, small.examples(client_id))


def test_tff_can_make_the_datasets_inside_a_graph(small):
    def sum_of(dataset):
        return dataset.reduce(0.0, lambda total, e: total + tf.reduce_sum(e["pixels"]))

    in_graph = tf.function(lambda client_id: sum_of(small.serializable_dataset_fn(client_id)))
    for client_id in small.client_ids:
        expected = small.examples(client_id).pixels.sum()
        assert float(in_graph(tf.constant(client_id))) == pytest.approx(expected, rel=1e-5)


def test_tff_can_make_the_datasets_in_a_computation(small):
    runtime.install()
    dataset = small.dataset_computation("c1")
    assert tiny.same_bits(read_back(dataset), small.examples("c1"))


@pytest.mark.parametrize("wrap", [tf.function, lambda function: function], ids=["graph", "eager"])
def test_an_unknown_client_is_named_there_too(small, wrap):
    def count(client_id):
        return small.serializable_dataset_fn(client_id).reduce(0, lambda total, _: total + 1)

    assert int(wrap(count)(tf.constant("c1"))) == 5
    with pytest.raises(tf.errors.InvalidArgumentError, match="(?s)There is no client.*nobody"):
        wrap(count)(tf.constant("nobody"))


def test_a_client_is_read_once_and_only_when_asked_for():
    calls = []

    def read(client_id):
        calls.append(client_id)
        return tiny.create_examples(4)

    dataset = MemoryClientData(["b", "a", "c"], read)
    assert dataset.client_ids == ["a", "b", "c"]
    assert calls == []
    dataset.create_tf_dataset_for_client("b")
    dataset.select(["b", "c"]).examples("b")
    data.client_arrays(dataset, "b")
    assert calls == ["b"]


def test_select_keeps_the_examples(small):
    chosen = small.select(["c2", "c0"])
    assert chosen.client_ids == ["c0", "c2"]
    assert tiny.same_bits(chosen.examples("c2"), small.examples("c2"))


@pytest.mark.parametrize("num_unseen", [1, 4, 9])
def test_split_clients_is_disjoint_complete_and_of_the_seed(num_unseen):
    dataset = tiny.create_data(*[2] * 10)
    seen, unseen = data.split_clients(dataset, num_unseen, seed=3)
    assert len(unseen.client_ids) == num_unseen
    assert sorted(seen.client_ids + unseen.client_ids) == dataset.client_ids
    again = data.split_clients(dataset, num_unseen, seed=3)[1]
    assert again.client_ids == unseen.client_ids
    others = [data.split_clients(dataset, num_unseen, seed=seed)[1] for seed in range(6)]
    assert len({tuple(other.client_ids) for other in others}) > 1


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda dataset: dataset.examples("nobody"), "no client 'nobody'"),
        (lambda dataset: dataset.create_tf_dataset_for_client("nobody"), "no client 'nobody'"),
        (lambda dataset: dataset.select(["c0", "nobody"]), "no client 'nobody'"),
        (lambda dataset: dataset.select([]), "at least one client"),
        (lambda dataset: dataset.select(["c0", "c0"]), "twice"),
        (lambda dataset: data.split_clients(dataset, 3), "num_unseen must be at most 2. Found 3"),
        (lambda dataset: data.split_clients(dataset, 0), "num_unseen must be at least 1. Found 0"),
    ],
)
def test_unknown_clients_and_bad_numbers_are_named(small, call, message):
    with pytest.raises(ValueError, match=message):
        call(small)


def test_client_arrays_reads_any_client_data(small):
    tffs_own = tff.simulation.datasets.TestClientData(
        {
            k: {"label": small.examples(k).labels, "pixels": small.examples(k).pixels}
            for k in ("c0",)
        }
    )
    assert tiny.same_bits(data.client_arrays(tffs_own, "c0"), small.examples("c0"))


# load


@pytest.mark.parametrize("value", [None, "", "digits"])
def test_digits_are_the_default(monkeypatch, value):
    if value is None:
        monkeypatch.delenv(data.DATASET_VARIABLE, raising=False)
    else:
        monkeypatch.setenv(data.DATASET_VARIABLE, value)
    assert data.selected() == "digits"
    assert "simulated writers" in data.describe()
    assert tiny.same_data(data.load().test, data.load_digits()[1])


def test_the_variable_may_name_a_file(monkeypatch, tmp_path, small):
    path = tmp_path / "own.sqlite"
    tiny.write_sqlite(path, digits_only_train=small, digits_only_test=small)
    monkeypatch.setenv(data.DATASET_VARIABLE, str(path))
    assert data.selected() == "file"
    assert "real writers" in data.describe()
    for dataset in data.load():
        assert tiny.same_data(dataset, small)
    assert len(data.load("digits", num_clients=5).train.client_ids) == 5  # a name goes first


def test_the_variable_may_switch_to_emnist(monkeypatch, tmp_path, small):
    tiny.write_sqlite(
        tmp_path / "emnist_all.sqlite", digits_only_train=small, digits_only_test=small
    )
    monkeypatch.setenv(data.DATASET_VARIABLE, "emnist")
    assert "Federated EMNIST" in data.describe()
    assert tiny.same_data(data.load(cache_dir=tmp_path).train, small)


def test_a_tilde_in_the_variable_is_the_home_folder(monkeypatch, tmp_path, small):
    tiny.write_sqlite(tmp_path / "own.sqlite", digits_only_train=small, digits_only_test=small)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(data.DATASET_VARIABLE, "~/own.sqlite")
    assert tiny.same_data(data.load().train, small)


def test_a_missing_file_is_named(monkeypatch):
    monkeypatch.setenv(data.DATASET_VARIABLE, "/nowhere/digits.sqlite")
    with pytest.raises(FileNotFoundError, match="There is no file '/nowhere/digits.sqlite'"):
        data.load()


def test_an_unknown_name_is_told_the_known_ones(monkeypatch):
    message = 'There is no data set \'minst\'. Choose one of "digits", "emnist"'
    with pytest.raises(ValueError, match=message):
        data.load("minst")
    with pytest.raises(ValueError, match=message):
        data.describe("minst")
    monkeypatch.setenv(data.DATASET_VARIABLE, "minst")
    with pytest.raises(ValueError, match=f"{message}.*FEDLAB_DATASET"):
        data.load()
