"""The noise has the size that was asked for, and nobody meets the same noise twice."""

import math

import numpy as np
import pytest
import tensorflow as tf
from helpers import tiny
from helpers.noisy import (
    ALL,
    CLIP,
    DENOMINATORS,
    NOISE,
    NUM_CLIENTS,
    SHORT,
    SIZE,
    adaptive,
    build,
    create,
    fixed,
    run,
    tree,
)

from fedlab.runtime.native.native_runner import native_context


def expected_stddev(build_fn):
    expected = NOISE * CLIP / DENOMINATORS[build_fn]
    if build_fn is adaptive:  # the count, +-1/2 a client, has a noise of 2; this pays for it
        expected *= (1 - (NOISE / (2 * 2)) ** 2) ** -0.5
    return expected


def assert_noise(values, stddev):
    # An estimate from 8,000 draws is off by 1 / sqrt(16,000) = 0.8%; five of them hold for any.
    assert values.std() == pytest.approx(stddev, rel=5 * 0.008)
    assert abs(values.mean()) < 5 * stddev / math.sqrt(SIZE)
    kurtosis = np.mean((values - values.mean()) ** 4) / values.var() ** 2
    assert abs(kurtosis - 3) < 5 * math.sqrt(24 / SIZE)
    # The arrays do not share theirs.
    assert_unrelated(values[:3000], values[3000:6000])


def assert_unrelated(one, other):
    assert abs(np.corrcoef(one, other)[0, 1]) < 5 / math.sqrt(len(one))


@ALL
def test_the_noise_has_the_size_that_was_asked_for_whoever_comes(build_fn):
    process = create(build_fn)
    (of_nobody,), *_ = run(process, 1)
    assert_noise(of_nobody, expected_stddev(build_fn))
    (found,), *_ = run(process, 1, SHORT)
    assert_noise(found - np.sum(SHORT, axis=0) / DENOMINATORS[build_fn], expected_stddev(build_fn))


@ALL
def test_no_two_rounds_and_no_two_runs_have_the_same_noise(build_fn):
    """Not even from one state."""
    process = create(build_fn)
    (a, b), (c, d) = (run(process, 2)[0] for _ in range(2))
    # The rounds of one tree are related; that it is as it must be is tested below.
    pairs = [(a, c), (a, d), (b, c), (b, d)] + ([] if build_fn is tree else [(a, b), (c, d)])
    for one, other in pairs:
        assert_unrelated(one, other)


@ALL
def test_an_insecure_seed_gives_the_same_bits(build_fn):
    again = build(build_fn(insecure_seed=3))
    first, second = (run(one, 3)[0] for one in (create(build_fn, insecure_seed=3), again))
    assert tiny.same_bits(first, second)
    if build_fn is not tree:
        assert_unrelated(first[0], first[1])
        assert_unrelated(first[0], first[2])
    other = build(build_fn(insecure_seed=4))
    assert_unrelated(first[0], run(other, 1)[0][0])


def test_tensorflow_s_own_seed_does_not_reach_the_noise():
    found = []
    for _ in range(2):
        tf.random.set_seed(1)
        found.append(run(build(fixed()), 1)[0][0])
    assert_unrelated(*found)


@pytest.mark.parametrize("build_fn", [fixed, adaptive])
def test_the_state_holds_nothing_to_take_the_noise_off_with(build_fn):
    """It is the same after two runs, but for the noisy clip."""
    states = [run(create(build_fn), 1)[1] for _ in range(2)]
    leaves = [[np.asarray(leaf) for leaf in tf.nest.flatten(state)] for state in states]
    differ = [one for one, other in zip(*leaves, strict=True) if not np.array_equal(one, other)]
    assert len(differ) == (0 if build_fn is fixed else 2)  # the clip, as limit and as estimate
    assert all(one.size == 1 for one in leaves[0])


def test_tffs_own_runtime_has_fresh_noise_too():
    (first,), (second,) = (run(create(fixed), 1, SHORT, native_context())[0] for _ in range(2))
    assert_noise(first - np.sum(SHORT, axis=0) / NUM_CLIENTS, expected_stddev(fixed))
    noise = [one - np.sum(SHORT, axis=0) / NUM_CLIENTS for one in (first, second)]
    assert_unrelated(*noise)


def test_the_noise_of_a_tree_s_sum_grows_with_the_levels_and_begins_anew():
    path = np.cumsum(run(create(tree), 8)[0], axis=0)
    variances = path.var(axis=1) / (NOISE * CLIP / NUM_CLIENTS) ** 2
    # A node of height h, estimated with those below it, keeps 1 / (2 - 2**-h) of a node's variance
    # (Honaker 2015): a leaf 1, a pair 2/3, four rounds 4/7.
    one_tree = [1, 2 / 3, 1 + 2 / 3, 4 / 7]
    again = [one_tree[-1] + one for one in one_tree]
    np.testing.assert_allclose(variances, [*one_tree, *again], rtol=10 * 0.008)
