"""What an update gives away, exactly where it is exact, and images by looking for them."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from helpers import tiny

from fedlab import runtime
from fedlab.attacks import image_similarity, inversion
from fedlab.data import load_digits
from fedlab.data.preprocessing import Cohort, Preprocessing
from fedlab.models import create_cnn, create_loss

RATE = 0.1


def weights_of(model):
    return tff.learning.models.ModelWeights.from_model(model)


def tiny_weights():
    model = tiny.create_model()
    return tff.learning.models.ModelWeights(model.get_weights(), [])


def send(images, labels, **options):
    options = {"create_fn": tiny.create_model, "learning_rate": RATE} | options
    return inversion.client_delta(tiny_weights(), images, labels, **options)


def search(delta, labels, **options):
    options = {
        "create_fn": tiny.create_model,
        "learning_rate": RATE,
        "num_iterations": 60,
    } | options
    return inversion.invert(delta, tiny_weights(), labels, **options)


@pytest.fixture(scope="module")
def digits():
    """One image of each of six writers, with other labels."""
    data = load_digits()[1]
    examples = [data.examples(client_id) for client_id in data.client_ids]
    rows = [np.flatnonzero(e.labels == k % 10) for k, e in enumerate(examples)]
    found = [
        (e.pixels[r[0]], e.labels[r[0]]) for e, r in zip(examples, rows, strict=True) if len(r)
    ]
    pixels, labels = zip(*found[:6], strict=True)
    return np.stack(pixels), np.array(labels)


# The client's training, as the attacker runs it


def test_one_step_is_the_gradient(digits):
    images, labels = digits
    model = tiny.create_model()
    with tf.GradientTape() as tape:
        loss = create_loss()(labels, model(images[..., np.newaxis]))
    gradients = tape.gradient(loss, model.trainable_weights)
    for found, gradient in zip(send(images, labels), gradients, strict=True):
        np.testing.assert_allclose(found, -RATE * gradient.numpy(), atol=1e-7)


@pytest.mark.parametrize("num_epochs", [1, 2])
def test_is_what_a_client_sends_in_a_real_round(num_epochs):
    data = tiny.create_data(12)  # batches of 5, 5 and 2
    preprocessing = Preprocessing(batch_size=5, num_epochs=num_epochs)
    cohort = Cohort(data, ["c0"], preprocessing, round_num=1)
    with runtime.compile(tiny.build_process()) as runner:
        before = runner.initialize()
        after = runner.next(before, cohort).state
        sent = inversion.model_delta(*map(runner.get_model_weights, (before, after)))
    steps = {"num_steps": 3 * num_epochs, "batch_size": 5}
    for found, expected in zip(send(*data.examples("c0"), **steps), sent, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


# Labels


def test_one_images_label_is_read_off_without_doubt():
    for label in range(10):
        images = tiny.create_examples(1, seed=label).pixels
        delta = send(images, [label])
        assert inversion.infer_labels(-delta[-1] / RATE, 1) == [label]


def test_labels_of_a_batch_are_counted_by_hand():
    labels = [2, 2, 2, 5, 9, 9]
    counts = np.bincount(labels, minlength=10)
    answers = np.linspace(0.05, 0.15, 10)  # mean(p), adds up to 1
    gradient = answers - counts / 6
    found = inversion.infer_labels(gradient, 6, mean_probabilities=answers)
    assert found.tolist() == labels
    assert inversion.infer_labels(0.1 - counts / 6, 6).tolist() == labels


def test_a_label_with_a_negative_entry_is_in_the_batch(digits):
    images, labels = digits
    gradient = -send(images, labels)[-1] / RATE
    certain = set(np.flatnonzero(gradient < 0))
    assert certain <= set(labels)
    assert certain <= set(inversion.infer_labels(gradient, len(labels)))


# Features


def test_a_dense_layers_input_is_read_off_exactly(digits):
    images, labels = digits
    kernel, bias = send(images[:1], labels[:1])
    rows = inversion.dense_inputs(kernel, bias)
    assert len(rows) == 10  # every unit of a softmax layer has a gradient
    np.testing.assert_allclose(rows, np.tile(images[0].ravel(), (10, 1)), atol=1e-3)


def test_units_without_a_gradient_are_left_out():
    kernel = np.outer([1.0, 2.0], [3.0, 0.0, -6.0])
    rows = inversion.dense_inputs(kernel, np.array([3.0, 0.0, -6.0]))
    np.testing.assert_array_equal(rows, [[1.0, 2.0], [1.0, 2.0]])


# Images


def test_a_digit_comes_back_out_of_the_article_s_cnn(digits):
    images, labels = digits[0][1:2], digits[1][1:2]
    weights = tff.learning.models.ModelWeights(create_cnn().get_weights(), [])
    delta = inversion.client_delta(weights, images, labels, learning_rate=0.02)
    inferred = inversion.infer_labels(-delta[-1], 1)
    found = inversion.invert(delta, weights, inferred, learning_rate=0.02)
    assert image_similarity.score(images, found).ssim[0] >= 0.6
    assert image_similarity.blank_baseline(images).ssim[0] < 0.4


def test_several_images_and_local_steps_come_back(digits):
    images, labels = digits[0][:2], digits[1][:2]
    training = {"num_steps": 4, "batch_size": 1}
    delta = send(images, labels, **training)
    # One start of two ends in a local minimum.
    found = search(delta, labels, num_iterations=200, num_restarts=3, **training)
    found = found[image_similarity.match(images, found)]
    assert (image_similarity.score(images, found).ssim >= 0.6).all()


def test_clipping_changes_nothing_and_noise_does(digits):
    images, labels = digits[0][:1], digits[1][:1]
    delta = send(images, labels)
    plain = search(delta, labels, num_iterations=200)
    clipped = search([np.float32(2**-10) * one for one in delta], labels, num_iterations=200)
    rng = np.random.default_rng(0)
    norm = tf.linalg.global_norm(delta).numpy()
    noisy = [one + norm * rng.standard_normal(one.shape).astype(np.float32) for one in delta]
    lost = search(noisy, labels, num_iterations=200)
    scores = [image_similarity.score(images, one).ssim[0] for one in (plain, clipped, lost)]
    assert scores[0] > 0.6
    assert scores[1] == pytest.approx(scores[0], abs=0.02)
    assert scores[2] < 0.4


def test_is_a_function_of_the_seed(digits):
    delta = send(digits[0][:1], digits[1][:1])
    first, again, other = (
        search(delta, digits[1][:1], num_iterations=5, seed=seed) for seed in (1, 1, 2)
    )
    assert tiny.same_bits(first, again)
    assert not tiny.same_bits(first, other)
    assert first.shape == (1, 28, 28) and first.dtype == np.float32
    assert first.min() >= 0 and first.max() <= 1


def test_more_restarts_only_find_what_matches_better(digits):
    delta = send(digits[0][:1], digits[1][:1])

    def distance(images):
        again = send(images, digits[1][:1])
        dot = sum(np.vdot(a, b) for a, b in zip(delta, again, strict=True))
        norms = [tf.linalg.global_norm(one).numpy() for one in (delta, again)]
        return 1 - dot / np.prod(norms)

    one, four = (
        search(delta, digits[1][:1], num_iterations=10, num_restarts=number, tv_weight=0)
        for number in (1, 4)
    )
    assert distance(four) <= distance(one) + 1e-6


# Bad input


@pytest.mark.parametrize(
    "options, message",
    [
        ({"learning_rate": float("nan")}, "learning_rate .* Found nan."),
        ({"num_steps": 0}, "num_steps must be at least 1. Found 0."),
        ({"batch_size": 0}, "batch_size must be at least 1. Found 0."),
    ],
)
def test_training_that_is_none_is_refused(digits, options, message):
    with pytest.raises(ValueError, match=message):
        send(digits[0], digits[1], **options)
    with pytest.raises(ValueError, match=message):
        search(send(digits[0], digits[1]), digits[1], **options)


def zero(delta):
    return [array * 0 for array in delta]


def not_finite(delta):
    return [array * np.nan for array in delta]


@pytest.mark.parametrize(
    "change, options, message",
    [
        (list, {"num_iterations": 0}, "num_iterations must be at least 1. Found 0."),
        (list, {"tv_weight": -1.0}, "tv_weight .* Found -1.0."),
        (list, {"seed": -1}, "seed must be at least 0. Found -1."),
        (list, {"labels": []}, r"labels must have shape \(n,\), n at least 1. Found \(0,\)"),
        (zero, {}, "delta must not be zero"),
        (not_finite, {}, "delta must be finite"),
        (lambda delta: delta[:1], {}, "delta must have the shapes of the model's weights"),
    ],
)
def test_a_search_that_is_none_is_refused(digits, change, options, message):
    labels = options.get("labels", digits[1])
    options = {name: value for name, value in options.items() if name != "labels"}
    with pytest.raises(ValueError, match=message):
        search(change(send(digits[0], digits[1])), labels, **options)


def test_arrays_of_another_form_are_refused(digits):
    with pytest.raises(ValueError, match="images and labels must be as many. Found"):
        send(digits[0], digits[1][:2])
    with pytest.raises(
        ValueError, match=r"bias_gradient must have shape \(n,\), n at least 1. Found \(2, 2\)"
    ):
        inversion.infer_labels(np.ones((2, 2)), 1)
    with pytest.raises(
        ValueError, match=r"mean_probabilities must have shape \(10,\). Found \(3,\)"
    ):
        inversion.infer_labels(np.ones(10), 1, mean_probabilities=np.ones(3))
    with pytest.raises(ValueError, match=r"of one dense layer.*\(3, 2\) and \(3,\)"):
        inversion.dense_inputs(np.ones((3, 2)), np.ones(3))
    with pytest.raises(ValueError, match="must have a nonzero entry"):
        inversion.dense_inputs(np.ones((3, 2)), np.zeros(2))
