"""From a client's examples to the batches that its model trains on."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlab.caching import cache_while_alive
from fedlab.checks import (
    check_callable,
    check_count,
    check_flag,
    check_ids,
    check_instance,
    check_seed,
)
from fedlab.data.augmentation import AugmentFn, get_augmentation
from fedlab.data.client_data import MemoryClientData
from fedlab.data.description import describe_cohorts, with_description
from fedlab.data.elements import (
    DIGIT_SHAPE,
    add_channel,
    build_token_spec,
    check_client_data,
    check_elements,
    to_batch,
)
from fedlab.data.elements import build_input_spec as build_input_spec
from fedlab.data.sampling import SampleFn
from fedlab.random_streams import random_stream

CohortFn: TypeAlias = Callable[[int], Mapping[str, tf.data.Dataset]]
_MORE_THAN_A_CLIENT_HAS = 1 << 30  # a batch of this size has all examples of a client
INPUT_SPEC = build_input_spec(DIGIT_SHAPE)


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How a client's examples become batches. The defaults are the article's, for one epoch.

    Attributes:
        batch_size: Number of examples in a batch, at least 1; the last batch of each epoch may be
            smaller, as in McMahan et al. 2017, algorithm 1. (TFF's tutorials batch across epochs.)
        num_epochs: Number of local epochs in a round, at least 1.
        shuffle: Whether each epoch goes through the examples in a new order. The article does not.
        max_examples: Largest number of examples of a client, at least 1; the first are used.
            Default: all.
        seed: Seed of the shuffling and the augmentation, at least 0.
        augmentation: The name of a function in `fedlab.data.augmentation`, or such a function, which
            changes the images anew in each epoch. Default: the images are not changed.

    Raises:
        TypeError: A number is not a whole number, or `shuffle` is neither True nor False.
        ValueError: A number is out of range, or there is no augmentation of this name.
    """

    batch_size: int = 20
    num_epochs: int = 1
    shuffle: bool = False
    max_examples: int | None = None
    seed: int = 0
    augmentation: str | AugmentFn | None = None

    def __post_init__(self) -> None:
        if self.augmentation is not None:
            get_augmentation(self.augmentation)
        checked = {"seed": check_seed(self.seed), "shuffle": check_flag("shuffle", self.shuffle)}
        for name in ("batch_size", "num_epochs", "max_examples"):
            value = getattr(self, name)
            if name != "max_examples" or value is not None:
                checked[name] = check_count(name, value)
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def apply(self, dataset: tf.data.Dataset, *stream: int | str) -> tf.data.Dataset:
        """Returns the batches of one client for one round.

        Args:
            dataset: The client's examples, `OrderedDict(label, pixels)`, as in Federated EMNIST.
            *stream: Numbers and names on which the shuffling and the augmentation depend besides
                `seed`, such as the number of the round and the client's id. The batches are a
                function of these and the epoch, so each iteration gives the same batches.

        Returns:
            Batches `(images, labels)`, float32 (b, height, width, channels) and int32 (b,).
        """
        check_instance("dataset", dataset, tf.data.Dataset, "a tf.data.Dataset")
        check_elements("dataset", dataset.element_spec)
        if tf.executing_eagerly() and dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
            raise ValueError(
                "dataset must be finite, for all of its examples are one client's. Found one "
                "without an end; leave out repeat() and set num_epochs."
            )
        if tf.executing_eagerly() and 0 < dataset.cardinality() < _MORE_THAN_A_CLIENT_HAS:
            whole = dataset.batch(_MORE_THAN_A_CLIENT_HAS).get_single_element()
            return self.apply_to_arrays(*to_batch(whole), *stream)
        if self.max_examples is not None:
            dataset = dataset.take(self.max_examples)
        whole = dataset.batch(_MORE_THAN_A_CLIENT_HAS).map(to_batch).repeat(self.num_epochs)
        seed = _draw_seed(self.seed, *stream)
        return whole.enumerate().flat_map(
            lambda epoch, batch: self._batch(batch[0], batch[1], epoch, seed)
        )

    def apply_to_arrays(
        self, pixels: np.ndarray, labels: np.ndarray, *stream: int | str
    ) -> tf.data.Dataset:
        """Returns the same batches as `apply`, for examples that are in memory, in less time.

        It has no functions (`map`, `flat_map`), which cost time whenever an iteration begins.

        Args:
            pixels: float32 (n, height, width) or (n, height, width, channels); of texts the tokens,
                int32 (n, context).
            labels: int32 (n,); of texts int32 (n, context).
            *stream: As in `apply`: numbers and names on which the random choices depend.

        Returns:
            Batches as from `apply`; of texts `(tokens, next_tokens)`, int32 (b, context) both.

        Raises:
            ValueError: There are not as many labels as images.
        """
        if len(pixels) != len(labels):
            raise ValueError(f"labels must be {len(pixels)}, one an image. Found {len(labels)}.")
        images = add_channel(np.asarray(pixels)[: self.max_examples])
        labels = np.asarray(labels)[: self.max_examples]
        seed = _draw_seed(self.seed, *stream) if self._is_random else 0
        input_spec = (build_token_spec if images.ndim == 2 else build_input_spec)(images.shape[1:])
        create_fn = _trace(dataclasses.replace(self, max_examples=None, seed=0), input_spec)
        return tf.data.experimental.from_variant(create_fn(images, labels, seed), input_spec)

    @property
    def _is_random(self) -> bool:
        return self.shuffle or self.augmentation is not None

    def _epochs(self, images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor) -> tf.data.Dataset:
        if not self._is_random:
            return self._batch(images, labels, 0, seed).repeat(self.num_epochs)
        epochs = [self._batch(images, labels, epoch, seed) for epoch in range(self.num_epochs)]
        return functools.reduce(tf.data.Dataset.concatenate, epochs)

    def _batch(
        self, images: tf.Tensor, labels: tf.Tensor, epoch: int | tf.Tensor, seed: int | tf.Tensor
    ) -> tf.data.Dataset:
        """Returns the batches of one epoch.

        `Dataset.shuffle` would depend on TensorFlow's global seed and on earlier iterations, too.
        """
        pair = tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])
        if self.augmentation is not None:  # first, so that it does not depend on the shuffling
            images = self._augment(self.augmentation, tf.convert_to_tensor(images), pair)
        if self.shuffle:
            order = tf.random.experimental.stateless_shuffle(
                tf.range(tf.shape(labels)[0]), seed=pair
            )
            images, labels = tf.gather(images, order), tf.gather(labels, order)
        return tf.data.Dataset.from_tensor_slices((images, labels)).batch(self.batch_size)

    @staticmethod
    def _augment(augmentation: str | AugmentFn, images: tf.Tensor, pair: tf.Tensor) -> tf.Tensor:
        if images.shape.rank == 2:
            raise ValueError(f"augmentation must be None for texts. Found {augmentation!r}.")
        seed = tf.random.experimental.stateless_fold_in(pair, 1)  # not that of the shuffling
        augmented = get_augmentation(augmentation)(images, seed)
        is_alike = augmented.shape.is_compatible_with(images.shape)
        if augmented.dtype != images.dtype or not is_alike:
            raise ValueError(
                f"augmentation must return {images.dtype.name} {images.shape}, as it was given. "
                f"Found {augmented.dtype.name} {augmented.shape}."
            )
        return tf.ensure_shape(augmented, images.shape)


