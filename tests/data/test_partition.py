"""A partition deals out the whole pool, each index once, with the label mix that it promises."""

import functools

import numpy as np
import pytest

from fedlab.data import partition

LABELS = np.random.default_rng(7).permutation(np.repeat(np.arange(10), 200))
PARTITIONS = {
    "iid": functools.partial(partition.iid, len(LABELS)),
    "shards": functools.partial(partition.shards, LABELS),
    "dirichlet": functools.partial(partition.dirichlet, LABELS, alpha=0.5),
    "dirichlet_tiny_alpha": functools.partial(partition.dirichlet, LABELS, alpha=1e-8),
}
every_partition = pytest.mark.parametrize("split", PARTITIONS.values(), ids=PARTITIONS)


def label_mixes(parts):
    return np.array([np.bincount(LABELS[part], minlength=10) / len(part) for part in parts])


def distance_to_pool(parts):
    """Mean total variation distance between the clients' label mixes and the pool's."""
    return np.abs(label_mixes(parts) - 0.1).sum(axis=1).mean() / 2


@every_partition
@pytest.mark.parametrize("num_clients", [1, 7, 40])
def test_covers_every_index_once_and_leaves_no_client_empty(split, num_clients):
    parts = split(num_clients, seed=3)
    assert len(parts) == num_clients
    assert all(len(part) > 0 and part.dtype == np.int64 for part in parts)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(LABELS)))


@every_partition
def test_is_a_function_of_the_seed(split):
    first, again, other = split(20, seed=1), split(20, seed=1), split(20, seed=2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@every_partition
def test_sizes_differ_by_no_more_than_the_cutting_demands(split):
    sizes = [len(part) for part in split(30, seed=0)]
    assert max(sizes) - min(sizes) <= 2  # one per shard


def test_more_clients_than_labels_examples_still_get_one_each():
    parts = partition.dirichlet(LABELS[:25], 25, alpha=0.1)
    assert [len(part) for part in parts] == [1] * 25


def test_iid_mixes_are_close_to_the_pool():
    assert distance_to_pool(partition.iid(len(LABELS), 10)) < 0.15


def test_shards_give_a_client_few_labels():
    mixes = label_mixes(partition.shards(LABELS, 50, shards_per_client=2))
    assert ((mixes > 0).sum(axis=1) <= 2).all()  # 20 examples of a label: no shard holds two


def test_alpha_goes_from_few_labels_to_the_pool_s_mix():
    split = functools.partial(partition.dirichlet, LABELS, 20, seed=0)
    few, some, like_pool = (split(alpha=alpha) for alpha in (0.05, 5.0, 1e6))
    assert distance_to_pool(few) > 0.5
    assert distance_to_pool(like_pool) < 0.17
    assert distance_to_pool(few) > distance_to_pool(some) > distance_to_pool(like_pool)


def test_large_alpha_follows_a_pool_that_is_not_uniform():
    labels = np.repeat([0, 1], [900, 100])
    parts = partition.dirichlet(labels, 5, alpha=1e6)
    assert all(0.8 < np.mean(labels[part] == 0) < 0.97 for part in parts)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: partition.iid(10, 11), "num_clients must be at most 10. Found 11"),
        (lambda: partition.iid(10, 0), "Found 0"),
        (lambda: partition.iid(0, 1), "num_examples must be at least 1. Found 0"),
        (lambda: partition.shards([0, 1, 2], 2), "num_clients must be at most 1. Found 2"),
        (lambda: partition.shards([0, 1], 1, shards_per_client=0), "shards_per_client .* Found 0"),
        (lambda: partition.shards([], 1), r"labels .* Found \(0,\)"),
        (lambda: partition.shards([0.5, 1.0], 1), "labels must be an array of integers. Found"),
        (
            lambda: partition.dirichlet([[0], [1]], 1, alpha=1),
            r"labels must have shape \(n,\). Found \(2, 1\); pass labels\[:, 0\]",
        ),
        (lambda: partition.dirichlet([0, 1], 3, alpha=1), "num_clients must be at most 2. Found 3"),
        (lambda: partition.dirichlet([0, 1], 2, alpha=0), "alpha must be .* above 0. Found 0"),
    ],
)
def test_bad_input_names_the_value(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()
