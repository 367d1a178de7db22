"""FedAvg's relatives: equal to it where they must be, and a round of each worked out by hand."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from helpers import tiny

from fedlab import learning, models, runtime
from fedlab.data.preprocessing import Preprocessing
from fedlab.learning import schedules
from fedlab.learning.optimizers import Proximal

SIZES = (12, 4, 8)
COHORT = list(tiny.create_cohort(*SIZES).values())
OTHERS = list(tiny.create_cohort(*SIZES, round_num=2).values())
START = tiny.create_model().get_weights()
RATE = 0.1


@functools.cache
def model():
    return models.build_functional_model(tiny.create_model)


@functools.cache
def compiled(name, **options):
    options = options if name == "fed_sgd" else {"client_learning_rate": RATE} | options
    return runtime.compile(getattr(learning, f"build_{name}")(model(), **options))


def run(runner, *cohorts):
    """The trainable weights after each round, and the last output."""
    state, found = runner.initialize(), []
    for cohort in cohorts or (COHORT, OTHERS):
        output = runner.next(state, cohort)
        state = output.state
        found.append(trainable(runner, state))
    return found, output


def trainable(runner, state):
    return [np.asarray(one) for one in runner.get_model_weights(state).trainable]


def changes_from(weights, cohort):
    """The mean change of FedAvg's clients that begin at some weights."""
    runner = compiled("fed_avg")
    weights = tff.learning.models.ModelWeights(tuple(weights), ())
    state = runner.set_model_weights(runner.initialize(), weights)
    after = trainable(runner, runner.next(state, cohort).state)
    return [end - start for start, end in zip(weights.trainable, after, strict=True)]


def assert_close(found, expected, atol=1e-6):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=atol)


def difference(found, other):
    return max(np.abs(a - b).max() for a, b in zip(found, other, strict=True))


@pytest.mark.parametrize(
    "name, options", [("fed_prox", {"mu": 0.0}), ("fed_avgm", {"momentum": 0.0})]
)
def test_these_are_fed_avg_bit_for_bit(name, options):
    assert tiny.same_bits(run(compiled(name, **options))[0], run(compiled("fed_avg"))[0])


@pytest.mark.parametrize("kind", ["fed_prox", "mime_lite"])
def test_both_kinds_of_model_train_to_the_same(kind):
    options = {"mu": 2.0} if kind == "fed_prox" else {"momentum": 0.9}
    variable = models.build_model_fn(tiny.create_model)
    process = getattr(learning, f"build_{kind}")(variable, client_learning_rate=RATE, **options)
    (_, found), _ = run(runtime.compile(process))
    assert_close(found, run(compiled(kind, **options))[0][1], atol=1e-5)


# The server, by hand


def server_steps(name, **options):
    """The weights after two rounds, and the mean change of the clients in each."""
    first, second = run(compiled(name, **options))[0]
    return (first, second), (changes_from(START, COHORT), changes_from(first, OTHERS))


def test_momentum_adds_up_the_changes():
    (first, second), deltas = server_steps("fed_avgm", momentum=0.8, server_learning_rate=0.5)
    velocity = deltas[0]
    assert_close(first, [w + 0.5 * v for w, v in zip(START, velocity, strict=True)])
    velocity = [0.8 * v + d for v, d in zip(velocity, deltas[1], strict=True)]
    assert_close(second, [w + 0.5 * v for w, v in zip(first, velocity, strict=True)])


def test_adam_at_the_server():
    found, deltas = server_steps(
        "fed_adam", server_learning_rate=0.02, beta_1=0.8, beta_2=0.95, epsilon=1e-3
    )
    weights = START
    m, v = ([np.zeros_like(one) for one in START] for _ in range(2))
    for step, (ours, delta) in enumerate(zip(found, deltas, strict=True), 1):
        m = [0.8 * a + 0.2 * d for a, d in zip(m, delta, strict=True)]
        v = [0.95 * a + 0.05 * d**2 for a, d in zip(v, delta, strict=True)]
        rate = 0.02 * np.sqrt(1 - 0.95**step) / (1 - 0.8**step)
        weights = [
            w + rate * a / (np.sqrt(b) + 1e-3) for w, a, b in zip(weights, m, v, strict=True)
        ]
        assert_close(ours, weights, atol=1e-5)


