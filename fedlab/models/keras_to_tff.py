"""Keras models as TFF models, and weights of a learning process in a Keras model."""

from collections import OrderedDict
from collections.abc import Callable

import tensorflow as tf
import tensorflow_federated as tff

from fedlab.data.preprocessing import INPUT_SPEC
from fedlab.models.cnn import CreateFn, create_cnn, create_loss
from fedlab.models.keras_eager import keep_keras_eager

InputSpec = tuple[tf.TensorSpec, tf.TensorSpec]
ModelFn = Callable[[], tff.learning.models.VariableModel]


def build_model_fn(
    create_fn: CreateFn = create_cnn, *, input_spec: InputSpec = INPUT_SPEC
) -> ModelFn:
    """Returns what TFF's builders take: a function that makes the model, inside TFF's own graph.

    Args:
        create_fn: Makes the Keras model. TFF calls it more than once, so it must make a new one
            each time and always the same one.
        input_spec: The specs of a batch of images and of its labels, from
            `preprocessing.build_input_spec`. Default: that of the digits.

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


@keep_keras_eager()
def build_functional_model(
    create_fn: CreateFn = create_cnn, *, input_spec: InputSpec = INPUT_SPEC
) -> tff.learning.models.FunctionalModel:
    """Returns the model as pure functions of its weights: no variables, so none to share.

    Takes the same place in TFF's builders as `build_model_fn`'s result and trains to the same
    weights. Layers with a state of their own (batch normalisation) cannot be expressed so.

    Args:
        create_fn: Makes the Keras model; always the same one.
        input_spec: The specs of a batch of images and of its labels, from
            `preprocessing.build_input_spec`. Default: that of the digits.

    Returns:
        A `tff.learning.models.FunctionalModel` with the metrics `accuracy`, `loss`, `num_examples`
        and `num_batches`. It takes batches of `input_spec`.

    Raises:
        tff.learning.models.KerasFunctionalModelError: The model has such a layer.
    """
    return tff.learning.models.functional_model_from_keras(
        create_fn,
        loss_fn=create_loss(),
        input_spec=input_spec,
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
