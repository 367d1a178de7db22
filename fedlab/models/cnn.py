"""The article's CNN, a deeper and a small one, as Keras models.

Every layer has a seeded initializer of its own, so the same seed gives the same weights, bit for
bit, whatever was built before. The last layer gives logits: the softmax is inside the loss.
"""

from collections.abc import Callable

import tensorflow as tf

from fedlab import _tensorflow as _tensorflow
from fedlab.data.client_data import DIGIT_SHAPE, NUM_DIGITS

CreateFn = Callable[[], tf.keras.Model]

INPUT_SHAPE = (*DIGIT_SHAPE, 1)


def create_cnn(
    *,
    num_classes: int = NUM_DIGITS,
    seed: int = 0,
    input_shape: tuple[int, int, int] = INPUT_SHAPE,
) -> tf.keras.Sequential:
    """Returns the article's CNN: one convolution, one hidden layer, 693,962 parameters.

    Args:
        num_classes: Number of logits.
        seed: Seed of the initial weights.
        input_shape: (height, width, channels) of one image.

    Returns:
        A Keras model from images float32 (b, *input_shape) to logits float32 (b, num_classes).
    """
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            layers.InputLayer(input_shape),
            layers.Conv2D(32, 3, activation="relu", kernel_initializer=_init(seed, 0)),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, activation="relu", kernel_initializer=_init(seed, 1)),
            layers.Dense(num_classes, kernel_initializer=_init(seed, 2)),
        ]
    )


def create_deeper_cnn(
    *, num_classes: int = NUM_DIGITS, dropout_rate: float = 0.5, seed: int = 0
) -> tf.keras.Sequential:
    """Returns a deeper CNN with dropout, as the article suggests: here 225,034 parameters.

    Two convolutions, yet a third of the size: the second pooling leaves the dense layer fewer
    inputs. The exact layers are this course's.

    Args:
        num_classes: Number of logits.
        dropout_rate: Share of the hidden layer's outputs set to 0 in training, in [0, 1).
        seed: Seed of the initial weights and of the dropout.

    Returns:
        A Keras model from images float32 (b, 28, 28, 1) to logits float32 (b, num_classes).
    """
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            layers.InputLayer(INPUT_SHAPE),
            layers.Conv2D(32, 3, activation="relu", kernel_initializer=_init(seed, 0)),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu", kernel_initializer=_init(seed, 1)),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, activation="relu", kernel_initializer=_init(seed, 2)),
            Dropout(dropout_rate, seed=seed),
            layers.Dense(num_classes, kernel_initializer=_init(seed, 3)),
        ]
    )


def create_small_cnn(*, num_classes: int = NUM_DIGITS, seed: int = 0) -> tf.keras.Sequential:
    """Returns a CNN for private training: two convolutions, 34,602 parameters.

    Noise for differential privacy goes onto every parameter, while the clip bounds an update as a
    whole: the length of the noise grows with the square root of the number of parameters. That of
    `create_cnn` is 4.5 times as long. Strides take the place of pooling. The exact layers are
    this course's.

    Args:
        num_classes: Number of logits.
        seed: Seed of the initial weights.

    Returns:
        A Keras model from images float32 (b, 28, 28, 1) to logits float32 (b, num_classes).
    """
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
    """Dropout (Srivastava et al. 2014) whose mask is a function of the seed and of what comes in.

    Keras's own draws from a stream: what one client gets depends on who drew before, and so on the
    number of workers, on a resumed run, on the runtime.

    Args:
        rate: Share of the inputs set to 0 in training, in [0, 1); the others grow to keep the mean.
        seed: Seed of the masks.
    """

    def __init__(self, rate: float, *, seed: int):
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"rate must lie in [0, 1). Found {rate}.")
        self._rate = rate
        self._seed = seed

    def call(self, inputs, training=None):
        """Returns float32 of the inputs' shape."""
        if not training:
            return inputs
        # The largest input is the same in whatever order it is found, unlike a sum.
        drawn = tf.bitcast(tf.reduce_max(inputs), tf.int32)
        seed = tf.stack([tf.constant(self._seed), drawn])
        return tf.nn.experimental.stateless_dropout(inputs, self._rate, seed=seed)


def _init(seed: int, layer: int) -> tf.keras.initializers.Initializer:
    return tf.keras.initializers.GlorotUniform(seed=1000 * seed + layer)


def create_loss() -> tf.keras.losses.Loss:
    """Returns the cross-entropy between integer labels and logits, the mean over a batch."""
    return tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
