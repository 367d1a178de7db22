"""Poisoning by malicious clients, who change their data, because the server trusts what it receives.

These attacks need nothing but the client's own power: it can lie about its labels, about the number of
its examples, and about its pixels. They can be combined in any order.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlab.checks import check_callable, check_count, check_ids, check_mapping, check_number
from fedlab.data.client_data import Examples, MemoryClientData, client_arrays
from fedlab.data.elements import check_client_data
from fedlab.data.preprocessing import CohortFn

PoisonFn = Callable[[Examples], Examples]
_MAX_CLASSES = 1_000_000


def poison(
    client_data: tff.simulation.datasets.ClientData, client_ids: Iterable[str], poison_fn: PoisonFn
) -> MemoryClientData:
    """Returns data in which some clients' examples are changed and all others stay the same.

    Args:
        client_data: The honest data, with the element spec of Federated EMNIST. Poison only data for
            training, never the data on which the model is evaluated.
        client_ids: The malicious clients.
        poison_fn: Function from a client's true `Examples` to those that it trains on, for example from
            `flip_labels` or `repeat_examples`.

    Returns:
        `MemoryClientData` with the same clients.

    Raises:
        ValueError: A client does not exist. Reading a client raises it if the result of `poison_fn` is
            not valid.
    """
    check_client_data("client_data", client_data)
    check_callable("poison_fn", poison_fn)
    malicious = frozenset(
        check_ids("client_ids", client_ids, known=client_data.client_ids, may_be_empty=True)
    )

    def read(client_id: str) -> Examples:
        examples = client_arrays(client_data, client_id)
        return poison_fn(examples) if client_id in malicious else examples

    return MemoryClientData(client_data.client_ids, read, getattr(client_data, "num_classes", 62))


def flip_labels(mapping: Mapping[int, int] | None = None, *, num_classes: int = 10) -> PoisonFn:
    """Returns a `poison_fn` that flips labels (Biggio et al. 2012; Tolpegin et al. 2020).

    Args:
        mapping: {true label: false label}. Labels that are not in it stay the same. Default: each label
            becomes num_classes - 1 - label (Fang et al. 2020), which harms all classes.
        num_classes: Number of classes, at least 1. Labels are in [0, num_classes).

    Raises:
        ValueError: A label of the mapping is out of range.
        TypeError: `num_classes` is not a whole number.
    """
    num_classes = check_count("num_classes", num_classes, at_most=_MAX_CLASSES)
    if mapping is None:
        mapping = {label: num_classes - 1 - label for label in range(num_classes)}
    false_labels = np.arange(num_classes, dtype=np.int32)
    for pair in check_mapping("mapping", mapping).items():
        label, false_label = (
            check_count("mapping", each, at_least=0, at_most=num_classes - 1) for each in pair
        )
        false_labels[label] = false_label
    return lambda examples: Examples(examples.pixels, false_labels[examples.labels])


def repeat_examples(times: int) -> PoisonFn:
    """Returns a `poison_fn` that repeats examples to boost the update (Bagdasaryan et al. 2020).

    The client takes `times` times as many steps. Where clients are weighted by their number of examples,
    its weight also grows by this factor, because the client itself reports that number.

    Args:
        times: How often each example appears, at least 1.

    Raises:
        ValueError: `times` is below 1.
        TypeError: `times` is not a whole number.
    """
    times = check_count("times", times)
    return lambda examples: Examples(
        np.tile(examples.pixels, (times, 1, 1)), np.tile(examples.labels, times)
    )


def scale_images(cohort_fn: CohortFn, client_ids: Iterable[str], factor: float) -> CohortFn:
    """Returns cohorts in which some clients' images are multiplied, which boosts their updates.

    Gradients grow with the inputs, so these clients' updates are larger than those of honest clients.
    Such pixels are outside [0, 1] and would be refused in `ClientData`, so the images are multiplied
    after the data was checked. It works with the local runtime.

    Args:
        cohort_fn: Function from a round number to {client_id: batches}, from
            `preprocessing.build_cohort_fn`.
        client_ids: The malicious clients. A client that is not in a round's cohort changes nothing.
        factor: The factor of every pixel, finite.

    Returns:
        Function from a round number to {client_id: batches}.

    Raises:
        ValueError: `factor` is not finite.
        TypeError: `factor` is not a number.
    """
    factor = check_number("factor", factor)
    check_callable("cohort_fn", cohort_fn)
    malicious = frozenset(check_ids("client_ids", client_ids, may_be_empty=True))

    def scale(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return images * factor, labels

    def poisoned_fn(round_num: int) -> dict[str, tf.data.Dataset]:
        cohort = cohort_fn(round_num)
        return {
            client_id: batches.map(scale) if client_id in malicious else batches
            for client_id, batches in cohort.items()
        }

    return poisoned_fn
