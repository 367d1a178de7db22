"""From Keras models to TFF models, and from a learning process's weights back to a Keras model."""

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff
from tensorflow_federated.python.learning.models.functional import (
    KerasFunctionalModelError as KerasFunctionalModelError,
)

from fedlab.checks import check_callable, check_instance, check_list, describe
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

    Raises:
        TypeError: `create_fn` is not a function, or `input_spec` is not a pair of specs.
    """
    create_fn, input_spec = check_create_fn(create_fn), _check_input_spec(input_spec)

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
        TypeError: `create_fn` is not a function, or `input_spec` is not a pair of specs.
        KerasFunctionalModelError: A layer of the model changes its own state. The error is TFF's
            own, which has no public name there.
    """
    create_fn, input_spec = check_create_fn(create_fn), _check_input_spec(input_spec)
    _check_no_updates(create_fn)
    try:
        return tff.learning.models.functional_model_from_keras(
            create_fn,
            loss_fn=create_loss(),
            input_spec=input_spec,
            metrics_constructor=_create_metrics,
        )
    finally:
        restore_eager_keras()


def _check_no_updates(create_fn: CreateFn) -> None:
    """TFF looks for such layers only where it is given a Keras model, and here it gets a function."""
    with tf.Graph().as_default():
        model = create_fn()
        changing = [layer.name for layer in model.submodules if _changes_itself(layer)]
    restore_eager_keras()
    if changing:
        raise KerasFunctionalModelError(
            "create_fn must make a model whose layers do not change their own state in training, "
            "such as batch normalization does, because a functional model has no place for it. Use "
            "layer or group normalization (tf.keras.layers.GroupNormalization), or build_model_fn. "
            f"Found {', '.join(changing)}."
        )


def _changes_itself(layer: tf.Module) -> bool:
    is_normalization = isinstance(layer, tf.keras.layers.BatchNormalization)
    return (is_normalization and layer.trainable) or bool(getattr(layer, "updates", None))


def check_create_fn(create_fn: CreateFn) -> CreateFn:
    """Returns a function that makes a Keras model.

    Args:
        create_fn: The function.

    Raises:
        TypeError: It is no function, or a Keras model.
    """
    if isinstance(create_fn, tf.keras.Model):
        raise TypeError(
            f"create_fn must be a function that makes the model. Found {describe(create_fn)}, a "
            "model; pass the function that made it."
        )
    return check_callable("create_fn", create_fn)


def _check_input_spec(input_spec: InputSpec) -> InputSpec:
    specs = check_list("input_spec", input_spec)
    if len(specs) != 2 or not all(isinstance(spec, tf.TensorSpec) for spec in specs):
        raise TypeError(
            "input_spec must be the specs of images and labels, from "
            f"fedlab.data.preprocessing.build_input_spec. Found {describe(input_spec)}."
        )
    return input_spec


def check_weights(
    name: str, weights: tff.learning.models.ModelWeights
) -> tff.learning.models.ModelWeights:
    """Returns the weights of a model, all finite.

    Args:
        name: The parameter's name, for the error.
        weights: The weights.

    Raises:
        TypeError: They are no `ModelWeights` of numbers.
        ValueError: One is NaN or infinite.
    """
    check_instance(
        name, weights, tff.learning.models.ModelWeights, "ModelWeights, such as run.weights"
    )
    if not all(
        isinstance(part, list | tuple) for part in (weights.trainable, weights.non_trainable)
    ):
        raise TypeError(f"{name} must be lists of arrays. Found {describe(weights)}.")
    for array in weights.trainable:
        values = np.asarray(array)
        if values.dtype.kind not in "iuf":
            raise TypeError(f"{name} must be arrays of numbers. Found {describe(values)}.")
        if not np.isfinite(values).all():
            raise ValueError(
                f"{name} must be finite. Found NaN or infinity in {describe(values)}; go on from an "
                "earlier round."
            )
    return weights


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
        TypeError: An argument has another type.
        ValueError: The weights belong to another model (their number or shapes differ), or one is
            NaN or infinite.
    """
    check_instance("model", model, tf.keras.Model, "a Keras model")
    check_weights("weights", weights)
    model_shapes = [tuple(variable.shape) for variable in model.trainable_weights]
    shapes = [tuple(value.shape) for value in weights.trainable]
    if shapes != model_shapes:
        raise ValueError(
            f"These weights are another model's. Found the shapes {shapes}; the model has {model_shapes}."
        )
    weights.assign_weights_to(model)
    return model
