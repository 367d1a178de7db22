"""CNNs for images of digits as Keras models: the article's two, and a small one.

Every layer has an initializer with its own seed, so the same seed gives the same weights, bit for
bit, whatever was made before. The last layer returns logits: the softmax is inside the loss.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import tensorflow as tf

from fedlab import _tensorflow as _tensorflow
from fedlab.checks import INT32_MAX, check_count, check_list, check_number, check_seed, describe
from fedlab.data.client_data import NUM_DIGITS
from fedlab.data.elements import DIGIT_SHAPE
from fedlab.random_streams import random_stream

CreateFn: TypeAlias = Callable[[], tf.keras.Model]

INPUT_SHAPE = (*DIGIT_SHAPE, 1)


def create_cnn(
    *,
    num_classes: int = NUM_DIGITS,
    seed: int = 0,
    input_shape: tuple[int, int, int] = INPUT_SHAPE,
) -> tf.keras.Sequential:
    """Returns the article's CNN: one convolution, one hidden layer, 693,962 parameters.

    Args:
        num_classes: Number of classes, and so of logits, at least 1.
        seed: Seed of the initial weights, an int32 of at least 0.
        input_shape: (height, width, channels) of one image, the first two at least 4.

    Returns:
        A Keras model from images float32 (b, *input_shape) to logits float32 (b, num_classes).

    Raises:
        TypeError: An argument is not a whole number where one is meant.
        ValueError: A number is out of range.
    """
    num_classes, seed = _check_options(num_classes, seed)
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            layers.InputLayer(_check_input_shape(input_shape)),
            layers.Conv2D(32, 3, activation="relu", kernel_initializer=_init(seed, 0)),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, activation="relu", kernel_initializer=_init(seed, 1)),
            layers.Dense(num_classes, kernel_initializer=_init(seed, 2)),
        ]
    )


def create_deeper_cnn(
    *,
    num_classes: int = NUM_DIGITS,
    dropout_rates: tuple[float, float] = (0.25, 0.5),
    seed: int = 0,
) -> tf.keras.Sequential:
    """Returns the deeper CNN that the article suggests: two convolutions, 431,242 parameters.

    It has a second convolution and twice the hidden units of `create_cnn`, and still only 62% of its
    parameters: after the second pooling the hidden layer has 1,600 inputs instead of 5,408.

    Args:
        num_classes: Number of classes, and so of logits, at least 1.
        dropout_rates: Which fraction is set to 0 in training, each in [0, 1): of the second
            pooling's outputs, and of the hidden layer's.
        seed: Seed of the initial weights and of both dropouts, an int32 of at least 0.

    Returns:
        A Keras model from images float32 (b, 28, 28, 1) to logits float32 (b, num_classes).

    Raises:
        TypeError: An argument is not a number where one is meant.
        ValueError: A number is out of range.
    """
    num_classes, seed = _check_options(num_classes, seed)
    after_pooling, after_hidden = (
        Dropout(rate, seed=int(random_stream("dropout", seed, layer).integers(INT32_MAX)))
        for layer, rate in enumerate(_check_dropout_rates(dropout_rates))
    )
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            layers.InputLayer(INPUT_SHAPE),
            layers.Conv2D(32, 3, activation="relu", kernel_initializer=_init(seed, 0)),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu", kernel_initializer=_init(seed, 1)),
            layers.MaxPooling2D(),
            after_pooling,
            layers.Flatten(),
            layers.Dense(256, activation="relu", kernel_initializer=_init(seed, 2)),
            after_hidden,
            layers.Dense(num_classes, kernel_initializer=_init(seed, 3)),
        ]
    )


def create_small_cnn(*, num_classes: int = NUM_DIGITS, seed: int = 0) -> tf.keras.Sequential:
    """Returns a small CNN for training with differential privacy: 34,602 parameters.

    The noise of differential privacy is added to every parameter, while the clip bounds an update
    as a whole. So the norm of the noise grows with the square root of the number of parameters: for
    `create_cnn` it is 4.5 times as large. (That does not decide which is more accurate: see
    `results/privacy_recipe.md`.) Two convolutions with strides do without pooling. The
    exact layers are the choice of this course.

    Args:
        num_classes: Number of classes, and so of logits, at least 1.
        seed: Seed of the initial weights, an int32 of at least 0.

    Returns:
        A Keras model from images float32 (b, 28, 28, 1) to logits float32 (b, num_classes).

    Raises:
        TypeError: An argument is not a number where one is meant.
        ValueError: A number is out of range.
    """
    num_classes, seed = _check_options(num_classes, seed)
    layers = tf.keras.layers
    first, second, hidden, last = (_init(seed, layer) for layer in range(4))
    return tf.keras.Sequential(
        [
            layers.InputLayer(INPUT_SHAPE),
            layers.Conv2D(16, 5, strides=2, activation="relu", kernel_initializer=first),
            layers.Conv2D(32, 4, strides=2, activation="relu", kernel_initializer=second),
            layers.Flatten(),
            layers.Dense(32, activation="relu", kernel_initializer=hidden),
            layers.Dense(num_classes, kernel_initializer=last),
        ]
    )


class Dropout(tf.keras.layers.Layer):
    """Dropout (Srivastava et al. 2014) whose mask depends only on the seed and on the inputs.

    The mask of Keras's own dropout comes from a stream of random numbers that all clients share:
    what a client draws depends on who drew before, so on the number of worker threads, on whether
    the run was resumed, and on the runtime. Here the mask must be another one in each step, and the
    layer knows no number of the step, the round or the client. So it makes the second half of the
    mask's seed out of the inputs: it takes the largest input, and reads the 32 bits of this
    float32 as an int32. Inputs of another batch, or of the same batch after a step, have another
    largest value, and so another mask. The maximum has the same bits in whatever
    order the values are compared, while the bits of a sum would depend on the order of the
    additions.

    Two batches with the same largest input get the same mask. Inputs that are all 0, as after a ReLU
    whose units are all inactive, are such a case; their dropout is 0 with any mask.

    Args:
        rate: Fraction of the inputs that is set to 0 in training, in [0, 1). The others are divided
            by `1 - rate`, so that the mean stays the same.
        seed: Seed of the masks, an int32 of at least 0.

    Raises:
        TypeError: An argument is not a number.
        ValueError: A number is out of range.
    """

    def __init__(self, rate: float, *, seed: int):
        super().__init__()
        self._rate = check_number("rate", rate, at_least=0, below=1)
        self._seed = check_seed(seed, at_most=INT32_MAX)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the inputs with dropout in training, and unchanged otherwise.

        Args:
            inputs: float32 of any shape.
            training: Whether the model is being trained.
        """
        if not training:
            return inputs
        bits_of_largest = tf.bitcast(tf.reduce_max(inputs), tf.int32)
        seed = tf.stack([tf.constant(self._seed), bits_of_largest])
        return tf.nn.experimental.stateless_dropout(inputs, self._rate, seed=seed)