class Cohort(Mapping[str, tf.data.Dataset]):
    """The clients of a round and their batches, which are made when they are used.

    Args:
        client_data: A `ClientData` whose elements have `label`, and `pixels` or `tokens`.
        client_ids: The ids of the clients that take part, in this order.
        preprocessing: How the examples become batches.
        round_num: The number of the round, at least 0. The shuffling and the augmentation depend on
            it and on the client.
    """

    def __init__(
        self,
        client_data: tff.simulation.datasets.ClientData,
        client_ids: Iterable[str],
        preprocessing: Preprocessing,
        round_num: int,
    ):
        self.client_data = check_client_data("client_data", client_data)
        self.preprocessing = _check_preprocessing(preprocessing)
        self.round_num = check_count("round_num", round_num, at_least=0)
        # Under Poisson sampling a cohort may be empty.
        known = _ids_of(client_data)
        self._client_ids = check_ids("client_ids", client_ids, known=known, may_be_empty=True)
        self._known = frozenset(self._client_ids)

    def __getitem__(self, client_id: str) -> tf.data.Dataset:
        if client_id not in self._known:
            raise KeyError(client_id)
        stream = self.stream(client_id)
        if isinstance(self.client_data, MemoryClientData):
            examples = self.client_data.examples(client_id)
            return self.preprocessing.apply_to_arrays(*examples, *stream)
        dataset = self.client_data.create_tf_dataset_for_client(client_id)
        return self.preprocessing.apply(dataset, *stream)

    def stream(self, client_id: str) -> tuple[int, str]:
        """Returns the round's number and the client's id, on which its random choices depend.

        Args:
            client_id: The id of a client in the data. Its position may change; the id does not.
        """
        if client_id not in _ids_of(self.client_data):
            raise KeyError(client_id)
        return self.round_num, client_id

    def __iter__(self) -> Iterator[str]:
        return iter(self._client_ids)

    def __len__(self) -> int:
        return len(self._client_ids)


