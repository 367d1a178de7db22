"""The kinds of language model: how each is made, and what it says of the next token."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from fedlab import _tensorflow as _tensorflow
from fedlab.checks import check_array, check_instance, check_mapping, check_seed, describe
from fedlab.models.lstm import LstmShape, apply_lstm, create_lstm
from fedlab.models.transformer import TransformerShape, apply_transformer, create_transformer

LanguageShape: TypeAlias = TransformerShape | LstmShape
_FUNCTIONS: dict[type, tuple[Callable, Callable]] = {
    TransformerShape: (create_transformer, apply_transformer),
    LstmShape: (create_lstm, apply_lstm),
}


def check_language_shape(name: str, shape: Any) -> LanguageShape:
    """Returns the sizes of a language model.

    Args:
        name: The parameter's name, for the error.
        shape: The sizes.

    Raises:
        TypeError: They are something else.
    """
    return check_instance(name, shape, tuple(_FUNCTIONS), "a TransformerShape or an LstmShape")


def create_weights(shape: LanguageShape, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Returns new weights, from `create_transformer` or `create_lstm`.

    Args:
        shape: The sizes.
        seed: Of the initial weights, at least 0.
    """
    create_fn, _ = _FUNCTIONS[type(check_language_shape("shape", shape))]
    return create_fn(shape, seed=check_seed(seed))


def apply_weights(
    weights: Mapping[str, tf.Tensor], tokens: tf.Tensor, shape: LanguageShape
) -> tf.Tensor:
    """Returns what a model says of the token that follows each token, as logits (b, t, num_tokens).

    Args:
        weights: From `create_weights`.
        tokens: int32 (b, t), t at most the context.
        shape: The sizes.
    """
    _, apply_fn = _FUNCTIONS[type(shape)]
    return apply_fn(weights, tokens, shape)


def check_language_weights(name: str, shape: LanguageShape, weights: Any) -> dict[str, np.ndarray]:
    """Returns the weights of a language model as float32.

    Args:
        name: The parameter's name, for the error.
        shape: The sizes.
        weights: Arrays by name.

    Raises:
        TypeError: They are no mapping, or an array has no numbers.
        ValueError: An array is missing, has another shape, or is not finite.
    """
    expected = create_weights(shape)
    arrays = check_mapping(name, weights)
    if arrays.keys() != expected.keys():
        different = sorted(arrays.keys() ^ expected.keys(), key=str)[0]
        create_fn, _ = _FUNCTIONS[type(shape)]
        raise ValueError(
            f"{name} must have the arrays of {create_fn.__name__} for this shape, by their names. Found "
            f"{describe(list(arrays))}; {different!r} differs."
        )
    return {
        key: check_array(f"{name}[{key!r}]", arrays[key], array.shape).astype(
            np.float32, copy=False
        )
        for key, array in expected.items()
    }
