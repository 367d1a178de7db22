"""Training runs: rounds, and callbacks for what happens around them."""

from fedlab.training.callbacks import (
    Callback,
    CsvLog,
    EarlyStopping,
    Evaluate,
    EvaluateFn,
    ProgressBar,
    TensorBoardLog,
)
from fedlab.training.checkpoint import Checkpoint
from fedlab.training.rounds import run_rounds, weights_bytes
from fedlab.training.run import (
    DivergedError,
    Record,
    Run,
    TrainingInterrupted,
    TrainingRun,
)

__all__ = [
    "Callback",
    "Checkpoint",
    "CsvLog",
    "DivergedError",
    "EarlyStopping",
    "Evaluate",
    "EvaluateFn",
    "ProgressBar",
    "Record",
    "Run",
    "TensorBoardLog",
    "TrainingInterrupted",
    "TrainingRun",
    "run_rounds",
    "weights_bytes",
]
