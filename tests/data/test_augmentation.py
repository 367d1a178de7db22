"""Other versions of an image: of the same thing, and the same ones for the same numbers."""

import time

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from helpers import tiny

from fedlab.data import augmentation, sampling
from fedlab.data.augmentation import AUGMENTATIONS, MAX_BRIGHTNESS_CHANGE, MAX_SHIFT
from fedlab.data.preprocessing import Preprocessing, build_cohort_fn

NAMES = sorted(AUGMENTATIONS)
SEED = tf.constant([3, 4], tf.int64)
EXAMPLES = tiny.create_examples(40)
IMAGES = tf.constant(EXAMPLES.pixels[..., np.newaxis])
PAPER = tf.ones((40, 28, 28, 1))


def augment(name, images=IMAGES, seed=SEED):
    return AUGMENTATIONS[name](images, seed).numpy()


def images_of(dataset):
    return np.concatenate([images for images, _ in dataset.as_numpy_iterator()])


def augmented(*stream, arrays=EXAMPLES, **options):
    options = {"augmentation": "affine"} | options
    return images_of(Preprocessing(batch_size=16, **options).apply_to_arrays(*arrays, *stream))


def ink_spot():
    images = np.ones((500, 28, 28, 1), np.float32)
    images[:, 10, 15] = 0
    return tf.constant(images)


@pytest.mark.parametrize("name", NAMES)
def test_keeps_shape_type_and_range(name):
    found = augment(name)
    assert found.shape == IMAGES.shape
    assert found.dtype == np.float32
    beyond = MAX_BRIGHTNESS_CHANGE if "brightness" in name else 0
    assert found.min() >= -beyond
    assert found.max() <= 1 + beyond
    assert np.abs(found - IMAGES).max() > 0.01


