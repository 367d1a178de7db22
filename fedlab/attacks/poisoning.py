"""Malicious clients: what one does to its own data, for the server trusts what it is sent.

Only what a client can do by itself: lie about labels, about how much data it has, about pixels. No
two steps need one another, so they can be put in a row.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import tensorflow as tf

from fedlab.data.client_data import Examples, MemoryClientData, check_known, client_arrays
from fedlab.data.preprocessing import CohortFn

PoisonFn = Callable[[Examples], Examples]


def poison(client_data, client_ids: Iterable[str], poison_fn: PoisonFn) -> MemoryClientData:
    """Returns the data with some clients' examples changed; the others' are as they were.

    Args:
        client_data: `ClientData` with Federated EMNIST's elements. Poison what clients train on,
            never what the model is measured on.
        client_ids: The malicious clients.
        poison_fn: One client's `Examples` to what it pretends to have: `flip_labels(...)`,
            `repeat_examples(...)`.

    Returns:
        `MemoryClientData` with the same clients.

    Raises:
        ValueError: There is no such client, or what the function returns cannot be used.
    """
    malicious = frozenset(client_ids)
    check_known(malicious, client_data.client_ids)

    def read(client_id: str) -> Examples:
        examples = client_arrays(client_data, client_id)
        return poison_fn(examples) if client_id in malicious else examples

    return MemoryClientData(client_data.client_ids, read, getattr(client_data, "num_classes", 62))


def flip_labels(mapping: Mapping[int, int] | None = None, *, num_classes: int = 10) -> PoisonFn:
    """Returns what changes labels: label flipping (Biggio et al. 2012; Tolpegin et al. 2020).

    Args:
        mapping: True label to the lie; labels that are not in it stay. Default: every label to
            num_classes - 1 - label (Fang et al. 2020), which hurts all digits.
        num_classes: Labels lie in [0, num_classes).

    Raises:
        ValueError: A label of the mapping is out of range.
    """
    if mapping is None:
        mapping = {label: num_classes - 1 - label for label in range(num_classes)}
    bad = [label for pair in mapping.items() for label in pair if not 0 <= label < num_classes]
    if bad:
        raise ValueError(f"Labels must lie between 0 and {num_classes - 1}. Found {bad[0]}.")
    lies = np.arange(num_classes, dtype=np.int32)
    for label, lie in mapping.items():
        lies[label] = lie
    return lambda examples: Examples(examples.pixels, lies[examples.labels])


def repeat_examples(times: int) -> PoisonFn:
    """Returns what repeats a client's examples: a boosted update (Bagdasaryan et al. 2020).

    The client takes that many times as many steps, and where clients count by their examples it also
    weighs that many times as much: it says itself how many it has.

    Raises:
        ValueError: `times` is below 1.
    """
    if times < 1:
        raise ValueError(f"times must be at least 1. Found {times}.")
    return lambda examples: Examples(
        np.tile(examples.pixels, (times, 1, 1)), np.tile(examples.labels, times)
    )


def scale_images(cohort_fn: CohortFn, client_ids: Iterable[str], factor: float) -> CohortFn:
    """Returns rounds in which some clients' images are multiplied: a boosted update again.

    Gradients grow with the inputs, so the client's update is larger than any honest one; it holds
    what no camera gives, so this is done after the data was checked. For the local runtime.

    Args:
        cohort_fn: Round number to `{client_id: batches}`, from `preprocessing.build_cohort_fn`.
        client_ids: The malicious clients; those that are not of a round change nothing.
        factor: What every pixel is multiplied by, finite.

    Returns:
        A function from round number to `{client_id: batches}`.

    Raises:
        ValueError: `factor` is not finite.
    """
    if not np.isfinite(factor):
        raise ValueError(f"factor must be finite. Found {factor}.")
    malicious = frozenset(client_ids)

    def scale(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return images * factor, labels

    def poisoned_fn(round_num: int) -> dict[str, tf.data.Dataset]:
        cohort = cohort_fn(round_num)
        return {
            client_id: batches.map(scale) if client_id in malicious else batches
            for client_id, batches in cohort.items()
        }

    return poisoned_fn
