"""Models that a client trains: Keras models, and the same models in TFF's forms."""

from fedlab.models.cnn import (
    INPUT_SHAPE,
    CreateFn,
    Dropout,
    create_cnn,
    create_deeper_cnn,
    create_loss,
    create_small_cnn,
)
from fedlab.models.keras_eager import restore_eager_keras
from fedlab.models.keras_to_tff import (
    KerasFunctionalModelError,
    ModelFn,
    assign_weights,
    build_functional_model,
    build_model_fn,
)

__all__ = [
    "INPUT_SHAPE",
    "CreateFn",
    "Dropout",
    "KerasFunctionalModelError",
    "ModelFn",
    "assign_weights",
    "build_functional_model",
    "build_model_fn",
    "create_cnn",
    "create_deeper_cnn",
    "create_loss",
    "create_small_cnn",
    "restore_eager_keras",
]
