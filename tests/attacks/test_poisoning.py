"""A malicious client changes its own data, and nobody else's."""

import numpy as np
import pytest
from helpers import tiny

from fedlab import runtime
from fedlab.attacks import poisoning
from fedlab.data.preprocessing import Preprocessing, build_cohort_fn
from fedlab.data.sampling import fixed

DATA = tiny.create_data(12, 4, 8)


@pytest.fixture(scope="module", autouse=True)
def runner(process):
    with runtime.compile(process) as runner:
        update.runner = runner
        yield


def update(data=DATA, *, client_ids=("c0",), change=lambda cohort_fn: cohort_fn):
    """The mean update of a round over these clients, as one vector."""
    preprocessing = Preprocessing(batch_size=12)
    cohort_fn = change(build_cohort_fn(data, fixed(client_ids), preprocessing))
    first = update.runner.initialize()
    states = first, update.runner.next(first, cohort_fn(1)).state
    before, after = (update.runner.get_model_weights(one).trainable for one in states)
    return np.concatenate([np.ravel(b - a) for a, b in zip(before, after, strict=True)])


def test_only_the_malicious_lie():
    poisoned = poisoning.poison(DATA, ["c1"], poisoning.flip_labels())
    assert poisoned.client_ids == DATA.client_ids
    for client_id in ("c0", "c2"):
        assert tiny.same_bits(poisoned.examples(client_id), DATA.examples(client_id))
    pixels, labels = poisoned.examples("c1")
    assert tiny.same_bits(pixels, DATA.examples("c1").pixels)
    np.testing.assert_array_equal(labels, 9 - DATA.examples("c1").labels)
    assert labels.dtype == np.int32


def test_the_data_itself_is_not_touched():
    before = [DATA.examples("c1").labels.copy(), DATA.examples("c1").pixels.copy()]
    poisoning.poison(DATA, ["c1"], poisoning.flip_labels({0: 1})).examples("c1")
    assert tiny.same_bits(before, [DATA.examples("c1").labels, DATA.examples("c1").pixels])


def test_a_targeted_lie_leaves_other_labels():
    poisoned = poisoning.poison(DATA, ["c0"], poisoning.flip_labels({7: 1, 1: 7}))
    labels, honest = poisoned.examples("c0").labels, DATA.examples("c0").labels
    expected = np.where(honest == 7, 1, np.where(honest == 1, 7, honest))
    np.testing.assert_array_equal(labels, expected)


def test_lies_twice_are_the_truth():
    flip = poisoning.flip_labels()
    twice = poisoning.poison(poisoning.poison(DATA, ["c0"], flip), ["c0"], flip)
    assert tiny.same_data(twice, DATA)


def test_nobody_malicious_is_the_same_data():
    assert tiny.same_data(poisoning.poison(DATA, [], poisoning.flip_labels()), DATA)
    assert tiny.same_data(poisoning.poison(DATA, ["c0"], poisoning.repeat_examples(1)), DATA)


def test_who_repeats_its_examples_takes_the_weighted_mean_over():
    """c1 has 4 examples beside 12: a quarter of the mean; with 27 times as many, nine tenths."""
    honest, alone = update(), update(client_ids=("c1",))
    np.testing.assert_allclose(
        update(client_ids=("c0", "c1")), 0.75 * honest + 0.25 * alone, atol=1e-6
    )
    loud = poisoning.poison(DATA, ["c1"], poisoning.repeat_examples(27))
    boosted = update(loud, client_ids=("c1",))
    found = update(loud, client_ids=("c0", "c1"))
    np.testing.assert_allclose(found, 0.1 * honest + 0.9 * boosted, atol=1e-5)
    assert np.linalg.norm(boosted) > 1.3 * np.linalg.norm(alone)  # nine steps for one


def test_large_pixels_make_a_large_update():
    def change(cohort_fn):
        return poisoning.scale_images(cohort_fn, ["c0"], 50.0)

    norms = [np.linalg.norm(update(change=one)) for one in (lambda cohort_fn: cohort_fn, change)]
    assert norms[1] > 25 * norms[0]
    honest = update(client_ids=("c1",), change=change)
    np.testing.assert_array_equal(honest, update(client_ids=("c1",)))


def test_a_factor_of_1_changes_nothing():
    def change(cohort_fn):
        return poisoning.scale_images(cohort_fn, ["c0"], 1.0)

    np.testing.assert_array_equal(update(change=change), update())


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: poisoning.poison(DATA, ["c9"], poisoning.flip_labels()), "no client 'c9'"),
        (lambda: poisoning.flip_labels({3: 10}), "mapping must be at most 9. Found 10."),
        (lambda: poisoning.flip_labels({-1: 0}), "mapping must be at least 0. Found -1."),
        (lambda: poisoning.repeat_examples(0), "times must be at least 1. Found 0."),
        (
            lambda: poisoning.scale_images(dict, [], np.inf),
            "factor must be a finite number. Found inf.",
        ),
    ],
)
def test_a_poison_that_is_none_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_poison_that_makes_rubbish_is_named_when_it_is_used():
    poisoned = poisoning.poison(
        DATA, ["c1"], lambda examples: (examples.pixels * 9, examples.labels)
    )
    with pytest.raises(ValueError, match="Client 'c1': pixels must lie in"):
        poisoned.examples("c1")
