"""Language models in TFF's form, what they cost in bits, and what they write."""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_federated as tff

from fedlab.checks import (
    check_array,
    check_callable,
    check_count,
    check_instance,
    check_labels,
    check_mapping,
    check_number,
    check_seed,
)
from fedlab.data.byte_pairs import Tokenizer
from fedlab.data.elements import build_token_spec
from fedlab.data.text import TokenClientData
from fedlab.models.language_shapes import LanguageShape, apply_weights, check_language_shape
from fedlab.random_streams import random_stream

Arrays: TypeAlias = Mapping[str, np.ndarray]
CombineFn: TypeAlias = Callable[[Mapping[str, tf.Tensor], Mapping[str, tf.Tensor]], dict]
_BATCH = 128  # windows that are read at once


class LanguageModel:
    """A language model of which some arrays train, and the others are constants.

    A constant is part of the computation: no client gets it anew in a round, and none sends it.

    Args:
        shape: The sizes, of a transformer or an LSTM.
        trainable: The arrays that train, by name, float32.
        constants: The arrays that do not.
        combine_fn: A function from the constants and the trainable arrays, as tensors, to the arrays of
            `create_transformer` or `create_lstm`. Default: both together are these.

    Attributes:
        shape: The sizes.
        trainable: The initial values of the arrays that train.
        constants: The arrays that do not.

    Raises:
        TypeError: An argument has another type.
        ValueError: There is nothing to train.
    """

    def __init__(
        self,
        shape: LanguageShape,
        trainable: Arrays,
        constants: Arrays | None = None,
        combine_fn: CombineFn | None = None,
    ):
        self.shape = check_language_shape("shape", shape)
        self.trainable = _check_arrays("trainable", trainable)
        self.constants = {} if constants is None else _check_arrays("constants", constants)
        if combine_fn is not None:
            check_callable("combine_fn", combine_fn)
        self._combine_fn = combine_fn or (lambda fixed, trained: {**fixed, **trained})
        self._losses_fn = tf.function(self._losses, reduce_retracing=True)
        self._last_fn = tf.function(self._last_logits, reduce_retracing=True)

    @property
    def num_trainable(self) -> int:
        """How many numbers train; a client sends so many."""
        return sum(array.size for array in self.trainable.values())

    def build_tff_model(self) -> tff.learning.models.FunctionalModel:
        """Returns the model for TFF's builders; its weights are the trainable arrays, in their order."""
        names = list(self.trainable)
        constants = self.constants

        @tf.function
        def predict_on_batch(model_weights, x, training=True):
            trainable, _ = model_weights
            fixed = {name: tf.constant(array) for name, array in constants.items()}
            return self._logits(fixed, dict(zip(names, trainable, strict=True)), x)

        def loss(output, label, sample_weight=None):
            return tf.reduce_mean(_cross_entropy(label, output))

        return tff.learning.models.FunctionalModel(
            initial_weights=(tuple(self.trainable.values()), ()),
            predict_on_batch_fn=predict_on_batch,
            loss_fn=loss,
            metrics_fns=tff.learning.metrics.create_functional_metric_fns(
                tf.autograph.experimental.do_not_convert(_create_metrics)
            ),
            input_spec=build_token_spec((self.shape.context,)),
        )

    def merge(self, weights: tff.learning.models.ModelWeights | Iterable[np.ndarray]) -> dict:
        """Returns the arrays of the whole model.

        Args:
            weights: The model's weights, as a run returns them, or the trainable arrays in order.

        Returns:
            Float32 arrays by name, as from `create_transformer` or `create_lstm`.
        """
        arrays = getattr(weights, "trainable", weights)
        trainable = dict(zip(self.trainable, map(tf.convert_to_tensor, arrays), strict=True))
        fixed = {name: tf.convert_to_tensor(array) for name, array in self.constants.items()}
        merged = self._combine_fn(fixed, trainable)
        return {name: np.asarray(array) for name, array in merged.items()}

    def _logits(self, constants, trainable, tokens):
        return apply_weights(self._combine_fn(constants, trainable), tokens, self.shape)

    def losses(
        self, arrays: Arrays, tokens: npt.ArrayLike, next_tokens: npt.ArrayLike
    ) -> np.ndarray:
        """Returns the cross-entropy of each following token, in nats: float32 (n, t).

        Args:
            arrays: From `merge`.
            tokens: int (n, t), t at most the context.
            next_tokens: int (n, t).
        """
        tensors = {name: tf.constant(array) for name, array in arrays.items()}
        parts = [
            self._losses_fn(tensors, tf.constant(x), tf.constant(y)).numpy()
            for x, y in _batches(
                _check_tokens("tokens", tokens), _check_tokens("next_tokens", next_tokens)
            )
        ]
        return np.concatenate(parts)

    def _losses(self, arrays, tokens, next_tokens):
        return _cross_entropy(next_tokens, apply_weights(arrays, tokens, self.shape))

    def log_probabilities(self, arrays: Arrays, tokens: npt.ArrayLike) -> np.ndarray:
        """Returns the log of the probability of each token to come next: float32 (n, num_tokens).

        Args:
            arrays: From `merge`.
            tokens: What has been said, int (n, t); of more tokens than the context the last are read.
        """
        tensors = {name: tf.constant(array) for name, array in arrays.items()}
        read = _check_tokens("tokens", tokens)[:, -self.shape.context :]
        return np.concatenate(
            [self._last_fn(tensors, tf.constant(part)).numpy() for part, _ in _batches(read, read)]
        )

    def _last_logits(self, arrays, tokens):
        return tf.nn.log_softmax(apply_weights(arrays, tokens, self.shape)[:, -1])

    def bits_per_character(
        self,
        arrays: Arrays,
        client_data: TokenClientData,
        tokenizer: Tokenizer,
        *,
        max_windows: int | None = None,
    ) -> float:
        """Returns how many bits a model needs for a character, however long its tokens are.

        Args:
            arrays: From `merge`.
            client_data: The texts.
            tokenizer: The tokenizer of the texts.
            max_windows: Largest number of windows of each client; the first are read. Default: all.

        Returns:
            The sum of the cross-entropies in bits, divided by the number of characters that are said.
        """
        check_instance("client_data", client_data, TokenClientData, "a TokenClientData")
        limit = max_windows if max_windows is None else check_count("max_windows", max_windows)
        examples = [client_data.examples(client_id) for client_id in client_data.client_ids]
        tokens, next_tokens = (
            np.concatenate([array[:limit] for array in arrays_of_clients])
            for arrays_of_clients in zip(*examples, strict=True)
        )
        nats = self.losses(arrays, tokens, next_tokens).sum(dtype=np.float64)
        return float(nats / math.log(2) / tokenizer.token_lengths[next_tokens].sum())

    def generate(
        self,
        arrays: Arrays,
        prompt: npt.ArrayLike,
        num_tokens: int,
        *,
        temperature: float = 0.7,
        seed: int = 0,
    ) -> np.ndarray:
        """Lets the model go on with a text.

        Args:
            arrays: From `merge`.
            prompt: The tokens of the text, int (n,), n at least 1.
            num_tokens: How many tokens it says.
            temperature: What the logits are divided by, at least 0. 0: always the likeliest token.
            seed: Of the draws, at least 0.

        Returns:
            The tokens that it says: int32 (num_tokens,).
        """
        said = check_labels("prompt", prompt, num_classes=self.shape.num_tokens).tolist()
        temperature = check_number("temperature", temperature, at_least=0)
        stream = random_stream("generated text", check_seed(seed))
        for _ in range(check_count("num_tokens", num_tokens)):
            scores = self.log_probabilities(arrays, [said])[0].astype(np.float64)
            if temperature:
                scores = scores / temperature + stream.gumbel(size=scores.shape)
            said.append(int(scores.argmax()))
        return np.array(said[-num_tokens:], np.int32)


def _check_arrays(name: str, arrays: Arrays) -> dict[str, np.ndarray]:
    checked = {}
    for key, array in check_mapping(name, arrays).items():
        label = f"{name}[{key!r}]"
        shape = np.shape(array)
        checked[key] = check_array(label, array, shape).astype(np.float32, copy=False)
    return checked


def _check_tokens(name: str, tokens: npt.ArrayLike) -> np.ndarray:
    return check_array(name, tokens, (None, None), at_least=0).astype(np.int32)


def _batches(*arrays: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    for start in range(0, len(arrays[0]), _BATCH):
        yield tuple(array[start : start + _BATCH] for array in arrays)


def _cross_entropy(labels, logits):
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)


def _create_metrics() -> OrderedDict:
    keras_metrics, tff_metrics = tf.keras.metrics, tff.learning.metrics
    return OrderedDict(
        loss=keras_metrics.SparseCategoricalCrossentropy(name="loss", from_logits=True),
        accuracy=keras_metrics.SparseCategoricalAccuracy(name="accuracy"),
        num_examples=tff_metrics.NumExamplesCounter(name="num_examples"),
        num_batches=tff_metrics.NumBatchesCounter(name="num_batches"),
    )
