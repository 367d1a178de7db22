"""Federated data: TFF's `ClientData` face, a learner's own arrays, `load`."""

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from helpers import tiny

from fedlab import data, runtime
from fedlab.data import client_data
from fedlab.data.client_data import Examples, MemoryClientData
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
        (lambda dataset: dataset.select([]), "no clients"),
        (lambda dataset: dataset.select(["c0", "c0"]), "twice"),
        (lambda dataset: data.split_clients(dataset, 3), "between 1 and 2 .* Found 3"),
        (lambda dataset: data.split_clients(dataset, 0), "Found 0"),
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


# A learner's own data


OWNERS = np.repeat(["ann", "bob", "eve"], [2, 10, 7])


def own_data(**changes):
    arguments = {**tiny.create_examples(19)._asdict(), "client_ids": OWNERS} | changes
    return data.from_arrays(**arguments)


@pytest.mark.parametrize("test_fraction", [0.01, 0.2, 0.5, 0.99])
def test_from_arrays_splits_every_client_s_examples(test_fraction):
    train, test = own_data(test_fraction=test_fraction)
    assert train.client_ids == test.client_ids == ["ann", "bob", "eve"]
    examples = tiny.create_examples(19)
    for client_id in train.client_ids:
        sides = [dataset.examples(client_id).pixels for dataset in (train, test)]
        assert min(len(side) for side in sides) >= 1
        found = Counter(pixels.tobytes() for pixels in np.concatenate(sides))
        mine = examples.pixels[client_id == OWNERS]
        assert found == Counter(pixels.tobytes() for pixels in mine)  # all, and none in both


def test_from_arrays_takes_the_fraction_and_keeps_image_and_label_together():
    train, test = own_data(test_fraction=0.3)
    assert len(test.examples("bob").labels) == 3
    label_of = {p.tobytes(): y for p, y in zip(*tiny.create_examples(19), strict=True)}
    for dataset in (train, test):
        for pixels, label in zip(*tiny.all_arrays(dataset), strict=True):
            assert label_of[pixels.tobytes()] == label


def test_from_arrays_is_a_function_of_the_seed():
    assert tiny.same_data(own_data(seed=1)[0], own_data(seed=1)[0])
    assert not tiny.same_data(own_data(seed=1)[0], own_data(seed=2)[0])


def changed(name, index, value, dtype=None):
    array = np.array(tiny.create_examples(19)._asdict()[name], dtype)
    array[index] = value
    return {name: array}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"client_ids": np.repeat(["ann", "bob"], [18, 1])}, "'bob' has 1 example"),
        ({"client_ids": OWNERS[:-1]}, "Found 19, 19 and 18"),
        ({"labels": np.zeros(5, int)}, "Found 19, 5 and 19"),
        (changed("labels", 5, 10), "'bob': labels must lie between 0 and 9. Found 10"),
        (changed("labels", 18, -1), "'eve': labels .* Found -1"),
        (changed("labels", 0, 0, float), "'ann': labels must be integers. Found float64"),
        (changed("pixels", 5, np.nan), "'bob': pixels must be finite.* in image 3"),
        (changed("pixels", 12, np.inf), "'eve': pixels must be finite.* in image 0"),
        (changed("pixels", (0, 3, 3), 255), r"'ann': pixels must lie in \[0, 1\].* to 255"),
        (changed("pixels", (18, 0, 0), -0.5), "'eve': pixels .* Found -0.5 to"),
        ({"pixels": np.zeros((19, 8, 8))}, r"'ann': .* shape \(2, 28, 28\).* Found \(2, 8, 8\)"),
        ({"pixels": np.zeros((19, 28, 28, 1))}, r"Found \(2, 28, 28, 1\)"),
        ({"test_fraction": 0.0}, "test_fraction .* Found 0.0"),
        ({"test_fraction": 1.0}, "test_fraction .* Found 1.0"),
        ({"num_classes": 5}, "between 0 and 4. Found"),
        ({"pixels": np.zeros((0, 28, 28)), "labels": [], "client_ids": []}, "no clients"),
    ],
)
def test_from_arrays_names_the_client_and_the_value(changes, message):
    with pytest.raises(ValueError, match=message):
        own_data(**changes)


def test_bytes_for_pixels_are_told_what_to_do():
    pixels = np.random.default_rng(0).integers(256, size=(19, 28, 28), dtype=np.uint8)
    with pytest.raises(ValueError, match="divide by 255 if they are bytes. Found 0 to 255"):
        own_data(pixels=pixels)


def test_a_client_without_examples_is_named_when_it_is_read():
    nothing = Examples(np.empty((0, 28, 28), np.float32), np.empty(0, np.int32))
    dataset = MemoryClientData(["ann"], lambda client_id: nothing)
    with pytest.raises(ValueError, match="'ann' has no examples. Leave it out"):
        dataset.create_tf_dataset_for_client("ann")


def test_check_examples_brings_types_into_line():
    checked = client_data.check_examples("ann", np.ones((2, 28, 28)), np.array([1, 2], np.int64))
    assert checked.pixels.dtype == np.float32
    assert checked.labels.dtype == np.int32


# load


@pytest.mark.parametrize("value", [None, "", "digits"])
def test_digits_are_the_default(monkeypatch, value):
    if value is None:
        monkeypatch.delenv(data.DATASET_VARIABLE, raising=False)
    else:
        monkeypatch.setenv(data.DATASET_VARIABLE, value)
    assert data.selected() == "digits"
    assert "simulated writers" in data.describe()
    assert tiny.same_data(data.load()[1], data.load_digits()[1])


def test_the_variable_may_name_a_file(monkeypatch, tmp_path, small):
    path = tmp_path / "own.sqlite"
    tiny.write_sqlite(path, digits_only_train=small, digits_only_test=small)
    monkeypatch.setenv(data.DATASET_VARIABLE, str(path))
    assert data.selected() == "file"
    assert "real writers" in data.describe()
    for dataset in data.load():
        assert tiny.same_data(dataset, small)
    assert len(data.load("digits", num_clients=5)[0].client_ids) == 5  # a name goes first


def test_the_variable_may_switch_to_emnist(monkeypatch, tmp_path, small):
    tiny.write_sqlite(
        tmp_path / "emnist_all.sqlite", digits_only_train=small, digits_only_test=small
    )
    monkeypatch.setenv(data.DATASET_VARIABLE, "emnist")
    assert "Federated EMNIST" in data.describe()
    assert tiny.same_data(data.load(cache_dir=tmp_path)[0], small)


def test_a_missing_file_is_named(monkeypatch):
    monkeypatch.setenv(data.DATASET_VARIABLE, "/nowhere/digits.sqlite")
    with pytest.raises(FileNotFoundError, match="FEDLAB_DATASET .* '/nowhere/digits.sqlite'"):
        data.load()


def test_an_unknown_name_is_told_the_known_ones(monkeypatch):
    with pytest.raises(ValueError, match='\'minst\'. Choose "digits" or "emnist"'):
        data.load("minst")
    monkeypatch.setenv(data.DATASET_VARIABLE, "minst")
    with pytest.raises(FileNotFoundError, match="path of a file.*minst"):
        data.load()
