"""From a client's examples to the batches that its model trains on."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from fedlab.caching import cache_while_alive
from fedlab.data.augmentation import AugmentFn, get_augmentation
from fedlab.data.client_data import DIGIT_SHAPE
from fedlab.data.sampling import SampleFn, check_seed

CohortFn = Callable[[int], Mapping[str, tf.data.Dataset]]
_MORE_THAN_A_CLIENT_HAS = 1 << 30  # as a batch size: all its examples


def build_input_spec(image_shape: Sequence[int]) -> tuple[tf.TensorSpec, tf.TensorSpec]:
    """Returns what the models are fed: a batch of images with channels, and its labels.

    Args:
        image_shape: Shape of one image, (height, width) of grey ones or (height, width, channels).

    Returns:
        The specs of images float32 (b, height, width, channels) and labels int32 (b,).
    """
    height, width, *channels = image_shape
    images = tf.TensorSpec((None, height, width, *(channels or [1])), tf.float32)
    return images, tf.TensorSpec((None,), tf.int32)


INPUT_SPEC = build_input_spec(DIGIT_SHAPE)


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How a client's examples become batches. The defaults are the article's, for one epoch.

    Attributes:
        batch_size: Examples per batch, at least 1; the last batch of each epoch may be smaller, as
            in McMahan et al. 2017, algorithm 1. (TFF's tutorials batch across epochs.)
        num_epochs: Local epochs per round, at least 1.
        shuffle: Whether each epoch goes through the examples in a new order. The article does not.
        max_examples: Cap on the examples a client uses, or `None`.
        seed: Seed of the shuffling and the augmentation, at least 0.
        augmentation: What every epoch trains on other versions of the images by: a name or a
            function of `fedlab.data.augmentation`. Default: the images as they are.
    """

    batch_size: int = 20
    num_epochs: int = 1
    shuffle: bool = False
    max_examples: int | None = None
    seed: int = 0
    augmentation: str | AugmentFn | None = None

    def __post_init__(self):
        check_seed(self.seed)
        if self.augmentation is not None:
            get_augmentation(self.augmentation)
        for name in ("batch_size", "num_epochs", "max_examples"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1. Found {value}.")

    def apply(self, dataset: tf.data.Dataset, *stream: int) -> tf.data.Dataset:
        """Returns the batches of one client for one round.

        Args:
            dataset: Elements `OrderedDict(label, pixels)`, as in Federated EMNIST.
            *stream: What the shuffling and the augmentation depend on besides `seed`, such as round
                and client number. The batches are a function of these numbers and the epoch alone:
                whoever goes through them again meets the same ones.

        Returns:
            Batches `(images float32 (b, height, width, channels), labels int32 (b,))`.
        """
        if tf.executing_eagerly() and 0 < dataset.cardinality() < _MORE_THAN_A_CLIENT_HAS:
            whole = dataset.batch(_MORE_THAN_A_CLIENT_HAS).get_single_element()
            return self.apply_to_arrays(whole["pixels"], whole["label"], *stream)
        if self.max_examples is not None:
            dataset = dataset.take(self.max_examples)
        whole = dataset.batch(_MORE_THAN_A_CLIENT_HAS).map(to_batch).repeat(self.num_epochs)
        return whole.enumerate().flat_map(
            lambda epoch, whole: self._batch(*whole, epoch, _draw_seed(self.seed, *stream))
        )

    def apply_to_arrays(self, pixels, labels, *stream: int) -> tf.data.Dataset:
        """Returns the same batches for examples that are in memory.

        A dataset with functions in it (`map`, `flat_map`) has work to do each time that somebody
        begins to read it, however few the examples. This one has none, and one graph call makes it.

        Args:
            pixels: float32 (n, height, width) or (n, height, width, channels).
            labels: int32 (n,).
            *stream: See `apply`.

        Returns:
            As `apply`.
        """
        images = add_channel(np.asarray(pixels)[: self.max_examples])
        labels = np.asarray(labels)[: self.max_examples]
        seed = _draw_seed(self.seed, *stream) if self._is_random else 0
        create_fn = _trace(dataclasses.replace(self, max_examples=None, seed=0), images.shape[1:])
        input_spec = build_input_spec(images.shape[1:])
        return tf.data.experimental.from_variant(create_fn(images, labels, seed), input_spec)

    @property
    def _is_random(self) -> bool:
        return self.shuffle or self.augmentation is not None

    def _epochs(self, images, labels, seed) -> tf.data.Dataset:
        if not self._is_random:
            return self._batch(images, labels, 0, seed).repeat(self.num_epochs)
        epochs = [self._batch(images, labels, epoch, seed) for epoch in range(self.num_epochs)]
        return functools.reduce(tf.data.Dataset.concatenate, epochs)

    def _batch(self, images, labels, epoch, seed) -> tf.data.Dataset:
        """One epoch. `Dataset.shuffle` also depends on TensorFlow's global seed and earlier readers."""
        pair = tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])
        if self.augmentation is not None:  # before the shuffling: an image's draw is its own
            images = self._augment(tf.convert_to_tensor(images), pair)
        if self.shuffle:
            order = tf.random.experimental.stateless_shuffle(
                tf.range(tf.shape(labels)[0]), seed=pair
            )
            images, labels = tf.gather(images, order), tf.gather(labels, order)
        return tf.data.Dataset.from_tensor_slices((images, labels)).batch(self.batch_size)

    def _augment(self, images: tf.Tensor, pair: tf.Tensor) -> tf.Tensor:
        seed = tf.random.experimental.stateless_fold_in(pair, 1)  # not that of the shuffling
        augmented = get_augmentation(self.augmentation)(images, seed)
        is_alike = augmented.shape.is_compatible_with(images.shape)
        if augmented.dtype != images.dtype or not is_alike:
            raise ValueError(
                f"augmentation must return {images.dtype.name} {images.shape}, as it was given. "
                f"Found {augmented.dtype.name} {augmented.shape}."
            )
        return tf.ensure_shape(augmented, images.shape)


