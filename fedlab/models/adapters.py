"""Ways to train a language model from given weights: all of it, its head, or adapters of low rank (LoRA)."""

from collections.abc import Iterable, Mapping

import numpy as np
import tensorflow as tf

from fedlab.checks import check_choice, check_count, check_instance, check_number, check_seed
from fedlab.models.language import LanguageModel
from fedlab.models.language_shapes import LanguageShape, check_language_weights
from fedlab.models.transformer import TransformerShape
from fedlab.random_streams import random_stream

Arrays = Mapping[str, np.ndarray]
HEAD = ("norm", "head", "bias")
_TARGETS = {"attention": ("qkv", "out"), "all": ("qkv", "out", "up", "down")}


def build_full_model(shape: LanguageShape, base: Arrays) -> LanguageModel:
    """Returns a model in which every array trains.

    Args:
        shape: The sizes, of a transformer or an LSTM.
        base: The initial weights, as from `create_transformer` or `create_lstm`.
    """
    return LanguageModel(shape, check_language_weights("base", shape, base))


def build_head_model(shape: LanguageShape, base: Arrays) -> LanguageModel:
    """Returns a model in which the last norm, the head and its bias train.

    Args:
        shape: The sizes of a transformer.
        base: The initial weights, as from `create_transformer`.

    Raises:
        TypeError: The sizes are those of another model.
    """
    base = _check_transformer(shape, base)
    trainable = {name: base[name] for name in HEAD}
    constants = {name: array for name, array in base.items() if name not in HEAD}
    return LanguageModel(shape, trainable, constants)


def build_lora_model(
    shape: LanguageShape,
    base: Arrays,
    *,
    rank: int = 4,
    targets: str = "all",
    scale: float = 2.0,
    seed: int = 0,
) -> LanguageModel:
    r"""Returns a model in which a product of two narrow matrices is added to each large one.

    LoRA (Hu et al. 2022): a frozen matrix $W$ becomes $W + s A B$, with $A$ (n, rank) and $B$ (rank, m).
    $B$ begins as zero, so the first model is the base. Only the $A$ and $B$ are broadcast and sent.

    Args:
        shape: The sizes of a transformer.
        base: The frozen weights, as from `create_transformer`.
        rank: Columns of $A$ and rows of $B$, at least 1.
        targets: "attention": the matrices of the attention; "all": those of the network after it, too.
        scale: $s$, above 0.
        seed: Of the initial $A$, at least 0.

    Raises:
        TypeError: A number has another type, or the sizes are those of another model.
        ValueError: A number is out of range, or there are no such targets.
    """
    base = _check_transformer(shape, base)
    rank, scale = check_count("rank", rank), check_number("scale", scale, above=0)
    chosen = _TARGETS[check_choice("targets", targets, _TARGETS)]
    stream = random_stream("adapters", check_seed(seed))
    trainable = {}
    for name, matrix in base.items():
        if name.split(".")[-1] in chosen:
            num_rows, num_columns = matrix.shape
            first = stream.normal(0, num_rows**-0.5, (num_rows, rank))
            trainable[f"{name}.a"] = first.astype(np.float32)
            trainable[f"{name}.b"] = np.zeros((rank, num_columns), np.float32)

    def combine(
        constants: Mapping[str, tf.Tensor], adapters: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        adapted = {
            name: constants[name] + scale * adapters[f"{name}.a"] @ adapters[f"{name}.b"]
            for name in _adapted_names(adapters)
        }
        return {**constants, **adapted}

    return LanguageModel(shape, trainable, base, combine)


def _check_transformer(shape: LanguageShape, base: Arrays) -> dict[str, np.ndarray]:
    check_instance("shape", shape, TransformerShape, "a TransformerShape")
    return check_language_weights("base", shape, base)


def _adapted_names(adapters: Iterable[str]) -> list[str]:
    return [name.removesuffix(".a") for name in adapters if name.endswith(".a")]
