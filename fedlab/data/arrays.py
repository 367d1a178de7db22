"""Federated data from a user's own arrays."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fedlab.checks import (
    check_count,
    check_ids,
    check_labels,
    check_number,
    check_seed,
    describe,
    warn_if_inverted,
)
from fedlab.data.client_data import NUM_DIGITS, Examples, MemoryClientData, check_examples
from fedlab.random_streams import random_stream


def from_arrays(
    pixels: npt.ArrayLike,
    labels: npt.ArrayLike,
    client_ids: Sequence[str],
    *,
    test_fraction: float = 0.2,
    num_classes: int = NUM_DIGITS,
    seed: int = 0,
) -> tuple[MemoryClientData, MemoryClientData]:
    """Makes federated data from arrays of images, labels and the clients they belong to.

    Args:
        pixels: Images, (num_examples, height, width) or (num_examples, height, width, channels),
            with values in [0, 1]. The lessons' models need (num_examples, 28, 28), with 1.0 for the
            background.
        labels: int (num_examples,), in [0, num_classes).
        client_ids: str (num_examples,): the client of each example; no blank text, None or NaN.
        test_fraction: Share of every client's examples that go to its test set, in (0, 1); at least
            one example of each client goes to either set.
        num_classes: Number of labels, at least 1.
        seed: Seed of the split, at least 0.

    Returns:
        `(train, test)`, with every client in both; pixels become float32, labels int32.

    Raises:
        TypeError: An argument has another type.
        ValueError: The lengths differ, a client has fewer than two examples, a number is out of
            range, or an example's image or label is not usable; the message names the client.

    Warns:
        UserWarning: The paper of grey images seems to be black: more than half of the pixels are
            below 0.25.

    Example:
        >>> pixels = np.random.default_rng(0).uniform(size=(4, 28, 28))
        >>> train, test = from_arrays(pixels, [0, 1, 0, 1], ["ann", "ann", "bob", "bob"])
        >>> test.client_ids
        ['ann', 'bob']
    """
    test_fraction = check_number("test_fraction", test_fraction, above=0, below=1)
    num_classes, seed = check_count("num_classes", num_classes), check_seed(seed)
    owners = np.array(check_ids("client_ids", client_ids, may_repeat=True))
    labels = check_labels("labels", labels)
    pixels = _check_images(pixels)
    if not len(pixels) == len(labels) == len(owners):
        raise ValueError(
            "pixels, labels and client_ids must have one entry per example. "
            f"Found {len(pixels)}, {len(labels)} and {len(owners)}."
        )
    image_shape = pixels.shape[1:]
    train, test = {}, {}
    by_client = np.argsort(owners, kind="stable")  # one sort, not a search for each client
    names, counts = np.unique(owners, return_counts=True)
    ends = np.cumsum(counts)
    for number, client_id in enumerate(names):
        rows = by_client[ends[number] - counts[number] : ends[number]]
        if len(rows) < 2:
            raise ValueError(
                f"Client {client_id!r} has {len(rows)} example; it needs two, one to train on and "
                "one to test on. Leave it out."
            )
        examples = check_examples(client_id, pixels[rows], labels[rows], num_classes, image_shape)
        order = random_stream("test examples", seed, str(client_id)).permutation(len(rows))
        num_test = min(max(1, round(test_fraction * len(rows))), len(rows) - 1)
        train[str(client_id)] = _take(examples, order[num_test:])
        test[str(client_id)] = _take(examples, order[:num_test])
    warn_if_inverted("pixels", pixels)
    return (
        MemoryClientData(train, train.__getitem__, num_classes, image_shape),
        MemoryClientData(test, test.__getitem__, num_classes, image_shape),
    )


def _check_images(pixels: npt.ArrayLike) -> np.ndarray:
    """Returns the images; their values are checked client by client."""
    if isinstance(pixels, np.ma.MaskedArray):
        raise TypeError(
            f"pixels must have no mask. Found {describe(pixels)}; pass pixels.filled(1)."
        )
    array = np.asarray(pixels)
    if array.ndim == 0:
        raise TypeError(f"pixels must be an array of numbers. Found {describe(pixels)}.")
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise ValueError(
            "pixels must have shape (n, height, width) or (n, height, width, channels). "
            f"Found {array.shape}."
        )
    return array


def _take(examples: Examples, rows: np.ndarray) -> Examples:
    return Examples(examples.pixels[rows], examples.labels[rows])
