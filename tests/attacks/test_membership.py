"""Attacks on made-up losses of which we know who is a member."""

import numpy as np
import pytest
from scipy import stats

from fedlab.attacks import membership


def draw(num_members, num_non_members, *, shift=0.0, seed=0):
    """Bell curves `shift` apart: the AUC is known."""
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.normal(shift, size=num_members), rng.normal(size=num_non_members)])
    return scores, np.arange(num_members + num_non_members) < num_members


# The curve


def test_a_curve_by_hand():
    result = membership.evaluate_attack([4.0, 2.0, 3.0, 1.0], [True, True, False, False])
    # Of the four pairs (member, non-member) three are in the right order.
    assert result.auc == 0.75
    assert (result.num_members, result.num_non_members) == (2, 2)
    assert result.tpr_at(0.5) == 1.0
    assert result.fpr[0] == 0 and result.tpr[-1] == 1


def test_scores_all_alike_are_a_coin():
    result = membership.evaluate_attack(np.zeros(40), np.arange(40) < 20)
    assert result.auc == 0.5 and result.auc_interval == (0.5, 0.5)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    truth = stats.norm.cdf(1 / np.sqrt(2))  # bell curves 1 apart
    hits = 0
    for seed in range(100):
        result = membership.evaluate_attack(
            *draw(60, 60, shift=1.0, seed=seed), num_resamples=100, confidence=0.9
        )
        hits += result.auc_interval[0] <= truth <= result.auc_interval[1]
    assert 80 <= hits <= 98  # binomial(100, 0.9): three standard deviations


def test_writers_are_drawn_whole():
    scores, is_member = draw(20, 20, shift=1.0)
    once = membership.evaluate_attack(scores, is_member, seed=3)
    # Each writer has ten examples of one score: no more is known than with one each.
    tenfold = [np.repeat(scores, 10), np.repeat(is_member, 10)]
    names = np.repeat([f"w{k:02d}" for k in range(40)], 10)
    whole = membership.evaluate_attack(*tenfold, client_ids=names, seed=3)
    split = membership.evaluate_attack(*tenfold, seed=3)
    assert whole.auc == pytest.approx(once.auc)
    assert np.ptp(whole.auc_interval) == pytest.approx(np.ptp(once.auc_interval), rel=0.05)
    assert np.ptp(split.auc_interval) < np.ptp(whole.auc_interval) / 2


def test_is_a_function_of_the_seed():
    first, again, other = (
        membership.evaluate_attack(*draw(30, 30), seed=seed).auc_interval for seed in (1, 1, 2)
    )
    assert first == again != other


def test_true_positives_at_one_in_a_thousand():
    scores, is_member = draw(500, 1000, shift=-10.0)
    scores[:100] = 20.0  # a hundred members give themselves away
    result = membership.evaluate_attack(scores, is_member, num_resamples=1)
    assert result.tpr_at(0.001) == 0.2
    assert result.auc < 0.3  # which the AUC does not say


def test_a_rate_finer_than_the_data_is_refused():
    result = membership.evaluate_attack(*draw(10, 999), num_resamples=1)
    with pytest.raises(ValueError, match="at least 1000 non-members. Found 999"):
        result.tpr_at(0.001)
    with pytest.raises(ValueError, match=r"fpr .* \(0, 1\]. Found 0."):
        result.tpr_at(0)
    exact = membership.evaluate_attack(*draw(10, 1000), num_resamples=1)
    assert 0 <= exact.tpr_at(0.001) <= 1


# Scores


def test_confidence_by_hand():
    losses = -np.log([0.5, 0.9, 0.1])
    expected = [0.0, np.log(9.0), -np.log(9.0)]
    np.testing.assert_allclose(membership.logit_confidences(losses), expected, atol=1e-12)


def test_confidence_is_finite_and_falls_with_the_loss():
    losses = np.array([0.0, 1e-7, 1e-3, 1.0, 50.0, 1e4])
    found = membership.logit_confidences(losses)
    assert np.isfinite(found).all() and (np.diff(found) < 0).all()


def test_likelihood_ratio_by_hand():
    # In-models say 2 and 4, out-models -1 and 1: means 3 and 0, both standard deviations sqrt(2).
    shadow, is_in = np.array([[2.0], [4.0], [-1.0], [1.0]]), np.array([[1], [1], [0], [0]])
    found = membership.lira_scores([3.0], shadow, is_in)
    assert found[0] == pytest.approx((3.0**2 - 0.0) / (2 * 2))
    assert membership.lira_scores([1.5], shadow, is_in)[0] == pytest.approx(0.0)