def preprocess(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns batches of 20 in the order of the file, for one epoch, as in the article.

    Args:
        dataset: A client's examples, `OrderedDict(label, pixels)`, as in Federated EMNIST.

    Returns:
        Batches `(images, labels)`, float32 (b, height, width, channels) and int32 (b,).
    """
    return Preprocessing().apply(dataset)


def build_cohort_fn(
    client_data: tff.simulation.datasets.ClientData,
    sample_fn: SampleFn,
    preprocessing: Preprocessing | None = None,
) -> CohortFn:
    """Returns a function that makes the batches of each round's cohort.

    Args:
        client_data: A `ClientData` whose elements have `label`, and `pixels` or `tokens`.
        sample_fn: A function from the round's number to client ids, from `fedlab.data.sampling`.
        preprocessing: How the examples become batches. Default: `Preprocessing()`.

    Returns:
        A function from the round's number to a `Cohort`, a mapping from client id to batches. The
        same number gives the same batches in the same order.

    Example:
        >>> from fedlab.data import load_digits, sampling
        >>> train, _ = load_digits()
        >>> cohort_fn = build_cohort_fn(train, sampling.uniform(train.client_ids, 10, seed=0))
        >>> len(cohort_fn(1))
        10
    """
    check_client_data("client_data", client_data)
    check_callable("sample_fn", sample_fn)
    chosen = _check_preprocessing(Preprocessing() if preprocessing is None else preprocessing)
    return with_description(
        lambda round_num: Cohort(client_data, sample_fn(round_num), chosen, round_num),
        lambda: describe_cohorts(client_data, sample_fn, vars(chosen)),
    )


def _check_preprocessing(preprocessing: Preprocessing) -> Preprocessing:
    return check_instance("preprocessing", preprocessing, Preprocessing, "a Preprocessing")


@functools.lru_cache(maxsize=16)
def _trace(
    preprocessing: Preprocessing, input_spec: tuple[tf.TensorSpec, tf.TensorSpec]
) -> Callable[..., tf.Tensor]:
    """Returns `_epochs` as one graph, from arrays to a dataset as a variant tensor."""
    signature = [*input_spec, tf.TensorSpec((), tf.int64)]

    @tf.function(input_signature=signature, autograph=False)
    def create(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return tf.data.experimental.to_variant(preprocessing._epochs(images, labels, seed))

    return create


@cache_while_alive
def _ids_of(client_data: tff.simulation.datasets.ClientData) -> frozenset[str]:
    return frozenset(client_data.client_ids)


def _draw_seed(seed: int, *stream: int | str) -> int:
    return int(random_stream("batches", seed, *stream).integers(2**63 - 1))
