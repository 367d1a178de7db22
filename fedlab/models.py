"""The article's CNN, a deeper and a small one, as Keras models and as TFF models.

Every layer has a seeded initializer of its own, so the same seed gives the same weights, bit for
bit, whatever was built before. The last layer gives logits: the softmax is inside the loss.
"""

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterator

import tensorflow as tf
import tensorflow_federated as tff

from fedlab.preprocessing import INPUT_SPEC

CreateFn = Callable[[], tf.keras.Model]
ModelFn = Callable[[], tff.learning.models.VariableModel]

INPUT_SHAPE = (28, 28, 1)


def create_cnn(*, num_classes: int = 10, seed: int = 0) -> tf.keras.Sequential:
    """Returns the article's CNN: one convolution, one hidden layer, 693,962 parameters.

    Args:
        num_classes: Number of logits.
        seed: Seed of the initial weights.

    Returns:
        A Keras model from images float32 (b, 28, 28, 1) to logits float32 (b, num_classes).
    """
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            layers.InputLayer(INPUT_SHAPE),
            layers.Conv2D(32, 3, activation="relu", kernel_initializer=_init(seed, 0)),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, activation="relu", kernel_initializer=_init(seed, 1)),
            layers.Dense(num_classes, kernel_initializer=_init(seed, 2)),
        ]
    )


def create_deeper_cnn(
    *, num_classes: int = 10, dropout_rate: float = 0.5, seed: int = 0
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


def create_small_cnn(*, num_classes: int = 10, seed: int = 0) -> tf.keras.Sequential:
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


def build_model_fn(create_fn: CreateFn = create_cnn) -> ModelFn:
    """Returns what TFF's builders take: a function that makes the model, inside TFF's own graph.

    Args:
        create_fn: Makes the Keras model. TFF calls it more than once, so it must make a new one
            each time and always the same one.

    Returns:
        A function without arguments that returns a `tff.learning.models.VariableModel` with the
        metric `accuracy`, besides TFF's own `loss`, `num_examples` and `num_batches`.
    """

    def model_fn() -> tff.learning.models.VariableModel:
        return tff.learning.models.from_keras_model(
            create_fn(),
            loss=create_loss(),
            input_spec=INPUT_SPEC,
            metrics=[tf.keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        )

    return model_fn


@contextlib.contextmanager
def keep_keras_eager() -> Iterator[None]:
    """Lets Keras models that were made before still work after what is done inside.

    Keras 2 has two versions of its base classes, for eager use and for graphs, and whoever makes a
    model in a graph, as TFF's builders do, exchanges them for every layer and model of the same
    kind: one that was made before then fails with "Your Layer or Model is in an invalid state".
    `fedlab`'s builders are protected; put this around TFF's own where you call them directly.
    """
    bases = _layer_bases() | _EAGER_BASES
    try:
        yield
    finally:
        for kind, kept in bases.items():
            if kind.__bases__ != kept:
                kind.__bases__ = kept


def _layer_bases() -> dict[type, tuple[type, ...]]:
    kinds = [tf.keras.layers.Layer]
    for kind in kinds:  # grows while it is walked
        kinds.extend(kind.__subclasses__())
    return {kind: kind.__bases__ for kind in kinds}


_EAGER_BASES = _layer_bases()  # nobody has made a model yet


@keep_keras_eager()
def build_functional_model(create_fn: CreateFn = create_cnn) -> tff.learning.models.FunctionalModel:
    """Returns the model as pure functions of its weights: no variables, so none to share.

    Takes the same place in TFF's builders as `build_model_fn`'s result and trains to the same
    weights. Layers with a state of their own (batch normalisation) cannot be expressed so.

    Args:
        create_fn: Makes the Keras model; always the same one.

    Returns:
        A `tff.learning.models.FunctionalModel` with the metrics `accuracy`, `loss`, `num_examples`
        and `num_batches`. It takes batches of `INPUT_SPEC`.

    Raises:
        tff.learning.models.KerasFunctionalModelError: The model has such a layer.
    """
    return tff.learning.models.functional_model_from_keras(
        create_fn,
        loss_fn=create_loss(),
        input_spec=INPUT_SPEC,
        metrics_constructor=_create_metrics,
    )


@tf.autograph.experimental.do_not_convert
def _create_metrics() -> OrderedDict[str, tf.keras.metrics.Metric]:
    """The metrics that a VariableModel has of itself must be named for a FunctionalModel."""
    return OrderedDict(
        accuracy=tf.keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
        loss=tf.keras.metrics.SparseCategoricalCrossentropy(name="loss", from_logits=True),
        num_examples=tff.learning.metrics.NumExamplesCounter(name="num_examples"),
        num_batches=tff.learning.metrics.NumBatchesCounter(name="num_batches"),
    )


def assign_weights(
    model: tf.keras.Model, weights: tff.learning.models.ModelWeights
) -> tf.keras.Model:
    """Puts the weights of a learning process into a Keras model, and returns that.

    Raises:
        ValueError: The weights are another model's.
    """
    shapes = [tuple(variable.shape) for variable in model.trainable_weights]
    found = [tuple(value.shape) for value in weights.trainable]
    if shapes != found:
        raise ValueError(
            f"These weights are another model's: shapes {found}. The model has {shapes}."
        )
    weights.assign_weights_to(model)
    return model
