"""From Keras models to TFF models, and from a learning process's weights back to a Keras model."""

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias

import tensorflow as tf
import tensorflow_federated as tff

from fedlab.data.preprocessing import INPUT_SPEC
from fedlab.models.cnn import CreateFn, create_cnn, create_loss
from fedlab.models.keras_eager import restore_eager_keras

InputSpec: TypeAlias = tuple[tf.TensorSpec, tf.TensorSpec]
ModelFn: TypeAlias = Callable[[], tff.learning.models.VariableModel]


def build_model_fn(
    create_fn: CreateFn = create_cnn, *, input_spec: InputSpec = INPUT_SPEC
) -> ModelFn:
    """Returns a function that makes the TFF model, which TFF's builders call inside their graph.

    Example:
        >>> process = learning.build_fed_avg(models.build_model_fn(models.create_small_cnn))

    Args:
        create_fn: A function without arguments that makes the Keras model. TFF calls it several
            times: it must make a new model each time, always with the same layers and weights.
        input_spec: The specs of a batch of images and of its labels, from
            `fedlab.data.preprocessing.build_input_spec`. Default: those of the digits.

    Returns:
        A function without arguments that returns a `tff.learning.models.VariableModel` with the
        metric `accuracy`, besides TFF's own `loss`, `num_examples` and `num_batches`.
    """

    def model_fn() -> tff.learning.models.VariableModel:
        return tff.learning.models.from_keras_model(
            create_fn(),
            loss=create_loss(),
            input_spec=input_spec,
            metrics=[tf.keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        )

    return model_fn


def build_functional_model(
    create_fn: CreateFn = create_cnn, *, input_spec: InputSpec = INPUT_SPEC
) -> tff.learning.models.FunctionalModel:
    """Returns the TFF model as pure functions of its weights, without variables.

    It may be given to a builder in place of the result of `build_model_fn` and trains to the same
    weights. Layers that change their own state, such as batch normalization, are not possible.

    Args:
        create_fn: A function without arguments that makes the Keras model, always with the same
            layers and weights.
        input_spec: The specs of a batch of images and of its labels, from
            `fedlab.data.preprocessing.build_input_spec`. Default: those of the digits.

    Returns:
        A `tff.learning.models.FunctionalModel` for batches of `input_spec`, with the metrics
        `accuracy`, `loss`, `num_examples` and `num_batches`.

    Raises:
        tff.learning.models.KerasFunctionalModelError: A layer of the model changes its own state.
    """
    try:
        return tff.learning.models.functional_model_from_keras(
            create_fn,
            loss_fn=create_loss(),
            input_spec=input_spec,
            metrics_constructor=_create_metrics,
        )
    finally:
        restore_eager_keras()


@tf.autograph.experimental.do_not_convert
def _create_metrics() -> OrderedDict[str, tf.keras.metrics.Metric]:
    """Returns new metrics; a FunctionalModel, unlike a VariableModel, has none by default."""
    return OrderedDict(
        accuracy=tf.keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
        loss=tf.keras.metrics.SparseCategoricalCrossentropy(name="loss", from_logits=True),
        num_examples=tff.learning.metrics.NumExamplesCounter(name="num_examples"),
        num_batches=tff.learning.metrics.NumBatchesCounter(name="num_batches"),
    )


def assign_weights(
    model: tf.keras.Model, weights: tff.learning.models.ModelWeights
) -> tf.keras.Model:
    """Writes the weights of a learning process into a Keras model.

    Args:
        model: The Keras model; its variables are changed.
        weights: The weights, as `LearningProcess.get_model_weights` returns them.

    Returns:
        `model`.

    Raises:
        ValueError: The weights belong to another model: their number or shapes differ.
    """
    model_shapes = [tuple(variable.shape) for variable in model.trainable_weights]
    shapes = [tuple(value.shape) for value in weights.trainable]
    if shapes != model_shapes:
        raise ValueError(
            f"These weights are another model's: shapes {shapes}. The model has {model_shapes}."
        )
    weights.assign_weights_to(model)
    return model