class Cohort(Mapping[str, tf.data.Dataset]):
    """The clients of a round and their batches, made when they are asked for.

    Args:
        client_data: A `ClientData` with Federated EMNIST's elements.
        client_ids: Who takes part, in this order.
        preprocessing: How the examples become batches.
        round_num: What the shuffling depends on, besides the client.
    """

    def __init__(
        self, client_data, client_ids: Iterable[str], preprocessing: Preprocessing, round_num: int
    ):
        self.client_data = client_data
        self.preprocessing = preprocessing
        self.round_num = round_num
        self._client_ids = list(client_ids)
        self._known = frozenset(self._client_ids)

    def __getitem__(self, client_id: str) -> tf.data.Dataset:
        if client_id not in self._known:
            raise KeyError(client_id)
        stream = self.stream(client_id)
        if hasattr(self.client_data, "examples"):  # ours, in memory
            examples = self.client_data.examples(client_id)
            return self.preprocessing.apply_to_arrays(*examples, *stream)
        dataset = self.client_data.create_tf_dataset_for_client(client_id)
        return self.preprocessing.apply(dataset, *stream)

    def stream(self, client_id: str) -> tuple[int, int]:
        """Returns what a client's shuffling depends on: the round's number and the client's."""
        return self.round_num, _number_clients(self.client_data)[client_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._client_ids)

    def __len__(self) -> int:
        return len(self._client_ids)


def add_channel(images: np.ndarray) -> np.ndarray:
    """Returns images with an axis for their channels; grey ones get one channel.

    Args:
        images: (n, height, width) or (n, height, width, channels).
    """
    return images[..., np.newaxis] if images.ndim == 3 else images


def to_batch(element: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """Gives grey images a channel and puts the batch in the order (images, labels).

    Args:
        element: A batch of elements: pixels (b, height, width) or (b, height, width, channels), and
            labels (b,).
    """
    pixels = element["pixels"]
    images = tf.expand_dims(pixels, axis=-1) if pixels.shape.rank == 3 else pixels
    return images, element["label"]


def preprocess(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Batches of 20 in the order of the file, as the article has them; one epoch."""
    return Preprocessing().apply(dataset)


def build_cohort_fn(
    client_data, sample_fn: SampleFn, preprocessing: Preprocessing | None = None
) -> CohortFn:
    """Ties together who takes part, what each holds, and how it is batched.

    Args:
        client_data: A `ClientData` with Federated EMNIST's elements.
        sample_fn: Round number to client ids, from `fedlab.data.sampling`.
        preprocessing: Default: `Preprocessing()`.

    Returns:
        A function from round number to a `Cohort`, `{client_id: batches}`. Calling it again with
        the same number gives the same batches in the same order.
    """
    preprocessing = preprocessing or Preprocessing()
    return lambda round_num: Cohort(client_data, sample_fn(round_num), preprocessing, round_num)


@functools.lru_cache(maxsize=16)
def _trace(preprocessing: Preprocessing, image_shape: tuple[int, ...]) -> Callable[..., tf.Tensor]:
    """Returns `_epochs` as one graph, from arrays to a dataset as a variant tensor.

    Called from Python, each of a dataset's operations would be paid for again with every client.
    """
    signature = [*build_input_spec(image_shape), tf.TensorSpec((), tf.int64)]

    @tf.function(input_signature=signature, autograph=False)
    def create(images, labels, seed):
        return tf.data.experimental.to_variant(preprocessing._epochs(images, labels, seed))

    return create


@cache_while_alive
def _number_clients(client_data) -> dict[str, int]:
    return {client_id: number for number, client_id in enumerate(client_data.client_ids)}


def _draw_seed(*numbers: int) -> int:
    return int(np.random.default_rng(numbers).integers(2**31))
