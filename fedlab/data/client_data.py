"""A `tff.simulation.datasets.ClientData` whose examples are in memory."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_federated as tff

from fedlab import _tensorflow as _tensorflow
from fedlab.checks import (
    check_callable,
    check_count,
    check_flag,
    check_ids,
    check_labels,
    check_pixels,
    describe,
)
from fedlab.data.elements import DIGIT_SHAPE as DIGIT_SHAPE
from fedlab.data.elements import (
    check_client_data,
    check_image_shape,
    image_element_spec,
)
from fedlab.data.grey_levels import GreyLevels, compress

NUM_DIGITS = 10


class Examples(NamedTuple):
    """One client's examples.

    Attributes:
        pixels: float32 (n, height, width) or (n, height, width, channels) in [0, 1]; in Federated
            EMNIST's convention 1.0 is paper.
        labels: int32 (n,).
    """

    pixels: np.ndarray
    labels: np.ndarray


_Stored: TypeAlias = tuple[Any, np.ndarray]  # pixels, as an array or as grey levels, and labels


class MemoryClientData(tff.simulation.datasets.ClientData):
    """Client data that is read once per client, checked, and then stays in memory.

    TFF's own `SqlClientData` reads and parses the file again in every round.

    Args:
        client_ids: The ids of the clients, at least one, all different.
        read_fn: A function from a client's id to its examples; called at most once per client, when
            the examples are first used.
        num_classes: Number of labels; labels lie in [0, num_classes).
        image_shape: Shape of one image, (height, width) or (height, width, channels).
        compact: Whether images of at most 256 grey levels are kept as bytes, a quarter of the
            memory, where this loses nothing. `examples` then makes its arrays anew at each call. For
            data that are read from a file; of arrays that are in memory it would be a second copy.

    Attributes:
        num_classes: Number of labels; labels lie in [0, num_classes).
        image_shape: Shape of one image, (height, width) or (height, width, channels).

    Raises:
        TypeError: An argument has another type; an id is text.
        ValueError: There are no clients, a client is named twice, or a number is out of range.

    Example:
        >>> examples = Examples(np.ones((2, 28, 28)), np.array([3, 8]))
        >>> client_data = MemoryClientData(["ann"], lambda client_id: examples)
        >>> client_data.examples("ann").labels
        array([3, 8], dtype=int32)
    """

    example_dtype: type = np.float32  # of the first array of the examples

    def __init__(
        self,
        client_ids: Iterable[str],
        read_fn: Callable[[str], Examples],
        num_classes: int = NUM_DIGITS,
        image_shape: Sequence[int] = DIGIT_SHAPE,
        *,
        compact: bool = False,
    ):
        self._client_ids = sorted(check_ids("client_ids", client_ids))
        self._known = frozenset(self._client_ids)
        self._read_fn = check_callable("read_fn", read_fn)
        self.num_classes = check_count("num_classes", num_classes)
        self.image_shape = check_image_shape(image_shape)
        self._compact = check_flag("compact", compact)
        self._stored: dict[str, _Stored] = {}

    @property
    def client_ids(self) -> list[str]:
        """The client ids, sorted."""
        return list(self._client_ids)

    @property
    def example_shape(self) -> tuple[int, ...]:
        """Shape of one example without its label: that of an image."""
        return self.image_shape

    @property
    def label_shape(self) -> tuple[int, ...]:
        """Shape of the label of one example, ()."""
        return ()

    @property
    def element_type_structure(self):
        """`OrderedDict(label: int32 [], pixels: float32 image_shape)`."""
        return image_element_spec(self.image_shape)

    def examples(self, client_id: str) -> Examples:
        """Returns one client's examples as arrays.

        Args:
            client_id: One of `client_ids`.

        Raises:
            ValueError: There is no such client, or its examples are not usable.
        """
        pixels, labels = self._read(client_id)
        return Examples(pixels.expand() if isinstance(pixels, GreyLevels) else pixels, labels)

    def num_examples(self, client_id: str) -> int:
        """Returns the number of one client's examples.

        Args:
            client_id: One of `client_ids`.

        Raises:
            ValueError: There is no such client, or its examples are not usable.
        """
        return len(self._read(client_id)[1])

    def _read(self, client_id: str) -> _Stored:
        check_known(client_id, self._known)
        if client_id not in self._stored:
            first, labels = self._check(client_id, *self._read_fn(client_id))
            compressed = compress(first) if self._compact else None
            self._stored[client_id] = compressed or first, labels
        return self._stored[client_id]

    def _check(
        self, client_id: str, first: npt.ArrayLike, labels: npt.ArrayLike
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns what was read as arrays of the right dtypes, or raises ValueError."""
        return check_examples(client_id, first, labels, self.num_classes, self.image_shape)

    def _to_elements(self, arrays: tuple[Any, ...]) -> OrderedDict[str, Any]:
        """Returns arrays or tensors of examples in the structure of an element."""
        return OrderedDict(label=arrays[1], pixels=arrays[0])

    def _select(self, client_ids: list[str]) -> "MemoryClientData":
        return MemoryClientData(
            client_ids, self._read_fn, self.num_classes, self.image_shape, compact=self._compact
        )

    def create_tf_dataset_for_client(self, client_id: str) -> tf.data.Dataset:
        """Returns one client's examples as a dataset with one element per example.

        Args:
            client_id: One of `client_ids`.

        Returns:
            Elements of the structure `element_type_structure`.

        Raises:
            ValueError: There is no such client, or its examples are not usable.
        """
        return tf.data.Dataset.from_tensor_slices(self._to_elements(self.examples(client_id)))

    @property
    def serializable_dataset_fn(self):
        """A traceable function from client id to dataset, whose graph contains all examples.

        For an unknown client the dataset raises TensorFlow's `InvalidArgumentError`.
        """
        client_ids = self._client_ids
        every = [self.examples(client_id) for client_id in client_ids]
        first, labels = (np.concatenate(arrays) for arrays in zip(*every, strict=True))
        ends = np.cumsum([self.num_examples(client_id) for client_id in client_ids])
        starts = np.concatenate([[0], ends[:-1]])

        def dataset_fn(client_id):
            is_client = tf.equal(client_id, client_ids)
            is_known = tf.debugging.Assert(
                tf.reduce_any(is_client), ["There is no client", client_id]
            )
            with tf.control_dependencies([is_known]):  # otherwise a graph omits the assertion
                row = tf.argmax(is_client)
            rows = slice(tf.gather(starts, row), tf.gather(ends, row))
            slices = tf.constant(first)[rows], tf.constant(labels)[rows]
            return tf.data.Dataset.from_tensor_slices(self._to_elements(slices))

        return dataset_fn

    def select(self, client_ids: Iterable[str]) -> "MemoryClientData":
        """Returns the data of some of the clients; their examples are shared, not copied.

        Args:
            client_ids: The ids of the clients, at least one, all different.

        Raises:
            ValueError: There is no such client, there are no ids, or a client is named twice.
        """
        client_ids = check_ids("client_ids", client_ids, known=self._known)
        selected = self._select(client_ids)
        selected._stored = self._stored
        return selected


