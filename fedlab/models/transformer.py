"""A small language model: a decoder-only transformer, as a function of named arrays.

Pre-norm blocks (RMS norm, Zhang, Sennrich 2019), causal attention (Vaswani et al. 2017), a ReLU network four
times as wide, learned places, and a head of its own. A model that is a function of its arrays can be
taken apart: `fedlab.models.adapters` puts matrices of low rank into it.
"""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from fedlab import _tensorflow as _tensorflow
from fedlab.checks import check_count, check_instance, check_seed
from fedlab.random_streams import random_stream

_MASKED = -1e9  # the score of a place that lies ahead
_SMALLEST_NORM = 1e-5


@dataclasses.dataclass(frozen=True)
class TransformerShape:
    """The sizes of a transformer.

    Attributes:
        width: Numbers that stand for a token, a multiple of `num_heads`.
        num_layers: Number of blocks, at least 1.
        num_heads: Number of heads in each attention, at least 1.
        context: Largest number of tokens that it reads, at least 1.
        num_tokens: Number of different tokens, at least 1.

    Raises:
        TypeError: A size is not a whole number.
        ValueError: A size is below 1, or the width is no multiple of the heads.
    """

    width: int = 64
    num_layers: int = 2
    num_heads: int = 4
    context: int = 64
    num_tokens: int = 512

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, check_count(field.name, getattr(self, field.name)))
        if self.width % self.num_heads:
            raise ValueError(
                f"width must be a multiple of num_heads, {self.num_heads}. Found {self.width}."
            )


def create_transformer(shape: TransformerShape, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Returns new weights.

    Args:
        shape: The sizes.
        seed: Of the initial weights, at least 0.

    Returns:
        Float32 arrays by name: "embedding" (num_tokens, width) and "position" (context, width); for
        each block k "k.attention_norm" (width,), "k.qkv" (width, 3 width), "k.out" (width, width),
        "k.mlp_norm" (width,), "k.up" (width, 4 width) and "k.down" (4 width, width); then "norm"
        (width,), "head" (width, num_tokens) and "bias" (num_tokens,).
    """
    check_instance("shape", shape, TransformerShape, "a TransformerShape")
    stream, width = random_stream("transformer", check_seed(seed)), shape.width

    def normal(*sizes: int, stddev: float) -> np.ndarray:
        return stream.normal(0, stddev, sizes).astype(np.float32)

    one = np.ones(width, np.float32)
    depth = math.sqrt(2 * shape.num_layers)  # each block adds twice to what is passed on
    weights = {
        "embedding": normal(shape.num_tokens, width, stddev=0.05),
        "position": normal(shape.context, width, stddev=0.02),
    }
    for k in range(shape.num_layers):
        weights |= {
            f"{k}.attention_norm": one,
            f"{k}.qkv": normal(width, 3 * width, stddev=width**-0.5),
            f"{k}.out": normal(width, width, stddev=width**-0.5 / depth),
            f"{k}.mlp_norm": one,
            f"{k}.up": normal(width, 4 * width, stddev=width**-0.5),
            f"{k}.down": normal(4 * width, width, stddev=(4 * width) ** -0.5 / depth),
        }
    head = normal(width, shape.num_tokens, stddev=0.02)
    return weights | {"norm": one, "head": head, "bias": np.zeros(shape.num_tokens, np.float32)}


def apply_transformer(
    weights: Mapping[str, tf.Tensor], tokens: tf.Tensor, shape: TransformerShape
) -> tf.Tensor:
    """Returns what a transformer says of the token that follows each token.

    Args:
        weights: From `create_transformer`.
        tokens: int32 (b, t), t at most the context.
        shape: The sizes.

    Returns:
        Logits: float32 (b, t, num_tokens). Those of a place depend on it and the places before it.
    """
    length = tokens.shape[1] or tf.shape(tokens)[1]
    hidden = tf.gather(weights["embedding"], tokens) + weights["position"][:length]
    for k in range(shape.num_layers):
        normed = _rms_norm(hidden, weights[f"{k}.attention_norm"])
        mixed = _attend(_multiply(normed, weights[f"{k}.qkv"]), shape)
        hidden += _multiply(mixed, weights[f"{k}.out"])
        normed = _rms_norm(hidden, weights[f"{k}.mlp_norm"])
        hidden += _multiply(tf.nn.relu(_multiply(normed, weights[f"{k}.up"])), weights[f"{k}.down"])
    return _multiply(_rms_norm(hidden, weights["norm"]), weights["head"]) + weights["bias"]


def _rms_norm(hidden: tf.Tensor, gain: tf.Tensor) -> tf.Tensor:
    mean_square = tf.reduce_mean(tf.square(hidden), -1, keepdims=True)
    return hidden * tf.math.rsqrt(mean_square + _SMALLEST_NORM) * gain


def _multiply(hidden: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """Multiplies all places at once: one large product is faster than many small ones."""
    flat = tf.matmul(tf.reshape(hidden, [-1, matrix.shape[0]]), matrix)
    return tf.reshape(flat, tf.concat([tf.shape(hidden)[:-1], [matrix.shape[1]]], 0))


def _attend(qkv: tf.Tensor, shape: TransformerShape) -> tf.Tensor:
    """Returns the mean of the values before each place, weighted by how keys fit its query.

    Vaswani et al. 2017, equation 1, for each head.
    """
    size = shape.width // shape.num_heads
    batch, length = tf.shape(qkv)[0], tf.shape(qkv)[1]
    heads = tf.reshape(qkv, [batch, length, 3, shape.num_heads, size])
    query, key, value = tf.unstack(tf.transpose(heads, [2, 0, 3, 1, 4]), 3)
    is_ahead = 1.0 - tf.linalg.band_part(tf.ones([length, length]), -1, 0)
    scores = tf.matmul(query, key, transpose_b=True) * size**-0.5 + _MASKED * is_ahead
    mixed = tf.transpose(tf.matmul(tf.nn.softmax(scores), value), [0, 2, 1, 3])
    return tf.reshape(mixed, [batch, length, shape.width])
