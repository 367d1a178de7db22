"""Model inversion shows what a model takes for a class, from its outputs alone, and no record."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from helpers import tiny

from fedlab import data
from fedlab.attacks import image_similarity, model_inversion
from fedlab.data import pool

LABELS = [0, 3, 7]


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


@pytest.fixture(scope="module")
def model(digits):
    """A linear classifier, trained centrally for a few seconds."""
    model, train = tiny.create_model(), pool(digits.train)
    model.compile("adam", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(train.pixels[..., None], train.labels, epochs=30, verbose=0, shuffle=False)
    return model


@pytest.fixture(scope="module")
def weights(model):
    return tff.learning.models.ModelWeights(model.get_weights(), [])


class Service:
    """Answers queries, and counts them."""

    def __init__(self, model, *, labels_alone=False):
        self.model, self.labels_alone, self.num_queries = model, labels_alone, 0

    def __call__(self, images):
        assert images.dtype == np.float32 and images.min() >= 0 and images.max() <= 1
        self.num_queries += len(images)
        confidences = tf.nn.softmax(self.model(images[..., None])).numpy()
        return confidences.argmax(axis=1) if self.labels_alone else confidences


def attack(model, weights, knowledge, labels=LABELS, **options):
    options = {"num_iterations": 40} | options
    if knowledge == "weights":
        create_fn = tiny.create_model
        return model_inversion.by_gradient(weights, labels, create_fn=create_fn, **options)
    if knowledge == "confidences":
        return model_inversion.from_confidences(Service(model), labels, **options)
    service = Service(model, labels_alone=True)
    return model_inversion.from_labels(service, labels, **options)


KNOWLEDGE = "weights", "confidences", "labels"


@pytest.mark.parametrize("knowledge", KNOWLEDGE)
def test_the_model_is_sure_of_the_image(model, weights, knowledge):
    result = attack(model, weights, knowledge)
    assert result.images.shape == (3, 28, 28) and result.images.dtype == np.float32
    assert result.images.min() >= 0 and result.images.max() <= 1
    answers = Service(model)(result.images)
    assert answers.argmax(axis=1).tolist() == LABELS
    assert result.confidence.min() > 0.9
    if knowledge != "labels":
        np.testing.assert_allclose(result.confidence, answers[range(3), LABELS], atol=1e-5)


def test_it_leaves_a_start_without_a_gradient():
    def create_silent_on_grey():  # the only unit is active on images that are lighter than 0.55
        model = tf.keras.Sequential(
            [
                tf.keras.layers.Input((28, 28, 1)),
                tf.keras.layers.Conv2D(1, 4, activation="relu"),
                tf.keras.layers.GlobalAveragePooling2D(),
                tf.keras.layers.Dense(2),
            ]
        )
        kernel = np.full((4, 4, 1, 1), 1 / 16)
        model.set_weights([kernel, np.array([-0.55]), np.array([[0.0, 20.0]]), np.zeros(2)])
        return model

    weights = tff.learning.models.ModelWeights(create_silent_on_grey().get_weights(), [])
    result = model_inversion.by_gradient(
        weights, [1], create_fn=create_silent_on_grey, num_iterations=60
    )
    assert result.confidence[0] > 0.9


def test_each_query_is_counted(model):
    for labels_alone, function in (
        (False, model_inversion.from_confidences),
        (True, model_inversion.from_labels),
    ):
        service = Service(model, labels_alone=labels_alone)
        result = function(service, [1, 2], num_iterations=5, num_directions=4)
        assert result.num_queries == service.num_queries


@pytest.mark.parametrize("knowledge", KNOWLEDGE)
def test_is_a_function_of_the_seed(model, weights, knowledge):
    first, again, other = (
        attack(model, weights, knowledge, [3], num_iterations=3, seed=seed).images
        for seed in (1, 1, 2)
    )
    assert tiny.same_bits(first, again)
    assert not tiny.same_bits(first, other)


def similarity(image, examples, label):
    """Returns the SSIM with each digit of the class."""
    originals = examples.pixels[examples.labels == label][:100]
    return image_similarity.score(originals, np.broadcast_to(image, originals.shape)).ssim


@pytest.mark.parametrize("knowledge", KNOWLEDGE)
def test_it_is_no_nearer_to_training_digits_than_to_digits_that_the_model_never_saw(
    model, weights, digits, knowledge
):
    result = attack(model, weights, knowledge)
    train, test = pool(digits.train), digits.pooled_test
    for image, label in zip(result.images, LABELS, strict=True):
        seen, unseen = similarity(image, train, label), similarity(image, test, label)
        deviation = np.hypot(seen.std() / len(seen) ** 0.5, unseen.std() / len(unseen) ** 0.5)
        assert abs(seen.mean() - unseen.mean()) < 4 * deviation
        assert seen.max() < 0.9  # no record of the training data


def test_a_label_that_no_random_image_gets_is_a_failure_that_is_told():
    result = model_inversion.from_labels(
        lambda images: np.zeros(len(images), int), [5, 0], num_iterations=3, num_directions=2
    )
    assert result.confidence.tolist() == [0.0, 1.0]
    assert np.all(result.images[0] == 0.5)
    assert result.num_queries == 12 + 4 + 12


def test_answers_that_do_not_depend_on_the_image_show_nothing():
    result = model_inversion.from_confidences(
        lambda images: np.full((len(images), 10), 0.1), [4], num_iterations=3
    )
    assert result.confidence == pytest.approx([0.1])
    assert np.abs(result.images - 0.5).max() < 1


@pytest.mark.parametrize(
    "function, answer, text",
    [
        ("from_confidences", lambda images: np.ones((len(images), 3)), "labels.*below 3.*Found 5"),
        ("from_confidences", lambda images: np.ones(len(images)), "answer of query_fn"),
        ("from_confidences", lambda images: np.full((len(images), 10), 1.5), "answer of query_fn"),
        (
            "from_confidences",
            lambda images: np.full((len(images), 10), np.nan),
            "answer of query_fn",
        ),
        ("from_labels", lambda images: [5], "one label for each of 50 images. Found 1"),
        ("from_labels", lambda images: np.full(len(images), 0.5), "answer of query_fn"),
        ("from_labels", lambda images: None, "answer of query_fn"),
    ],
)
def test_bad_answers_are_refused(function, answer, text):
    with pytest.raises((TypeError, ValueError), match=text):
        getattr(model_inversion, function)(answer, [5])


@pytest.mark.parametrize("function", ["from_confidences", "from_labels"])
def test_a_negative_label_is_no_last_class(function):
    with pytest.raises(ValueError, match="from 0 on. Found -1"):
        getattr(model_inversion, function)(lambda images: np.ones((len(images), 3)), [0, -1])
