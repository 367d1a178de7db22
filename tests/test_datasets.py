"""Federated data: TFF's `ClientData` face, a learner's own arrays, `load`."""

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
import tiny

from fedlab import datasets, runtime
from fedlab.datasets import client_data
from fedlab.datasets.client_data import Examples, MemoryClientData
from fedlab.preprocessing import preprocess


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

    data = MemoryClientData(["b", "a", "c"], read)
    assert data.client_ids == ["a", "b", "c"]
    assert calls == []
    data.create_tf_dataset_for_client("b")
    data.select(["b", "c"]).examples("b")
    datasets.client_arrays(data, "b")
    assert calls == ["b"]


def test_select_keeps_the_examples(small):
    chosen = small.select(["c2", "c0"])
    assert chosen.client_ids == ["c0", "c2"]
    assert tiny.same_bits(chosen.examples("c2"), small.examples("c2"))


@pytest.mark.parametrize("num_unseen", [1, 4, 9])
def test_split_clients_is_disjoint_complete_and_of_the_seed(num_unseen):
    data = tiny.create_data(*[2] * 10)
    seen, unseen = datasets.split_clients(data, num_unseen, seed=3)
    assert len(unseen.client_ids) == num_unseen
    assert sorted(seen.client_ids + unseen.client_ids) == data.client_ids
    again = datasets.split_clients(data, num_unseen, seed=3)[1]
    assert again.client_ids == unseen.client_ids
    others = [datasets.split_clients(data, num_unseen, seed=seed)[1] for seed in range(6)]
    assert len({tuple(other.client_ids) for other in others}) > 1


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda data: data.examples("nobody"), "no client 'nobody'"),
        (lambda data: data.create_tf_dataset_for_client("nobody"), "no client 'nobody'"),
        (lambda data: data.select(["c0", "nobody"]), "no client 'nobody'"),
        (lambda data: data.select([]), "no clients"),
        (lambda data: data.select(["c0", "c0"]), "twice"),
        (lambda data: datasets.split_clients(data, 3), "between 1 and 2 .* Found 3"),
        (lambda data: datasets.split_clients(data, 0), "Found 0"),
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
    assert tiny.same_bits(datasets.client_arrays(tffs_own, "c0"), small.examples("c0"))


# A learner's own data


OWNERS = np.repeat(["ann", "bob", "eve"], [2, 10, 7])


def own_data(**changes):
    arguments = {**tiny.create_examples(19)._asdict(), "client_ids": OWNERS} | changes
    return datasets.from_arrays(**arguments)


@pytest.mark.parametrize("test_fraction", [0.01, 0.2, 0.5, 0.99])
def test_from_arrays_splits_every_client_s_examples(test_fraction):
    train, test = own_data(test_fraction=test_fraction)
    assert train.client_ids == test.client_ids == ["ann", "bob", "eve"]
    examples = tiny.create_examples(19)
    for client_id in train.client_ids:
        sides = [data.examples(client_id).pixels for data in (train, test)]
        assert min(len(side) for side in sides) >= 1
        found = Counter(pixels.tobytes() for pixels in np.concatenate(sides))
        mine = examples.pixels[client_id == OWNERS]
        assert found == Counter(pixels.tobytes() for pixels in mine)  # all, and none in both


def test_from_arrays_takes_the_fraction_and_keeps_image_and_label_together():
    train, test = own_data(test_fraction=0.3)
    assert len(test.examples("bob").labels) == 3
    label_of = {p.tobytes(): y for p, y in zip(*tiny.create_examples(19), strict=True)}
    for data in (train, test):
        for pixels, label in zip(*tiny.all_arrays(data), strict=True):
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
    data = MemoryClientData(["ann"], lambda client_id: nothing)
    with pytest.raises(ValueError, match="'ann' has no examples. Leave it out"):
        data.create_tf_dataset_for_client("ann")


def test_check_examples_brings_types_into_line():
    checked = client_data.check_examples("ann", np.ones((2, 28, 28)), np.array([1, 2], np.int64))
    assert checked.pixels.dtype == np.float32
    assert checked.labels.dtype == np.int32


# load


@pytest.mark.parametrize("value", [None, "", "digits"])
def test_digits_are_the_default(monkeypatch, value):
    if value is None:
        monkeypatch.delenv(datasets.DATASET_VARIABLE, raising=False)
    else:
        monkeypatch.setenv(datasets.DATASET_VARIABLE, value)
    assert datasets.selected() == "digits"
    assert "simulated writers" in datasets.describe()
    assert tiny.same_data(datasets.load()[1], datasets.load_digits()[1])


def test_the_variable_may_name_a_file(monkeypatch, tmp_path, small):
    path = tmp_path / "own.sqlite"
    tiny.write_sqlite(path, digits_only_train=small, digits_only_test=small)
    monkeypatch.setenv(datasets.DATASET_VARIABLE, str(path))
    assert datasets.selected() == "file"
    assert "real writers" in datasets.describe()
    for data in datasets.load():
        assert tiny.same_data(data, small)
    assert len(datasets.load("digits", num_clients=5)[0].client_ids) == 5  # a name goes first


def test_the_variable_may_switch_to_emnist(monkeypatch, tmp_path, small):
    tiny.write_sqlite(
        tmp_path / "emnist_all.sqlite", digits_only_train=small, digits_only_test=small
    )
    monkeypatch.setenv(datasets.DATASET_VARIABLE, "emnist")
    assert "Federated EMNIST" in datasets.describe()
    assert tiny.same_data(datasets.load(cache_dir=tmp_path)[0], small)


def test_a_missing_file_is_named(monkeypatch):
    monkeypatch.setenv(datasets.DATASET_VARIABLE, "/nowhere/digits.sqlite")
    with pytest.raises(FileNotFoundError, match="FEDLAB_DATASET .* '/nowhere/digits.sqlite'"):
        datasets.load()


def test_an_unknown_name_is_told_the_known_ones(monkeypatch):
    with pytest.raises(ValueError, match='\'minst\'. Choose "digits" or "emnist"'):
        datasets.load("minst")
    monkeypatch.setenv(datasets.DATASET_VARIABLE, "minst")
    with pytest.raises(FileNotFoundError, match="path of a file.*minst"):
        datasets.load()
