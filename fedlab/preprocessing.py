"""From a client's examples to the batches that its model trains on."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from fedlab.sampling import SampleFn, check_seed

CohortFn = Callable[[int], Mapping[str, tf.data.Dataset]]
_MORE_THAN_A_CLIENT_HAS = 1 << 30  # as a batch size: all its examples
# What the models are fed: a batch of images with a channel, and its labels.
INPUT_SPEC = (tf.TensorSpec((None, 28, 28, 1), tf.float32), tf.TensorSpec((None,), tf.int32))


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How a client's examples become batches. The defaults are the article's, for one epoch.

    Attributes:
        batch_size: Examples per batch, at least 1; the last batch of each epoch may be smaller, as
            in McMahan et al. 2017, algorithm 1. (TFF's tutorials batch across epochs.)
        num_epochs: Local epochs per round, at least 1.
        shuffle: Whether each epoch goes through the examples in a new order. The article does not.
        max_examples: Cap on the examples a client uses, or `None`.
        seed: Seed of the shuffling, at least 0.
    """

    batch_size: int = 20
    num_epochs: int = 1
    shuffle: bool = False
    max_examples: int | None = None
    seed: int = 0

    def __post_init__(self):
        check_seed(self.seed)
        for name in ("batch_size", "num_epochs", "max_examples"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1. Found {value}.")

    def apply(self, dataset: tf.data.Dataset, *stream: int) -> tf.data.Dataset:
        """Returns the batches of one client for one round.

        Args:
            dataset: Elements `OrderedDict(label, pixels)`, as in Federated EMNIST.
            *stream: What the shuffling depends on besides `seed`, such as round and client number.
                The order is a function of these numbers and the epoch alone: whoever goes through
                the batches again meets the same order.

        Returns:
            Batches `(images float32 (b, 28, 28, 1), labels int32 (b,))`.
        """
        if self.max_examples is not None:
            dataset = dataset.take(self.max_examples)
        if self.shuffle:
            return self._shuffled(dataset, _draw_seed(self.seed, *stream)).prefetch(1)
        return dataset.batch(self.batch_size).map(to_batch).repeat(self.num_epochs).prefetch(1)

    def _shuffled(self, dataset: tf.data.Dataset, seed: int) -> tf.data.Dataset:
        # `Dataset.shuffle` also depends on TensorFlow's global seed and on who iterated before.
        def shuffle_epoch(epoch: tf.Tensor, element: Mapping[str, tf.Tensor]) -> tf.data.Dataset:
            pair = tf.stack([tf.constant(seed, tf.int64), epoch])
            shuffled = [  # the same seed is the same permutation
                tf.random.experimental.stateless_shuffle(tensor, seed=pair)
                for tensor in to_batch(element)
            ]
            return tf.data.Dataset.from_tensor_slices(tuple(shuffled)).batch(self.batch_size)

        whole = dataset.batch(_MORE_THAN_A_CLIENT_HAS).repeat(self.num_epochs)
        batches = whole.enumerate().flat_map(shuffle_epoch)
        num_examples = dataset.cardinality()
        if not tf.executing_eagerly() or num_examples < 0:  # not known
            return batches
        num_batches = self.num_epochs * -(-num_examples // self.batch_size)
        return batches.apply(tf.data.experimental.assert_cardinality(num_batches))


def to_batch(element: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """Gives the images a channel and puts the batch in the order (images, labels)."""
    return tf.expand_dims(element["pixels"], axis=-1), element["label"]


def preprocess(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Batches of 20 in the order of the file, as the article has them; one epoch."""
    return Preprocessing().apply(dataset)


def build_cohort_fn(
    client_data, sample_fn: SampleFn, preprocessing: Preprocessing | None = None
) -> CohortFn:
    """Ties together who takes part, what each holds, and how it is batched.

    Args:
        client_data: A `ClientData` with Federated EMNIST's elements.
        sample_fn: Round number to client ids, from `fedlab.sampling`.
        preprocessing: Default: `Preprocessing()`.

    Returns:
        A function from round number to `{client_id: batches}`, in the order of the cohort. Calling
        it again with the same number gives the same batches in the same order.
    """
    preprocessing = preprocessing or Preprocessing()
    number_of = {client_id: number for number, client_id in enumerate(client_data.client_ids)}

    def cohort_fn(round_num: int) -> dict[str, tf.data.Dataset]:
        return {
            client_id: preprocessing.apply(
                client_data.create_tf_dataset_for_client(client_id),
                round_num,
                number_of[client_id],
            )
            for client_id in sample_fn(round_num)
        }

    return cohort_fn


def _draw_seed(*numbers: int) -> int:
    return int(np.random.default_rng(numbers).integers(2**31))