def _check_options(num_classes: int, seed: int) -> tuple[int, int]:
    # Keras passes the seed to TensorFlow, which takes an int32, when the weights are drawn.
    return check_count("num_classes", num_classes), check_seed(seed, at_most=INT32_MAX)


def _check_input_shape(input_shape: Sequence[int]) -> tuple[int, ...]:
    lengths = check_list("input_shape", input_shape)
    if len(lengths) != 3:
        raise ValueError(
            f"input_shape must be (height, width, channels). Found {describe(input_shape)}."
        )
    smallest = (4, 4, 1)  # for a convolution of 3x3 and a pooling of 2x2
    return tuple(
        check_count("input_shape", length, at_least=least)
        for length, least in zip(lengths, smallest, strict=True)
    )


def _check_dropout_rates(dropout_rates: Sequence[float]) -> list[float]:
    rates = check_list("dropout_rates", dropout_rates)
    if len(rates) != 2:
        raise ValueError(f"dropout_rates must be two numbers. Found {describe(dropout_rates)}.")
    return [check_number("dropout_rates", rate, at_least=0, below=1) for rate in rates]


def _init(seed: int, layer: int) -> tf.keras.initializers.Initializer:
    return tf.keras.initializers.GlorotUniform(seed=1000 * seed + layer)


def create_loss() -> tf.keras.losses.Loss:
    """Returns the cross-entropy between integer labels and logits, the mean over a batch."""
    return tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
