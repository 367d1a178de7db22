"""The elements of client data: one labelled image, in Federated EMNIST's convention."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlab import _tensorflow as _tensorflow
from fedlab.checks import check_count, check_instance, check_list, describe

_KEYS = ("pixels", "label")
DIGIT_SHAPE = (28, 28)  # of the images of MNIST and its relatives


def image_element_spec(image_shape: Sequence[int] = DIGIT_SHAPE) -> OrderedDict[str, tf.TensorSpec]:
    """Returns the structure of one labelled image, in Federated EMNIST's convention.

    Args:
        image_shape: Shape of one image, (height, width) of grey ones or (height, width, channels).

    Returns:
        The specs of the label, int32 (), and the pixels, float32 `image_shape`, in this order.
    """
    pixels = tf.TensorSpec(image_shape, tf.float32)
    return OrderedDict(label=tf.TensorSpec((), tf.int32), pixels=pixels)


def build_input_spec(image_shape: Sequence[int]) -> tuple[tf.TensorSpec, tf.TensorSpec]:
    """Returns the input spec of the models: a batch of images with channels, and its labels.

    Args:
        image_shape: Shape of one image, (height, width) of grey ones or (height, width, channels).

    Returns:
        The specs of images float32 (b, height, width, channels) and labels int32 (b,).
    """
    height, width, *channels = check_image_shape(image_shape)
    images = tf.TensorSpec((None, height, width, *(channels or [1])), tf.float32)
    return images, tf.TensorSpec((None,), tf.int32)


def build_token_spec(example_shape: Sequence[int]) -> tuple[tf.TensorSpec, tf.TensorSpec]:
    """Returns the input spec of language models: a batch of windows, and the tokens that follow.

    Args:
        example_shape: Shape of a window, (context,).

    Returns:
        The specs of tokens and following tokens, int32 (b, context) both.
    """
    spec = tf.TensorSpec((None, *example_shape), tf.int32)
    return spec, spec


def check_image_shape(image_shape: Sequence[int]) -> tuple[int, ...]:
    """Returns the shape of one image as a tuple of ints.

    Args:
        image_shape: (height, width) or (height, width, channels), each at least 1.

    Raises:
        TypeError: It is no list of whole numbers.
        ValueError: It has another length, or a number is below 1.
    """
    lengths = check_list("image_shape", image_shape)
    if len(lengths) not in (2, 3):
        raise ValueError(
            "image_shape must be (height, width) or (height, width, channels). Found "
            f"{describe(image_shape)}."
        )
    return tuple(check_count("image_shape", length) for length in lengths)


def check_client_data(name: str, client_data: Any) -> tff.simulation.datasets.ClientData:
    """Returns client data whose elements are labelled images, or windows of tokens.

    Args:
        name: The parameter's name, for the error.
        client_data: A TFF `ClientData`.

    Raises:
        TypeError: It is something else.
        ValueError: Its elements are neither `OrderedDict(label, pixels)` nor `OrderedDict(label,
            tokens)`.
    """
    check_instance(name, client_data, tff.simulation.datasets.ClientData, "a TFF ClientData")
    check_elements(name, client_data.element_type_structure)
    return client_data


def check_elements(name: str, spec: Any) -> None:
    """Raises ValueError for elements that are not labelled images, as in Federated EMNIST.

    Args:
        name: The name of the data, for the error.
        spec: The structure of an element: of `tf.TensorSpec`s.
    """
    if is_text(spec):
        return
    pixels, label = (spec.get(key) if isinstance(spec, Mapping) else None for key in _KEYS)
    is_alike = (
        isinstance(pixels, tf.TensorSpec)
        and isinstance(label, tf.TensorSpec)
        and label.shape.rank == 0
        and label.dtype.is_integer
        and pixels.shape.rank in (2, 3)
        and pixels.dtype == tf.float32
    )
    if not is_alike:
        raise ValueError(
            f"{name} must have the elements OrderedDict(label: an integer (), pixels: float32 "
            f"(height, width) or (height, width, channels)). Found {_describe_elements(spec)}."
        )


def is_text(spec: Any) -> bool:
    """Returns whether elements are windows of tokens and the tokens that follow.

    Args:
        spec: The structure of an element: of `tf.TensorSpec`s.
    """
    parts = [spec.get(key) for key in ("tokens", "label")] if isinstance(spec, Mapping) else []
    return bool(parts) and all(
        isinstance(part, tf.TensorSpec) and part.shape.rank == 1 and part.dtype == tf.int32
        for part in parts
    )


def _describe_elements(spec: Any) -> str:
    if isinstance(spec, Mapping):
        return (
            f"{{{', '.join(f'{key}: {_describe_elements(part)}' for key, part in spec.items())}}}"
        )
    if isinstance(spec, tf.TensorSpec):
        return f"{spec.dtype.name} {spec.shape}"
    return describe(spec)


def add_channel(images: np.ndarray | tf.Tensor) -> np.ndarray | tf.Tensor:
    """Returns images with an axis for their channels; grey ones get one channel.

    Args:
        images: An array or a tensor, (n, height, width) or (n, height, width, channels).

    Returns:
        The same values as (n, height, width, channels).
    """
    return images[..., np.newaxis] if len(images.shape) == 3 else images


def to_batch(element: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns a batch in the order (images, labels), and gives grey images a channel.

    Args:
        element: A batch of elements, with `pixels`, (b, height, width) or (b, height, width,
            channels), and `label`, (b,); or with `tokens` and `label`, (b, context) both.

    Returns:
        The images, (b, height, width, channels), and the labels, (b,), of the same dtypes; or the
        tokens and the labels.
    """
    if "tokens" in element:
        return element["tokens"], element["label"]
    return add_channel(element["pixels"]), element["label"]
