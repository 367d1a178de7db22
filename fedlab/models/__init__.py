"""Models that a client trains: Keras models and a language model, and these in TFF's forms."""

from fedlab.models.adapters import build_full_model, build_head_model, build_lora_model
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
from fedlab.models.language import LanguageModel
from fedlab.models.language_base import load_base
from fedlab.models.lstm import LstmShape, apply_lstm, create_lstm
from fedlab.models.transformer import TransformerShape, apply_transformer, create_transformer

__all__ = [
    "INPUT_SHAPE",
    "CreateFn",
    "Dropout",
    "KerasFunctionalModelError",
    "LanguageModel",
    "LstmShape",
    "ModelFn",
    "TransformerShape",
    "apply_lstm",
    "apply_transformer",
    "assign_weights",
    "build_full_model",
    "build_functional_model",
    "build_head_model",
    "build_lora_model",
    "build_model_fn",
    "create_cnn",
    "create_deeper_cnn",
    "create_loss",
    "create_lstm",
    "create_small_cnn",
    "create_transformer",
    "load_base",
    "restore_eager_keras",
]