def check_known(client_id: str, known: Collection[str]) -> None:
    """Raises ValueError for a client that does not exist; the message names it."""
    if not isinstance(client_id, str) or client_id not in known:
        raise ValueError(
            "client_id must be of the data's clients. There is no client "
            f"{describe(client_id)}. Found {len(known)} others; see client_ids."
        )


def check_examples(
    client_id: str,
    pixels: npt.ArrayLike,
    labels: npt.ArrayLike,
    num_classes: int = NUM_DIGITS,
    image_shape: Sequence[int] = DIGIT_SHAPE,
) -> Examples:
    """Checks one client's examples and converts them to float32 and int32.

    Args:
        client_id: The client's id, for the error.
        pixels: Images, (n, *image_shape), n at least 1, with finite values in [0, 1].
        labels: Labels, int (n,), in [0, num_classes).
        num_classes: Number of labels.
        image_shape: Shape of one image, (height, width) or (height, width, channels).

    Returns:
        The examples; an array of the right dtype is not copied.

    Raises:
        ValueError: There are no examples, a shape is wrong, pixels are not finite or out of range,
            or labels are no integers or out of range. The message names the client and the value.
    """
    whose = f"Client {client_id!r}:"
    if np.size(labels) == 0:
        raise ValueError(f"Client {client_id!r} has no examples. Leave it out.")
    classes = check_labels(f"{whose} labels", labels, num_classes=num_classes)
    images = check_pixels(f"{whose} pixels", pixels, (len(classes), *image_shape))
    return Examples(images.astype(np.float32, copy=False), classes.astype(np.int32, copy=False))


def client_arrays(client_data: tff.simulation.datasets.ClientData, client_id: str) -> Examples:
    """Returns one client's examples as arrays, from any `ClientData` of labelled images.

    Args:
        client_data: A `MemoryClientData`, or other data whose elements have `pixels` and `label`.
        client_id: One of its clients' ids.

    Raises:
        ValueError: There is no such client, or its examples are not usable.
    """
    check_client_data("client_data", client_data)
    if isinstance(client_data, MemoryClientData):
        return client_data.examples(client_id)
    check_known(client_id, client_data.client_ids)
    elements = list(client_data.create_tf_dataset_for_client(client_id).as_numpy_iterator())
    pixels = np.array([element["pixels"] for element in elements])
    labels = np.array([element["label"] for element in elements])
    image_shape = client_data.element_type_structure["pixels"].shape
    return check_examples(client_id, pixels, labels, num_classes=62, image_shape=image_shape)
