"""How good a model is: over all clients, client by client, and for whom it is not."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

import numpy as np
import pandas as pd
import sklearn.metrics
import tensorflow as tf
import tensorflow_federated as tff

from fedlab import runtime
from fedlab.checks import check_array, check_count, check_ids, check_list, check_table, check_text
from fedlab.data import MemoryClientData, client_arrays
from fedlab.data.elements import add_channel, check_client_data
from fedlab.data.preprocessing import Cohort, Preprocessing
from fedlab.learning import TffModel, build_evaluation
from fedlab.models import CreateFn, assign_weights, create_cnn
from fedlab.models.keras_to_tff import check_create_fn, check_weights
from fedlab.statistics import count_worst

ClientData: TypeAlias = tff.simulation.datasets.ClientData
Weights: TypeAlias = tff.learning.models.ModelWeights
MAX_KEPT_BYTES = 1 << 26  # of images as batches: about 21,000 digits


def build_evaluate_fn(
    model: TffModel,
    client_data: ClientData,
    client_ids: Iterable[str] | None = None,
    *,
    prefix: str = "eval_",
) -> Callable[[int, Weights], dict[str, float]]:
    """Builds federated evaluation on some clients' data.

    Every client measures the model where its data lies; only sums of metrics reach the server.
    An example counts once, so a client counts by its number of examples.

    Args:
        model: From `fedlab.models`.
        client_data: `ClientData` to evaluate on, such as the test split.
        client_ids: The clients that take part. Default: all.
        prefix: Put before the names of the metrics.

    Returns:
        A function from a round number, which changes nothing, and model weights to
        `{prefix + "loss": ..., prefix + "accuracy": ...}`: the cross-entropy in nats, and the share
        of right answers in [0, 1]. `run_rounds` takes it as its `evaluate_fn`.
    """
    client_ids = _check_client_ids(client_data, client_ids)
    check_text("prefix", prefix)
    cohort: Mapping[str, tf.data.Dataset]
    cohort = Cohort(client_data, client_ids, Preprocessing(batch_size=128), round_num=0)
    if _may_keep_batches(client_data, client_ids):
        cohort = dict(cohort)
    runner = runtime.compile(build_evaluation(model))
    initial = runner.initialize()

    def evaluate_fn(round_num: int, weights: Weights) -> dict[str, float]:
        state = runner.set_model_weights(initial, weights)
        metrics = runner.next(state, cohort).metrics["client_work"]["eval"]
        current = metrics["current_round_metrics"]
        return {f"{prefix}{name}": float(current[name]) for name in ("loss", "accuracy")}

    return evaluate_fn


def _may_keep_batches(client_data: ClientData, client_ids: list[str]) -> bool:
    """Returns whether to make all batches once; of large data they would be a second copy."""
    if not isinstance(client_data, MemoryClientData):  # it would be read anew
        return True
    num_examples = sum(client_data.num_examples(client_id) for client_id in client_ids)
    num_bytes = np.dtype(np.float32).itemsize * np.prod(client_data.example_shape)
    return bool(num_examples * num_bytes <= MAX_KEPT_BYTES)


def predict(
    weights: Weights,
    client_data: ClientData,
    client_ids: Iterable[str] | None = None,
    *,
    create_fn: CreateFn = create_cnn,
) -> pd.DataFrame:
    """Lets the model answer for every example. For teaching: no server ever sees such a table.

    Args:
        weights: Of the model that `create_fn` makes.
        client_data: `ClientData` with Federated EMNIST's elements.
        client_ids: Default: all.
        create_fn: Makes the Keras model.

    Returns:
        One row per example: client_id, label, prediction, loss (cross-entropy in nats).
    """
    check_weights("weights", weights)
    model = assign_weights(check_create_fn(create_fn)(), weights)
    client_ids = _check_client_ids(client_data, client_ids)
    owned = [client_arrays(client_data, client_id).labels for client_id in client_ids]
    labels = np.concatenate(owned)
    batches = _read_batches(client_data, client_ids, len(labels))
    logits = np.concatenate([model(batch, training=False).numpy() for batch in batches])
    losses = tf.keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    return pd.DataFrame(
        {
            "client_id": np.repeat(client_ids, [len(each) for each in owned]),
            "label": labels,
            "prediction": logits.argmax(axis=1),
            "loss": losses.numpy(),
        }
    )


def _read_batches(
    client_data: ClientData, client_ids: list[str], num_examples: int, batch_size: int = 512
) -> Iterator[np.ndarray]:
    """Yields all clients' images in batches of nearly one size, and holds one batch at a time."""
    num_batches = -(-num_examples // batch_size)
    sizes = [len(rows) for rows in np.array_split(np.arange(num_examples), num_batches)]
    waiting: np.ndarray | None = None
    for client_id in client_ids:
        pixels = add_channel(client_arrays(client_data, client_id).pixels)
        waiting = pixels if waiting is None else np.concatenate([waiting, pixels])
        while sizes and len(waiting) >= sizes[0]:
            size = sizes.pop(0)
            yield waiting[:size]
            waiting = waiting[size:]


def per_client(predictions: pd.DataFrame) -> pd.DataFrame:
    """Summarises `predict`'s table: index client_id; num_examples, loss, accuracy in [0, 1]."""
    check_table("predictions", predictions, ("client_id", "loss"))
    _check_predictions(predictions)
    right = predictions.assign(accuracy=predictions.label == predictions.prediction)
    return right.groupby("client_id").agg(
        num_examples=("label", "size"), loss=("loss", "mean"), accuracy=("accuracy", "mean")
    )


def accuracy(predictions: pd.DataFrame) -> float:
    """Returns the share of right answers in `predict`'s table, in [0, 1]."""
    _check_predictions(predictions)
    return float((predictions.label == predictions.prediction).mean())


def confusion_matrix(predictions: pd.DataFrame, num_classes: int = 10) -> np.ndarray:
    """Counts who was taken for what.

    Args:
        predictions: `predict`'s table.
        num_classes: Labels and answers lie in [0, num_classes).

    Returns:
        int (num_classes, num_classes): rows the true label, columns the answer; sums to the number
        of examples.

    Raises:
        ValueError: A label or an answer is out of range.
    """
    num_classes = check_count("num_classes", num_classes)
    _check_predictions(predictions)
    found = predictions[["label", "prediction"]].to_numpy()
    outside = found[(found < 0) | (found >= num_classes)]
    if len(outside):
        raise ValueError(
            f"labels and predictions must lie between 0 and {num_classes - 1}. "
            f"Found {outside[0]}; give num_classes."
        )
    return sklearn.metrics.confusion_matrix(
        predictions.label, predictions.prediction, labels=range(num_classes)
    )


def fairness(client_accuracies: Iterable[float], *, worst_fraction: float = 0.1) -> pd.Series:
    """Says for whom the model is good.

    q-FFL (Li et al. 2020) reports the average, the worst 10%, the best 10% and the variance over
    clients; here the standard deviation stands for the last, in the unit of the accuracy.

    Args:
        client_accuracies: Accuracy per client, in [0, 1]; each client counts once.
        worst_fraction: Share of clients that make "the worst", in (0, 1]; rounded up to whole clients.

    Returns:
        mean, std (over clients), worst (mean of the worst clients) and best (of as many best).

    Raises:
        ValueError: There are no clients, or `worst_fraction` is out of range.
    """
    accuracies = client_accuracies
    if not isinstance(accuracies, np.ndarray | pd.Series):
        accuracies = check_list("client_accuracies", accuracies)
    hint = " Divide percentages by 100."
    values = check_array("client_accuracies", accuracies, (None,), at_least=0, at_most=1, hint=hint)
    values = np.sort(values.astype(np.float64))
    count = count_worst(len(values), worst_fraction)
    return pd.Series(
        {
            "mean": values.mean(),
            "std": values.std(),
            "worst": values[:count].mean(),
            "best": values[-count:].mean(),
        }
    )


def _check_client_ids(client_data: ClientData, client_ids: Iterable[str] | None) -> list[str]:
    check_client_data("client_data", client_data)
    known = client_data.client_ids
    return check_ids("client_ids", known if client_ids is None else client_ids, known=known)


def _check_predictions(predictions: pd.DataFrame) -> None:
    check_table("predictions", predictions, ("label", "prediction"))
    for column in ("label", "prediction"):
        dtype = predictions[column].dtype
        if not pd.api.types.is_integer_dtype(dtype):
            raise TypeError(f"predictions[{column!r}] must be integers. Found {dtype}.")
