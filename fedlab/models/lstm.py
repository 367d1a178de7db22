"""A recurrent language model to hold a transformer against: an LSTM, as a function of named arrays.

An embedding, one LSTM layer (Hochreiter, Schmidhuber 1997, with the forget gate of Gers et al. 2000) and a
head: a form of it is in the first federated keyboards (Hard et al. 2018).
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from fedlab import _tensorflow as _tensorflow
from fedlab.checks import check_count, check_instance, check_seed
from fedlab.random_streams import random_stream


@dataclasses.dataclass(frozen=True)
class LstmShape:
    """The sizes of an LSTM.

    Attributes:
        width: Numbers that stand for a token, at least 1.
        num_units: Numbers that it carries from place to place, at least 1.
        context: Largest number of tokens that it reads, at least 1.
        num_tokens: Number of different tokens, at least 1.

    Raises:
        TypeError: A size is not a whole number.
        ValueError: A size is below 1.
    """

    width: int = 64
    num_units: int = 128
    context: int = 64
    num_tokens: int = 512

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, check_count(field.name, getattr(self, field.name)))


def create_lstm(shape: LstmShape, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Returns new weights.

    Args:
        shape: The sizes.
        seed: Of the initial weights, at least 0.

    Returns:
        Float32 arrays by name: "embedding" (num_tokens, width), "gates" (width + num_units,
        4 num_units) and "gates_bias" (4 num_units,), for input gate, forget gate, candidate
        and output gate in Keras' order, "head" (num_units, num_tokens) and "bias" (num_tokens,). The bias of the forget
        gate begins at 1 (Jozefowicz et al. 2015), the others at 0.
    """
    check_instance("shape", shape, LstmShape, "an LstmShape")
    stream, num_units = random_stream("lstm", check_seed(seed)), shape.num_units

    def normal(*sizes: int, stddev: float) -> np.ndarray:
        return stream.normal(0, stddev, sizes).astype(np.float32)

    gates_bias = np.zeros(4 * num_units, np.float32)
    gates_bias[num_units : 2 * num_units] = 1
    num_inputs = shape.width + num_units
    return {
        "embedding": normal(shape.num_tokens, shape.width, stddev=0.05),
        "gates": normal(num_inputs, 4 * num_units, stddev=num_inputs**-0.5),
        "gates_bias": gates_bias,
        "head": normal(num_units, shape.num_tokens, stddev=0.02),
        "bias": np.zeros(shape.num_tokens, np.float32),
    }


def apply_lstm(weights: Mapping[str, tf.Tensor], tokens: tf.Tensor, shape: LstmShape) -> tf.Tensor:
    """Returns what an LSTM says of the token that follows each token.

    Args:
        weights: From `create_lstm`.
        tokens: int32 (b, t).
        shape: The sizes.

    Returns:
        Logits: float32 (b, t, num_tokens). Those of a place depend on it and the places before it.
    """
    length, batch = tf.shape(tokens)[1], tf.shape(tokens)[0]
    embedded = tf.reshape(tf.gather(weights["embedding"], tf.transpose(tokens)), [-1, shape.width])
    for_inputs, for_units = tf.split(weights["gates"], [shape.width, shape.num_units])
    # What does not depend on the place before is one large product, which is faster than many small ones.
    inputs = tf.reshape(embedded @ for_inputs + weights["gates_bias"], [length, batch, -1])

    def step(before: tuple[tf.Tensor, tf.Tensor], place: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        output, cell = before
        entry, keep, candidate, show = tf.split(place + output @ for_units, 4, axis=1)
        cell = tf.sigmoid(keep) * cell + tf.sigmoid(entry) * tf.tanh(candidate)
        return tf.sigmoid(show) * tf.tanh(cell), cell

    nothing = tf.zeros([batch, shape.num_units])
    outputs, _ = tf.scan(step, inputs, (nothing, nothing))
    flat = tf.reshape(outputs, [-1, shape.num_units]) @ weights["head"] + weights["bias"]
    return tf.transpose(tf.reshape(flat, [length, batch, shape.num_tokens]), [1, 0, 2])