def test_yogi_at_the_server():
    found, deltas = server_steps("fed_yogi", server_learning_rate=0.02, beta_1=0.0, beta_2=0.9)
    weights, v = START, [np.full_like(one, 1e-6) for one in START]
    for step, (ours, delta) in enumerate(zip(found, deltas, strict=True), 1):
        v = [a + 0.1 * d**2 * np.sign(d**2 - a) for a, d in zip(v, delta, strict=True)]
        rate = 0.02 * np.sqrt(1 - 0.9**step)
        weights = [
            w + rate * d / (np.sqrt(a) + 1e-3) for w, d, a in zip(weights, delta, v, strict=True)
        ]
        assert_close(ours, weights, atol=1e-5)


def test_fed_sgd_is_one_step_of_sgd_on_everybody_s_examples():
    examples = [tiny.create_examples(size, seed=k) for k, size in enumerate(SIZES)]
    arrays = [np.concatenate(one) for one in zip(*examples, strict=True)]
    whole = Preprocessing(batch_size=999).apply_to_arrays(*arrays)
    (found,), _ = run(compiled("fed_sgd", server_learning_rate=RATE), COHORT)
    assert_close(found, run(compiled("fed_avg"), [whole])[0][0])


# The clients


def test_the_proximal_pull_is_towards_the_round_s_start():
    """Two steps on the same batch: the first begins at the start, so only the second is pulled."""
    batch = COHORT[0].take(1)
    twice = batch.concatenate(batch)
    (free_one,), _ = run(compiled("fed_avg"), [batch])
    (free_two,), _ = run(compiled("fed_avg"), [twice])
    (pulled_one,), _ = run(compiled("fed_prox", mu=2.0), [batch])
    (pulled_two,), _ = run(compiled("fed_prox", mu=2.0), [twice])
    assert tiny.same_bits(pulled_one, free_one)
    expected = [
        free - RATE * 2.0 * (one - start)
        for free, one, start in zip(free_two, free_one, START, strict=True)
    ]
    assert_close(pulled_two, expected)


def test_the_pull_begins_anew_in_every_round():
    first, second = run(compiled("fed_prox", mu=2.0), [COHORT[0].take(1)], [COHORT[1].take(1)])[0]
    expected = changes_from(first, [COHORT[1].take(1)])
    assert_close([end - start for start, end in zip(first, second, strict=True)], expected)


def distance(runner):
    """How far one client goes; this one goes straight on, so a pull shortens its way."""
    (found,), _ = run(runner, COHORT[2:])
    return np.sqrt(sum(np.sum((a - b) ** 2) for a, b in zip(found, START, strict=True)))


def test_tff_s_own_fed_prox_pushes_clients_away_and_ours_pulls():
    """Why `build_fed_prox` is not TFF's. If this fails, TFF was mended: use TFF's."""
    optimizers = tff.learning.optimizers
    theirs = tff.learning.algorithms.build_weighted_fed_prox(
        model(), 2.0, optimizers.build_sgdm(RATE), optimizers.build_sgdm(1.0)
    )
    free = distance(compiled("fed_avg"))
    assert distance(compiled("fed_prox", mu=2.0)) < free < distance(runtime.compile(theirs))


def test_the_pull_works_with_adam_and_a_schedule():
    options = {
        "client_learning_rate": lambda round_num: tf.constant(0.01),
        "client_optimizer": "adam",
    }
    free, pulled = (compiled("fed_prox", mu=mu, **options) for mu in (0.0, 10.0))
    assert distance(pulled) < distance(free)


def test_the_pull_beside_a_server_that_only_adds_is_fed_prox():
    beside_momentum = compiled("fed_avgm", momentum=0.0, mu=2.0)
    assert tiny.same_bits(run(beside_momentum)[0], run(compiled("fed_prox", mu=2.0))[0])


@pytest.mark.parametrize("name", ["fed_adam", "fed_yogi"])
def test_the_pull_is_the_clients_beside_an_adaptive_server_too(name):
    """With an epsilon far above the changes, a smaller change makes a smaller step."""
    free, pulled = (distance(compiled(name, mu=mu, epsilon=1.0)) for mu in (0.0, 2.0))
    assert pulled < free


def test_the_pull_passes_over_a_weight_without_gradient():
    optimizer = Proximal(tff.learning.optimizers.build_sgdm(1.0), 0.5)
    weights = (tf.constant(1.0), tf.constant(2.0))
    specs = tuple(tf.TensorSpec((), tf.float32) for _ in weights)
    _, found = optimizer.next(optimizer.initialize(specs), weights, (tf.constant(0.25), None))
    assert [float(one) for one in found] == [0.75, 2.0]


