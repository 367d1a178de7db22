"""A `tff.simulation.datasets.ClientData` that holds its examples in memory."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlab import _tensorflow as _tensorflow

IMAGE_SHAPE = (28, 28)
ELEMENT_SPEC = OrderedDict(
    label=tf.TensorSpec((), tf.int32), pixels=tf.TensorSpec(IMAGE_SHAPE, tf.float32)
)


class Examples(NamedTuple):
    """One client's examples: pixels float32 (n, 28, 28) in [0, 1], 1.0 = paper; labels int32 (n,)."""

    pixels: np.ndarray
    labels: np.ndarray


class MemoryClientData(tff.simulation.datasets.ClientData):
    """Client data that is read once per client, checked, and then kept in memory.

    TFF's own `SqlClientData` reads and parses the file again in every round.

    Args:
        client_ids: The clients.
        read_fn: Client id to `Examples`; called at most once per client.
        num_classes: Labels must lie in [0, num_classes).
    """

    def __init__(
        self, client_ids: Iterable[str], read_fn: Callable[[str], Examples], num_classes: int = 10
    ):
        self._client_ids = sorted(client_ids)
        self._known = frozenset(self._client_ids)
        self._read_fn = read_fn
        self._num_classes = num_classes
        self._held: dict[str, Examples] = {}
        if not self._client_ids:
            raise ValueError("The data has no clients. Give at least one.")
        if len(self._known) < len(self._client_ids):
            raise ValueError("The data names a client twice. Client ids must be different.")

    @property
    def client_ids(self) -> list[str]:
        """The client ids, sorted."""
        return list(self._client_ids)

    @property
    def num_classes(self) -> int:
        """Labels lie in [0, num_classes)."""
        return self._num_classes

    @property
    def element_type_structure(self):
        """`OrderedDict(label: int32 [], pixels: float32 [28, 28])`."""
        return ELEMENT_SPEC

    def examples(self, client_id: str) -> Examples:
        """Returns one client's examples as arrays.

        Raises:
            ValueError: There is no such client, or its examples are not usable.
        """
        check_known([client_id], self._known)
        if client_id not in self._held:
            examples = self._read_fn(client_id)
            self._held[client_id] = check_examples(client_id, *examples, self._num_classes)
        return self._held[client_id]

    def create_tf_dataset_for_client(self, client_id: str) -> tf.data.Dataset:
        """Returns the client's examples as a `tf.data.Dataset`, one element per example."""
        pixels, labels = self.examples(client_id)
        return tf.data.Dataset.from_tensor_slices(OrderedDict(label=labels, pixels=pixels))

    @property
    def serializable_dataset_fn(self):
        """A traceable function from client id to dataset; the whole data set goes into its graph.

        For an unknown client it raises TensorFlow's `InvalidArgumentError`.
        """
        every = [self.examples(client_id) for client_id in self._client_ids]
        ends = np.cumsum([len(examples.labels) for examples in every])
        starts = np.concatenate([[0], ends[:-1]])
        pixels = np.concatenate([examples.pixels for examples in every])
        labels = np.concatenate([examples.labels for examples in every])
        client_ids = self._client_ids

        def dataset_fn(client_id):
            is_client = tf.equal(client_id, client_ids)
            is_known = tf.debugging.Assert(
                tf.reduce_any(is_client), ["There is no client", client_id]
            )
            with tf.control_dependencies([is_known]):  # else a graph leaves the assertion out
                row = tf.argmax(is_client)
            rows = slice(tf.gather(starts, row), tf.gather(ends, row))
            slices = OrderedDict(label=tf.constant(labels)[rows], pixels=tf.constant(pixels)[rows])
            return tf.data.Dataset.from_tensor_slices(slices)

        return dataset_fn

    def select(self, client_ids: Iterable[str]) -> "MemoryClientData":
        """Returns the data of some of the clients; what is in memory is shared, not copied."""
        client_ids = list(client_ids)
        check_known(client_ids, self._known)
        return MemoryClientData(client_ids, self.examples, self._num_classes)


def check_known(client_ids: Iterable[str], known: Collection[str]) -> None:
    """Raises ValueError, naming the first client that is not among the known ones."""
    known = frozenset(known)
    unknown = next((client_id for client_id in client_ids if client_id not in known), None)
    if unknown is not None:
        raise ValueError(f"There is no client {unknown!r}. See client_ids for those there are.")


