"""The default data set: real digits, simulated writers, no network.

The images are scikit-learn's 1,797 real handwritten digits (UCI, Alpaydin & Kaynak 1998; 8x8
pixels). Who wrote which is not known, so the writers here are simulated: each one has a style of
its own (slant, size, width, stroke) and a label mix drawn from a Dirichlet.
"""

import functools
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from sklearn.datasets import load_digits as load_sklearn_digits

from fedlab.data import partition
from fedlab.data.client_data import Examples, MemoryClientData

NUM_SOURCE_IMAGES = 1797
MIN_EXAMPLES = 5  # a writer has at least four training digits and one test digit
TEST_FRACTION = 0.2
_SOURCE_CENTER, _TARGET_CENTER = 3.5, 13.5  # of the 8x8 and of the 28x28 image
_PIXELS_PER_SOURCE_PIXEL = 2.75


class Style(NamedTuple):
    """How a simulated writer writes.

    Attributes:
        slant: Horizontal shift per vertical pixel; above 0 leans to the right.
        size: Scale of the whole digit, about 1.
        aspect: Width over height, about 1.
        threshold: How much ink counts as stroke, in (0, 1); low is a thick pen.
    """

    slant: float
    size: float
    aspect: float
    threshold: float


class Writer(NamedTuple):
    """A simulated writer: style, and the rows of scikit-learn's digits that it owns."""

    style: Style
    train_rows: np.ndarray
    test_rows: np.ndarray


def load_digits(
    num_clients: int = 100, *, alpha: float = 5.0, seed: int = 0
) -> tuple[MemoryClientData, MemoryClientData]:
    """Returns real digits by simulated writers, in Federated EMNIST's convention.

    Every source image is used once: by one writer, either to train or to test.

    Args:
        num_clients: Number of simulated writers, between 2 and 359 (five digits each).
        alpha: Concentration of the writers' label mixes, above 0; small is skewed.
        seed: Seed of styles, label mixes and the split.

    Returns:
        `(train, test)`, every writer in both; ids `writer_000`, `writer_001`, …

    Raises:
        ValueError: `num_clients` or `alpha` is out of range.
    """
    writers = create_writers(num_clients, alpha=alpha, seed=seed)
    images, labels = _source()

    def read(client_id: str, rows_of: str) -> Examples:
        writer = writers[client_id]
        rows = getattr(writer, rows_of)
        return Examples(render(images[rows], writer.style), labels[rows])

    return (
        MemoryClientData(writers, functools.partial(read, rows_of="train_rows")),
        MemoryClientData(writers, functools.partial(read, rows_of="test_rows")),
    )


def create_writers(num_clients: int, *, alpha: float = 5.0, seed: int = 0) -> dict[str, Writer]:
    """Draws the simulated writers.

    Args:
        num_clients: Number of writers, between 2 and 359.
        alpha: Concentration of their label mixes, above 0; small is skewed.
        seed: Seed of sizes, styles, label mixes and the split.

    Returns:
        Client id (`writer_000`, …) to `Writer`. The rows, int64 (n,) into scikit-learn's digits, are
        disjoint and together all 1,797.

    Raises:
        ValueError: `num_clients` or `alpha` is out of range.
    """
    most = NUM_SOURCE_IMAGES // MIN_EXAMPLES
    if not 2 <= num_clients <= most:
        raise ValueError(
            f"num_clients must be between 2 and {most} (each writer needs {MIN_EXAMPLES} of the "
            f"{NUM_SOURCE_IMAGES} digits). Found {num_clients}."
        )
    rng = np.random.default_rng(seed)
    sizes = _draw_sizes(num_clients, rng)
    parts = partition.dirichlet(_source()[1], num_clients, alpha=alpha, sizes=sizes, seed=seed)
    writers = {}
    for number, rows in enumerate(parts):
        num_test = max(1, round(TEST_FRACTION * len(rows)))
        rows = rng.permutation(rows)
        writers[f"writer_{number:03d}"] = Writer(_draw_style(rng), rows[num_test:], rows[:num_test])
    return writers


def _draw_sizes(num_clients: int, rng: np.random.Generator) -> np.ndarray:
    """Draws unequal numbers of digits per writer (log-normal, as people differ), at least five."""
    spread = rng.lognormal(sigma=0.5, size=num_clients)
    spare = NUM_SOURCE_IMAGES - MIN_EXAMPLES * num_clients
    sizes = MIN_EXAMPLES + np.floor(spare * spread / spread.sum()).astype(int)
    sizes[: NUM_SOURCE_IMAGES - sizes.sum()] += 1  # what the rounding down left over
    return sizes


def _draw_style(rng: np.random.Generator) -> Style:
    return Style(
        slant=rng.normal(0.1, 0.22),
        size=rng.uniform(0.78, 1.08),
        aspect=rng.uniform(0.75, 1.15),
        threshold=rng.uniform(0.25, 0.6),
    )


def render(images: np.ndarray, style: Style) -> np.ndarray:
    """Draws 8x8 digits at 28x28 in a writer's style.

    Args:
        images: (n, 8, 8), ink in [0, 1].
        style: The writer's style.

    Returns:
        float32 (n, 28, 28), background 1.0, ink towards 0.0.
    """
    scale = _PIXELS_PER_SOURCE_PIXEL * style.size
    # Each pixel of the target looks up where it comes from in the source (row, column).
    to_source = np.array([[1.0, 0.0], [style.slant, 1.0 / style.aspect]]) / scale
    offset = _SOURCE_CENTER - to_source @ np.full(2, _TARGET_CENTER)
    ink = np.stack(
        [
            ndimage.affine_transform(image, to_source, offset, output_shape=(28, 28), order=3)
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
