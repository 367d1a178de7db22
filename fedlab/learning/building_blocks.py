"""What the builders share."""

from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from fedlab.learning.aggregators import Aggregator, Weighted, mean
from fedlab.learning.schedules import Schedule, check_rate
from fedlab.models import ModelFn

TffModel = ModelFn | tff.learning.models.FunctionalModel
Rate = float | Schedule
Process = tff.learning.templates.LearningProcess
# Faster in TFF's own runtime than its default, a dataset reduce; the results are the same.
LOOP = tff.learning.LoopImplementation.DATASET_ITERATOR


def weighting(weighted: bool) -> tff.learning.ClientWeighting:
    """Returns TFF's name for counting by the number of examples, or once."""
    kinds = tff.learning.ClientWeighting
    return kinds.NUM_EXAMPLES if weighted else kinds.UNIFORM


def with_variables(model: TffModel) -> ModelFn:
    """Returns the model with variables: TFF 0.87's builder with a schedule wants one that has.

    It fails with a FunctionalModel in `LOOP`. The metrics are those of `fedlab.models`.
    """
    if callable(model):
        return model
    metrics = (
        lambda: tf.keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
        lambda: tff.learning.metrics.NumExamplesCounter(name="num_examples"),
        lambda: tff.learning.metrics.NumBatchesCounter(name="num_batches"),
    )
    return lambda: tff.learning.models.model_from_functional(model, metrics)


def as_weighted(aggregator: Aggregator | None, weighted: bool) -> Weighted:
    """Returns what TFF's builders take, where the weights are the builder's.

    Args:
        aggregator: Default: the mean.
        weighted: Whether the clients' weights differ.

    Raises:
        ValueError: They do, and the aggregator takes no weights.
    """
    if aggregator is None:
        return tff.aggregators.MeanFactory()
    if isinstance(aggregator, Weighted):
        return aggregator
    if weighted:
        raise ValueError(
            "This aggregator counts every client once. Build the algorithm with weighted=False, or "
            "the aggregator with weighted=True if it has that."
        )
    return tff.aggregators.as_weighted_aggregator(aggregator)


def ignore_weights(aggregator: Aggregator | None) -> Weighted:
    """Returns what TFF's builders take, and counts every client once whatever its weight.

    Args:
        aggregator: Default: the mean of the clients.

    Raises:
        ValueError: The aggregator takes weights.
    """
    aggregator = aggregator or mean(weighted=False)
    if isinstance(aggregator, Weighted):
        raise ValueError(
            "With a schedule and weighted=False, the aggregator must count every client once too. "
            "Build it with weighted=False."
        )
    return tff.aggregators.as_weighted_aggregator(aggregator)


def check_client_rate(rate: Any) -> None:
    """Raises ValueError for a bad `client_learning_rate`; of a schedule, its first is checked."""
    if callable(rate):
        check_rate("client_learning_rate(0)", float(rate(0)))
    else:
        check_rate("client_learning_rate", rate)