def check_examples(client_id: str, pixels, labels, num_classes: int = 10) -> Examples:
    """Checks one client's examples and brings them to float32 and int32.

    Raises:
        ValueError: No examples, wrong shapes, NaN or out-of-range pixels, labels out of range. The
            message names the client and the value.
    """
    pixels, labels = np.asarray(pixels), np.asarray(labels)
    if len(labels) == 0:
        raise ValueError(f"Client {client_id!r} has no examples. Leave it out.")
    if pixels.shape != (len(labels), *IMAGE_SHAPE):
        raise ValueError(
            f"Client {client_id!r}: pixels must have shape ({len(labels)}, 28, 28), one image per "
            f"label. Found {pixels.shape}."
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"Client {client_id!r}: labels must be integers. Found {labels.dtype}.")
    if labels.min() < 0 or labels.max() >= num_classes:
        bad = labels[(labels < 0) | (labels >= num_classes)][0]
        raise ValueError(
            f"Client {client_id!r}: labels must lie between 0 and {num_classes - 1}. Found {bad}."
        )
    pixels = pixels.astype(np.float32, copy=False)
    if not np.isfinite(pixels).all():
        bad_image = int(np.argwhere(~np.isfinite(pixels))[0][0])
        raise ValueError(
            f"Client {client_id!r}: pixels must be finite numbers. Found NaN or infinity in image "
            f"{bad_image}."
        )
    if pixels.min() < 0.0 or pixels.max() > 1.0:
        raise ValueError(
            f"Client {client_id!r}: pixels must lie in [0, 1] with 1.0 for the background; divide "
            f"by 255 if they are bytes. Found {pixels.min():g} to {pixels.max():g}."
        )
    return Examples(pixels, labels.astype(np.int32, copy=False))


def from_arrays(
    pixels,
    labels,
    client_ids: Sequence[str],
    *,
    test_fraction: float = 0.2,
    num_classes: int = 10,
    seed: int = 0,
) -> tuple[MemoryClientData, MemoryClientData]:
    """Makes federated data out of arrays: who wrote what.

    Args:
        pixels: (n, 28, 28), in [0, 1], background 1.0.
        labels: int (n,).
        client_ids: str (n,): the writer of each example.
        test_fraction: Share of every client's examples kept for its test set, in (0, 1); at least
            one example a client goes to either side.
        num_classes: Number of labels.
        seed: Seed of the split.

    Returns:
        `(train, test)`, with every client in both.

    Raises:
        ValueError: The lengths differ, a client has fewer than two examples, or an example is bad.
    """
    pixels, labels, owners = np.asarray(pixels), np.asarray(labels), np.asarray(client_ids, str)
    if not len(pixels) == len(labels) == len(owners):
        raise ValueError(
            "pixels, labels and client_ids must have one entry per example. "
            f"Found {len(pixels)}, {len(labels)} and {len(owners)}."
        )
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction must lie between 0 and 1. Found {test_fraction}.")
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
        examples = check_examples(client_id, pixels[rows], labels[rows], num_classes)
        order = np.random.default_rng([seed, number]).permutation(len(rows))
        num_test = min(max(1, round(test_fraction * len(rows))), len(rows) - 1)
        train[str(client_id)] = _take(examples, order[num_test:])
        test[str(client_id)] = _take(examples, order[:num_test])
    return (
        MemoryClientData(train, train.__getitem__, num_classes),
        MemoryClientData(test, test.__getitem__, num_classes),
    )


def _take(examples: Examples, rows: np.ndarray) -> Examples:
    return Examples(examples.pixels[rows], examples.labels[rows])


def split_clients(
    client_data: MemoryClientData, num_unseen: int, *, seed: int = 0
) -> tuple[MemoryClientData, MemoryClientData]:
    """Sets some clients aside, to test on writers that never took part.

    Returns:
        `(seen, unseen)`: disjoint clients, `num_unseen` of them in the second.

    Raises:
        ValueError: `num_unseen` leaves one side without clients.
    """
    client_ids = client_data.client_ids
    if not 1 <= num_unseen < len(client_ids):
        raise ValueError(
            f"num_unseen must be between 1 and {len(client_ids) - 1} (one less than the "
            f"population). Found {num_unseen}."
        )
    shuffled = np.random.default_rng(seed).permutation(client_ids).tolist()
    return client_data.select(shuffled[num_unseen:]), client_data.select(shuffled[:num_unseen])


def client_arrays(client_data, client_id: str) -> Examples:
    """Returns one client's examples as arrays, from any `ClientData` of EMNIST's element type."""
    if isinstance(client_data, MemoryClientData):
        return client_data.examples(client_id)
    elements = list(client_data.create_tf_dataset_for_client(client_id).as_numpy_iterator())
    pixels = np.array([element["pixels"] for element in elements])
    labels = np.array([element["label"] for element in elements])
    return check_examples(client_id, pixels, labels, num_classes=62)