@pytest.mark.parametrize("name", ["mirror", "shift", "affine"])
def test_paper_stays_paper(name):
    np.testing.assert_allclose(augment(name, PAPER), PAPER, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_is_a_function_of_the_seed_alone(name):
    first = augment(name)
    tf.random.set_seed(99)
    assert tiny.same_bits(augment(name), first)
    assert not np.array_equal(augment(name, seed=tf.constant([4, 3], tf.int64)), first)


@pytest.mark.parametrize("name", NAMES)
def test_each_image_has_a_draw_of_its_own(name):
    found = augment(name, tf.repeat(IMAGES[:1], 40, axis=0))
    # Mirrored or not are two versions, shifts are 25; the others never meet twice.
    least = {"mirror": 2, "shift": 10}.get(name, 38)
    assert len({one.tobytes() for one in found}) >= least


def test_mirrors_about_half_of_the_images_left_to_right():
    found = augment("mirror", tf.repeat(IMAGES[:1], 400, axis=0))
    original, mirrored = IMAGES[0].numpy(), IMAGES[0].numpy()[:, ::-1]
    is_mirrored = [np.array_equal(one, mirrored) for one in found]
    assert all(
        is_one or np.array_equal(one, original)
        for one, is_one in zip(found, is_mirrored, strict=True)
    )
    assert abs(sum(is_mirrored) - 200) < 5 * 10  # five standard deviations


def test_brightness_adds_one_number_to_all_pixels_of_an_image():
    """So it is not clipped, as it is not in the article: the images hold paper, 1, and ink, 0."""
    images = IMAGES.numpy()
    assert (images.min(), images.max()) == pytest.approx((0, 1), abs=1e-3)
    change = augment("brightness") - images
    assert np.ptp(change, axis=(1, 2, 3)).max() < 1e-6
    assert np.abs(change).max() <= MAX_BRIGHTNESS_CHANGE + 1e-6
    assert change.min() < -0.05
    assert change.max() > 0.05


def test_shifts_by_all_whole_numbers_of_pixels_equally_often():
    spots = augment("shift", ink_spot())
    assert set(np.unique(spots)) == {0, 1}
    rows, columns = np.nonzero(spots[..., 0] == 0)[1:]
    assert len(rows) == 500
    span = range(-MAX_SHIFT, MAX_SHIFT + 1)
    for moved in (rows - 10, columns - 15):
        counts = [np.sum(moved == step) for step in span]
        assert sum(counts) == 500
        assert min(counts) > 100 - 5 * 9  # binomial, five standard deviations


def test_affine_is_the_turn_zoom_and_shift_that_scipy_makes(monkeypatch):
    draws = tf.constant([[0.5, -0.8, 0.25, -0.75]])  # of the angle, the zoom, right, down
    monkeypatch.setattr(augmentation, "_uniform", lambda *args, **options: draws)
    smooth = scipy.ndimage.gaussian_filter(EXAMPLES.pixels[0], 1.0)
    found = augment("affine", tf.constant(smooth[np.newaxis, ..., np.newaxis]))[0, ..., 0]
    angle, zoom, middle = np.radians(6), 0.92, np.array([13.5, 13.5])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / zoom
    moved = middle + np.array([-1.5, 0.5])  # rows (down), then columns
    expected = scipy.ndimage.affine_transform(
        smooth, turn, middle - turn @ moved, order=1, mode="grid-constant", cval=1.0
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_affine_moves_ink_by_no_more_than_it_says():
    spots = 1 - augment("affine", ink_spot())[..., 0]
    weights = spots.sum(axis=(1, 2))
    rows, columns = np.mgrid[:28, :28]
    found = np.array([(spots * axis).sum(axis=(1, 2)) / weights for axis in (rows, columns)])
    distance = np.hypot(*(found - np.array([[10.0], [15.0]])))
    radius = np.hypot(10 - 13.5, 15 - 13.5)
    # Along the circle, in or out, and both shifts at once; half a pixel for the interpolation.
    assert distance.max() < radius * np.radians(12) + radius * 0.1 + np.hypot(2, 2) + 0.5
    assert distance.max() > 1.5


# In preprocessing


def test_without_it_the_images_are_as_they_were():
    plain = augmented(1, 2, augmentation=None)
    assert tiny.same_bits(plain[..., 0], EXAMPLES.pixels)


@pytest.mark.parametrize("shuffle", [False, True])
def test_every_epoch_round_and_client_sees_others_and_the_same_again(shuffle):
    first = augmented(1, 2, num_epochs=2, shuffle=shuffle)
    assert tiny.same_bits(augmented(1, 2, num_epochs=2, shuffle=shuffle), first)
    every = {image.tobytes() for image in first}
    assert len(every) == 80
    for stream in ((2, 2), (1, 3)):
        assert not every & {image.tobytes() for image in augmented(*stream, shuffle=shuffle)}
    assert not every & {image.tobytes() for image in augmented(1, 2, shuffle=shuffle, seed=5)}


def test_the_shuffling_changes_the_order_and_nothing_else():
    def counted(images):
        return sorted(image.tobytes() for image in images)

    assert counted(augmented(1, shuffle=True)) == counted(augmented(1))
    shuffled = {"augmentation": lambda images, seed: images, "shuffle": True}
    plain = {"augmentation": None, "shuffle": True}
    assert tiny.same_bits(augmented(1, **shuffled), augmented(1, **plain))


def test_labels_stay_with_their_images():
    preprocessing = Preprocessing(batch_size=7, shuffle=True, augmentation="brightness")
    whole = np.full((30, 28, 28), 0.5, np.float32) + np.linspace(-0.3, 0.3, 30)[:, None, None]
    label_of_mean = np.arange(30, dtype=np.int32)
    batches = preprocessing.apply_to_arrays(whole.astype(np.float32), label_of_mean, 1)
    labels, means = [], []
    for images, found in batches.as_numpy_iterator():
        labels.extend(found)
        means.extend(images.mean(axis=(1, 2, 3)))
    assert sorted(labels) == list(range(30))
    expected = 0.5 + np.linspace(-0.3, 0.3, 30)[labels]
    assert np.abs(means - expected).max() <= MAX_BRIGHTNESS_CHANGE + 1e-6


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_both_ways_of_preprocessing_agree(name, shuffle):
    preprocessing = Preprocessing(16, num_epochs=2, shuffle=shuffle, augmentation=name)
    dataset = tiny.create_data(40).create_tf_dataset_for_client("c0")
    unknown = dataset.filter(lambda element: True)  # of a size that is not known: the graph's way
    expected = images_of(preprocessing.apply(dataset, 1, 2))
    np.testing.assert_allclose(images_of(preprocessing.apply(unknown, 1, 2)), expected, atol=1e-6)


def test_a_cohort_sees_it():
    data = tiny.create_data(20, 20)
    preprocessing = Preprocessing(augmentation="shift")
    cohort_fn = build_cohort_fn(data, sampling.fixed(["c0", "c1"]), preprocessing)
    found = images_of(cohort_fn(1)["c1"])
    assert not np.array_equal(found[..., 0], data.examples("c1").pixels)
    assert tiny.same_bits(images_of(cohort_fn(1)["c1"]), found)


def test_an_affine_version_takes_well_under_a_millisecond():
    arrays = tiny.create_examples(400)
    augmented(arrays=arrays)
    start = time.perf_counter()
    for round_num in range(5):
        augmented(round_num, arrays=arrays)
    assert time.perf_counter() - start < 5 * 400 * 1e-3


def test_a_wrong_name_is_named():
    with pytest.raises(ValueError, match="one of mirror, brightness, .*. Found 'miror'"):
        Preprocessing(augmentation="miror")


@pytest.mark.parametrize(
    "function",
    [
        lambda images, seed: images[..., 0],
        lambda images, seed: tf.cast(images, tf.float64),
        lambda images, seed: images[:, :14],
    ],
)
def test_a_function_that_returns_something_else_is_told(function):
    with pytest.raises(ValueError, match="augmentation must return float32"):
        augmented(augmentation=function)