def test_adam_at_the_clients_steps_by_its_rate():
    runner = compiled("fed_avg", client_optimizer="adam", client_learning_rate=0.01)
    (found,), _ = run(runner, [COHORT[0].take(1)])
    moved = np.abs(found[0] - START[0])
    assert moved.max() <= 0.01 + 1e-6
    assert np.median(moved) > 0.0099  # the first step of Adam is the gradient's sign


def test_mime_lite_by_hand():
    """One batch a client, so its one step is `w - rate * (momentum * v + gradient)`."""
    cohorts = [[client.take(1) for client in cohort] for cohort in (COHORT, OTHERS)]
    first, second = run(compiled("mime_lite", momentum=0.9), *cohorts)[0]
    change = changes_from(START, cohorts[0])  # minus the rate times the mean gradient
    assert_close(first, [w + d for w, d in zip(START, change, strict=True)])
    next_change = changes_from(first, cohorts[1])
    expected = [w + 0.9 * d + e for w, d, e in zip(first, change, next_change, strict=True)]
    assert_close(second, expected)


def test_mime_lite_learns():
    runner = compiled("mime_lite", momentum=0.9, client_learning_rate=0.003)
    first, last = (run(runner, *[COHORT] * num_rounds)[1] for num_rounds in (1, 8))
    losses = [one.metrics["client_work"]["train"]["loss"] for one in (first, last)]
    assert losses[1] < losses[0] - 0.1


# Schedules


def zero_then_rate(round_num):
    return tf.where(tf.equal(round_num, 0), 0.0, RATE)


@pytest.mark.parametrize("name, options", [("fed_avg", {}), ("mime_lite", {"momentum": 0.0})])
def test_each_round_has_its_own_rate(name, options):
    runner = compiled(name, client_learning_rate=zero_then_rate, **options)
    (first, second), output = run(runner, COHORT, COHORT)
    assert tiny.same_bits(first, START)
    assert_close(second, run(compiled("fed_avg"), COHORT)[0][0])
    if name == "fed_avg":
        assert output.metrics["client_work"]["client_learning_rate"] == pytest.approx(RATE)
        assert output.state.client_work == 2  # so a checkpoint goes on with the right rate


def test_an_unweighted_schedule_counts_every_client_once():
    runner = compiled("fed_avg", client_learning_rate=zero_then_rate, weighted=False)
    (_, found), _ = run(runner, COHORT, COHORT)
    alone = [changes_from(START, [client]) for client in COHORT]
    expected = [w + np.mean(each, axis=0) for w, *each in zip(START, *alone, strict=True)]
    assert_close(found, expected)
    assert difference(found, run(compiled("fed_avg"), COHORT)[0][0]) > 1e-4


# Bad input


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("fed_prox", {"mu": -1.0}, "mu must be a finite number of at least 0. Found -1.0"),
        ("fed_avgm", {"momentum": 1.0}, r"momentum must be a number in \[0, 1\). Found 1.0"),
        ("mime_lite", {"momentum": -0.1}, r"momentum must be a number in \[0, 1\). Found -0.1"),
        ("fed_adam", {"beta_1": 1.0}, "beta_1 must be a number in"),
        ("fed_yogi", {"beta_2": float("nan")}, "beta_2 must be a number in"),
        ("fed_yogi", {"epsilon": 0.0}, "epsilon must be a finite number above 0. Found 0.0"),
        ("fed_adam", {"server_learning_rate": -0.1}, "server_learning_rate must be .* Found -0.1"),
        ("fed_sgd", {"server_learning_rate": -0.1}, "server_learning_rate must be .* Found -0.1"),
        ("fed_avg", {"client_optimizer": "lion"}, "one of sgd, adam. Found 'lion'"),
        ("mime_lite", {"client_learning_rate": -0.1}, "client_learning_rate must be .* Found -0.1"),
        ("fed_avg", {"client_learning_rate": lambda k: -0.1}, r"rate\(0\) must be .* Found -0.1"),
        (
            "fed_avg",
            {"aggregator": tff.aggregators.UnweightedMeanFactory()},
            "does not use the number of examples. Build the algorithm with weighted=False",
        ),
        (
            "fed_avg",
            {
                "aggregator": tff.aggregators.MeanFactory(),
                "weighted": False,
                "client_learning_rate": schedules.exponential_decay(0.1, factor=1.0, num_rounds=1),
            },
            "the aggregator must not use the number of examples",
        ),
    ],
)
def test_bad_input_is_named(name, options, message):
    options = options if name == "fed_sgd" else {"client_learning_rate": RATE} | options
    with pytest.raises(ValueError, match=message):
        getattr(learning, f"build_{name}")(model(), **options)