def simulate(num_models=8, num_examples=2000, seed=0):
    """Examples differ far more in difficulty than membership changes; half are members."""
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(scale=5.0, size=num_examples)
    is_in = rng.random((num_models + 1, num_examples)) < 0.5
    is_in[1], is_in[2] = True, False  # every example has a model of each kind
    confidences = difficulty + 2.0 * is_in + rng.normal(size=is_in.shape)
    return confidences[0], is_in[0], confidences[1:], is_in[1:]


def test_shadow_models_know_how_hard_an_example_is():
    target, is_member, shadow, is_in = simulate()
    aucs = [
        membership.evaluate_attack(scores, is_member, num_resamples=1).auc
        for scores in (
            target,  # without shadow models
            membership.lira_scores(target, shadow, is_in),
        )
    ]
    assert aucs[0] < 0.65
    assert aucs[1] > 0.85  # at best Phi(2 / sqrt 2) = 0.92


def test_nothing_is_found_where_training_left_no_trace():
    target, is_member, shadow, is_in = simulate()
    target, shadow = target - 2.0 * is_member, shadow - 2.0 * is_in
    scores = membership.lira_scores(target, shadow, is_in)
    low, high = membership.evaluate_attack(scores, is_member, confidence=0.999).auc_interval
    assert low < 0.5 < high


def test_losses_are_averaged_per_writer():
    names, found = membership.mean_per_client([[1.0, 5.0, 3.0], [0, 2, 0]], ["b", "a", "b"])
    assert names == ["a", "b"]
    np.testing.assert_array_equal(found, [[5.0, 2.0], [2.0, 0.0]])


# Shadow models


def test_every_client_is_in_half_of_the_shadow_models():
    clients = [f"c{k}" for k in range(50)]
    calls = []

    def train_fn(members, seed):
        calls.append((members, seed))
        return np.array([float(client_id in members) for client_id in clients])

    losses, is_in = membership.train_shadow_models(train_fn, clients, 6, seed=10)
    assert is_in.shape == (6, 50) and (is_in.sum(axis=0) == 3).all()
    np.testing.assert_array_equal(losses, is_in)
    assert [seed for _, seed in calls] == [11, 12, 13, 14, 15, 16]
    assert len({tuple(members) for members, _ in calls}) == 6
    again = membership.train_shadow_models(train_fn, clients, 6, seed=10)[1]
    np.testing.assert_array_equal(is_in, again)


# Bad input


@pytest.mark.parametrize(
    "options, message",
    [
        ({"scores": np.zeros(3)}, r"is_member must have shape \(3,\). Found \(4,\)"),
        ({"scores": np.array([0, np.nan, 0, 0])}, "scores must be numbers. Found nan"),
        ({"is_member": np.ones(4)}, "Found 4 members among 4"),
        ({"is_member": np.zeros(4)}, "Found 0 members among 4"),
        ({"client_ids": ["a"]}, "one entry per example. Found 1 for 4"),
        ({"is_member": np.full(4, 0.5)}, "is_member must be truth values. Found 0.5"),
        ({"confidence": 1.0}, "confidence .* Found 1.0."),
    ],
)
def test_scores_that_cannot_be_judged_are_refused(options, message):
    given = {"scores": np.arange(4.0), "is_member": np.arange(4) < 2} | options
    with pytest.raises(ValueError, match=message):
        membership.evaluate_attack(given.pop("scores"), given.pop("is_member"), **given)


@pytest.mark.parametrize("loss", [-1.0, np.nan])
def test_what_is_no_loss_is_refused(loss):
    with pytest.raises(ValueError, match=f"losses must be numbers of at least 0. Found {loss}"):
        membership.logit_confidences([1.0, loss])


def train_fn(members, seed):
    return [0.0]


ZEROS, SHADOW = np.zeros(3), np.zeros((2, 3))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: membership.lira_scores(ZEROS, SHADOW, np.ones((2, 3))), "a model that did not"),
        (
            lambda: membership.lira_scores(np.zeros(4), SHADOW, SHADOW),
            r"shadow must have shape \(n, 4\), n at least 1. Found \(2, 3\)",
        ),
        (lambda: membership.lira_scores(ZEROS + np.inf, SHADOW, SHADOW), "must be finite"),
        (lambda: membership.train_shadow_models(train_fn, ["a", "b"], 1), "num_models .* Found 1."),
        (
            lambda: membership.train_shadow_models(train_fn, ["a"], 4),
            "num_models must fit 1 clients.* Found 4",
        ),
        (lambda: membership.mean_per_client([0.0, 1.0], ["a"]), "Found 1 for 2 examples."),
    ],
)
def test_arguments_that_do_not_fit_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_truth_as_text_is_refused():
    with pytest.raises(TypeError, match="is_member must be an array of truth values. Found"):
        membership.evaluate_attack(np.arange(4.0), ["False", "False", "True", "True"])
