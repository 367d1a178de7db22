"""The default data set: real digits by simulated writers, without a download.

The images are scikit-learn's 1,797 real handwritten digits (UCI, Alpaydin & Kaynak 1998; 8x8
pixels). Their writers are not known, so the writers here are simulated: each has its own style
(slant, size, width, stroke) and its own label mix, drawn from a Dirichlet distribution.
"""

import functools
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from sklearn.datasets import load_digits as load_sklearn_digits

from fedlab.checks import check_count, check_number, check_seed
from fedlab.data import partition
from fedlab.data.client_data import Examples, MemoryClientData
from fedlab.data.elements import DIGIT_SHAPE
from fedlab.random_streams import random_stream

NUM_SOURCE_IMAGES = 1797
MIN_EXAMPLES = 5  # a writer has at least four training digits and one test digit
TEST_FRACTION = 0.2
_SOURCE_CENTER, _TARGET_CENTER = 3.5, 13.5  # of the 8x8 and of the 28x28 image
_PIXELS_PER_SOURCE_PIXEL = 2.75


class Style(NamedTuple):
    """The handwriting of a simulated writer.

    Attributes:
        slant: Horizontal shift per vertical pixel; above 0 leans to the right.
        size: Scale of the whole digit, about 1.
        aspect: Width divided by height, about 1.
        threshold: Ink above which a pixel belongs to the stroke, in (0, 1); a low value gives a
            thick pen.
    """

    slant: float
    size: float
    aspect: float
    threshold: float


class Writer(NamedTuple):
    """A simulated writer.

    Attributes:
        style: The writer's handwriting.
        train_rows: Rows of scikit-learn's digits for training, int64 (num_train,).
        test_rows: Rows of scikit-learn's digits for the test, int64 (num_test,).
    """

    style: Style
    train_rows: np.ndarray
    test_rows: np.ndarray


def load_digits(
    num_clients: int = 100, *, alpha: float = 5.0, seed: int = 0
) -> tuple[MemoryClientData, MemoryClientData]:
    """Returns real digits by simulated writers, in Federated EMNIST's convention.

    Each source image is used once, by one writer, either to train or to test.

    Args:
        num_clients: Number of simulated writers, between 2 and 359 (five digits each).
        alpha: Concentration of the writers' label mixes, finite and above 0; a small value gives
            skewed mixes.
        seed: Seed of sizes, styles, label mixes and the split, at least 0.

    Returns:
        `(train, test)`, with every writer in both; the ids are `writer_000`, `writer_001`, …

    Raises:
        TypeError: An argument is not a number.
        ValueError: `num_clients` or `alpha` is out of range.

    Example:
        >>> train, test = load_digits(num_clients=20)
        >>> train.client_ids[0], train.image_shape
        ('writer_000', (28, 28))
    """
    writers = create_writers(num_clients, alpha=alpha, seed=seed)
    images, labels = _source()

    def draw(style: Style, rows: np.ndarray) -> Examples:
        return Examples(render(images[rows], style), labels[rows])

    return (
        MemoryClientData(writers, lambda name: draw(writers[name].style, writers[name].train_rows)),
        MemoryClientData(writers, lambda name: draw(writers[name].style, writers[name].test_rows)),
    )


def create_writers(num_clients: int, *, alpha: float = 5.0, seed: int = 0) -> dict[str, Writer]:
    """Draws the simulated writers.

    Args:
        num_clients: Number of writers, between 2 and 359.
        alpha: Concentration of their label mixes, finite and above 0; a small value gives skewed
            mixes.
        seed: Seed of sizes, styles, label mixes and the split, at least 0.

    Returns:
        A dictionary from the client's id (`writer_000`, …) to its writer. The rows of all writers
        are disjoint; together they are all 1,797.

    Raises:
        TypeError: An argument is not a number.
        ValueError: `num_clients` or `alpha` is out of range.
    """
    max_clients = NUM_SOURCE_IMAGES // MIN_EXAMPLES
    num_clients = check_count("num_clients", num_clients, at_least=2, at_most=max_clients)
    alpha, seed = check_number("alpha", alpha, above=0), check_seed(seed)
    sizes = _draw_sizes(num_clients, random_stream("digits: sizes", seed))
    mixes = random_stream("digits: label mixes", seed)
    writers = {}
    for number, rows in enumerate(partition.deal_by_mix(_source()[1], sizes, alpha, mixes)):
        client_id = f"writer_{number:03d}"
        num_test = max(1, round(TEST_FRACTION * len(rows)))
        rows = random_stream("digits: split", seed, client_id).permutation(rows)
        style = _draw_style(random_stream("digits: style", seed, client_id))
        writers[client_id] = Writer(style, rows[num_test:], rows[:num_test])
    return writers


def _draw_sizes(num_clients: int, rng: np.random.Generator) -> np.ndarray:
    """Draws unequal numbers of digits per writer (log-normal, as people differ), at least five."""
    spread = rng.lognormal(sigma=0.5, size=num_clients)
    spare = NUM_SOURCE_IMAGES - MIN_EXAMPLES * num_clients
    sizes = MIN_EXAMPLES + np.floor(spare * spread / spread.sum()).astype(int)
    sizes[: NUM_SOURCE_IMAGES - sizes.sum()] += 1  # the digits that the rounding left out
    return sizes


def _draw_style(rng: np.random.Generator) -> Style:
    return Style(
        slant=rng.normal(0.1, 0.22),
        size=rng.uniform(0.78, 1.08),
        aspect=rng.uniform(0.75, 1.15),
        threshold=rng.uniform(0.25, 0.6),
    )


def render(images: np.ndarray, style: Style) -> np.ndarray:
    """Draws digits of 8x8 pixels as digits of 28x28 pixels in a writer's style.

    Args:
        images: float (n, 8, 8) in [0, 1]; 0.0 is the background, 1.0 is ink.
        style: The writer's style.

    Returns:
        float32 (n, 28, 28) in [0, 1]; 1.0 is the background, 0.0 is ink.
    """
    scale = _PIXELS_PER_SOURCE_PIXEL * style.size
    # From the position (row, column) of a target's pixel to that in the source.
    to_source = np.array([[1.0, 0.0], [style.slant, 1.0 / style.aspect]]) / scale
    offset = _SOURCE_CENTER - to_source @ np.full(2, _TARGET_CENTER)
    ink = np.stack(
        [
            ndimage.affine_transform(image, to_source, offset, output_shape=DIGIT_SHAPE, order=3)
            for image in images
        ]
    )
    # A soft threshold turns the blurred enlargement back into a pen stroke with clean edges.
    stroke = np.clip((ink - style.threshold) / 0.3 + 0.5, 0.0, 1.0)
    return (1.0 - stroke).astype(np.float32)


@functools.lru_cache(maxsize=1)
def _source() -> tuple[np.ndarray, np.ndarray]:
    digits = load_sklearn_digits()
    return digits.images / 16.0, digits.target.astype(np.int32)
