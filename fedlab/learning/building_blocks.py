"""Parts that the builders of learning processes share."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeAlias

import tensorflow as tf
import tensorflow_federated as tff

from fedlab.checks import check_callable, check_flag, check_instance, check_number, describe
from fedlab.learning.aggregators import Aggregator, Weighted, mean
from fedlab.learning.schedules import Schedule
from fedlab.models import ModelFn, restore_eager_keras

TffModel: TypeAlias = ModelFn | tff.learning.models.FunctionalModel
Rate: TypeAlias = float | Schedule
# (the model's metric finalizers) -> a computation from the clients' metrics to the server's.
MetricsAggregator: TypeAlias = Callable[..., tff.Computation]
Process: TypeAlias = tff.learning.templates.LearningProcess


def build_process(build_fn: Callable[..., Process], *args: Any, **kwargs: Any) -> Process:
    """Calls one of TFF's builders; the learner's own Keras models work as before afterwards.

    Args:
        build_fn: A builder with an argument `loop_implementation`. The process loops over a
            client's batches with an iterator, which is faster in TFF's own runtime than the
            default, a dataset reduce; the results are the same.
        *args: Positional arguments of `build_fn`.
        **kwargs: Keyword arguments of `build_fn`.

    Returns:
        The process.
    """
    check_model(args[0] if args else kwargs["model_fn"])
    loop = tff.learning.LoopImplementation.DATASET_ITERATOR
    try:
        return build_fn(*args, loop_implementation=loop, **kwargs)
    finally:
        restore_eager_keras()


def leave_out_metrics(metric_finalizers: Any, metrics_type: Any = None) -> tff.Computation:
    """Lets no training metric leave a client; a `metrics_aggregator` of the builders.

    Args:
        metric_finalizers: The model's, which TFF's builders pass. They are not used.
        metrics_type: What some of TFF's builders pass besides. It is not used.

    Returns:
        A computation from the clients' metrics to no metrics.
    """

    @tff.federated_computation
    def aggregate(client_metrics):
        return tff.federated_value(OrderedDict(), tff.SERVER)

    return aggregate


def client_weighting(weighted: bool) -> tff.learning.ClientWeighting:
    """Returns TFF's enum value for how much a client counts: by its number of examples, or once."""
    if check_flag("weighted", weighted):
        return tff.learning.ClientWeighting.NUM_EXAMPLES
    return tff.learning.ClientWeighting.UNIFORM


def check_model(model: TffModel) -> None:
    """Raises TypeError for what is no model of TFF."""
    is_functional = isinstance(model, tff.learning.models.FunctionalModel)
    is_keras = isinstance(model, tf.keras.Model) or (
        isinstance(model, type) and issubclass(model, tf.keras.Model)
    )
    if is_keras or not (is_functional or callable(model)):
        raise TypeError(
            "model must be from fedlab.models.build_functional_model or build_model_fn. Found "
            f"{describe(model)}."
        )


def check_metrics_aggregator(metrics_aggregator: MetricsAggregator | None) -> None:
    """Raises TypeError for what is neither None nor callable."""
    if metrics_aggregator is not None:
        check_callable("metrics_aggregator", metrics_aggregator)


def check_aggregator(aggregator: Aggregator | None) -> None:
    """Raises TypeError for what is neither None nor an aggregator."""
    if aggregator is not None:
        check_instance(
            "aggregator",
            aggregator,
            tff.aggregators.WeightedAggregationFactory
            | tff.aggregators.UnweightedAggregationFactory,
            "from fedlab.learning.aggregators, such as median()",
        )


def to_variable_model(model: TffModel) -> ModelFn:
    """Returns a function that makes the model with variables, which a schedule needs.

    TFF 0.87's builder with a schedule fails for a `FunctionalModel` in a loop with an iterator.

    Args:
        model: A function that makes a model with variables, which is returned as it is, or a
            `FunctionalModel`, which gets the metrics of `fedlab.models`.
    """
    if callable(model):
        return model
    metrics = (
        lambda: tf.keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
        lambda: tff.learning.metrics.NumExamplesCounter(name="num_examples"),
        lambda: tff.learning.metrics.NumBatchesCounter(name="num_batches"),
    )
    return lambda: tff.learning.models.model_from_functional(model, metrics)


def to_weighted(aggregator: Aggregator | None, weighted: bool) -> Weighted:
    """Returns the aggregator in the form that TFF's builders take.

    Args:
        aggregator: An aggregator of `fedlab.learning.aggregators`. None: the mean.
        weighted: Whether the builder gives clients different weights.

    Raises:
        ValueError: The weights differ, and the aggregator takes none.
    """
    check_aggregator(aggregator)
    if aggregator is None:
        return tff.aggregators.MeanFactory()
    if isinstance(aggregator, tff.aggregators.WeightedAggregationFactory):
        return aggregator
    if weighted:
        raise ValueError(
            "This aggregator does not use the number of examples. Build the algorithm with weighted=False, or "
            "the aggregator with weighted=True if it has that."
        )
    return tff.aggregators.as_weighted_aggregator(aggregator)


def ignore_weights(aggregator: Aggregator | None) -> Weighted:
    """Returns the aggregator in the form that TFF's builders take, without regard to weights.

    Args:
        aggregator: An aggregator that does not use the number of examples. None: the mean of the
            clients.

    Raises:
        ValueError: The aggregator takes weights.
    """
    check_aggregator(aggregator)
    aggregator = aggregator or mean(weighted=False)
    if isinstance(aggregator, tff.aggregators.WeightedAggregationFactory):
        raise ValueError(
            "With a schedule and weighted=False, the aggregator must not use the number of examples. "
            "Build it with weighted=False."
        )
    return tff.aggregators.as_weighted_aggregator(aggregator)


def check_client_rate(rate: Rate) -> Rate:
    """Returns the clients' learning rate, a number as a float; of a schedule, the first is checked.

    Args:
        rate: A number of at least 0, or a schedule.

    Raises:
        TypeError: The rate is neither a number nor a function.
        ValueError: The rate is negative, NaN or infinite.
    """
    if callable(rate):
        check_number("client_learning_rate(0)", float(rate(0)), at_least=0)
        return rate
    return check_number("client_learning_rate", rate, at_least=0)
