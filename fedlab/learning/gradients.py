"""Algorithms in which each client sends the gradient over all its examples: FedSGD and Mime Lite."""

import tensorflow_federated as tff

from fedlab.checks import check_number
from fedlab.learning import optimizers
from fedlab.learning.aggregators import Aggregator
from fedlab.learning.building_blocks import (
    MetricsAggregator,
    Process,
    Rate,
    TffModel,
    build_process,
    check_client_rate,
    check_metrics_aggregator,
    client_weighting,
    to_weighted,
)


def build_fed_sgd(
    model: TffModel,
    *,
    server_learning_rate: float = 0.1,
    aggregator: Aggregator | None = None,
    metrics_aggregator: MetricsAggregator | None = None,
) -> Process:
    """Builds FedSGD (McMahan et al. 2017): each client sends a gradient, the server takes a step.

    A client's gradient is the mean over all its examples, at the weights that it received, and
    counts by its number of examples. Local epochs after the first compute the same gradient again.

    Args:
        model: A model from `fedlab.models.build_model_fn` or `build_functional_model`.
        server_learning_rate: Step size of SGD on the mean gradient, at least 0.
        aggregator: An aggregator from `fedlab.learning.aggregators` that takes weights. None: the
            mean.
        metrics_aggregator: How the clients' metrics come together, as in `build_fed_opt`.

    Returns:
        A TFF `LearningProcess`.

    Raises:
        TypeError: The rate is not a number.
        ValueError: The rate is negative or not finite, or the aggregator takes no weights.
    """
    check_metrics_aggregator(metrics_aggregator)
    return build_process(
        tff.learning.algorithms.build_fed_sgd,
        model,
        server_optimizer_fn=optimizers.build_server_sgd(server_learning_rate),
        model_aggregator=to_weighted(aggregator, weighted=True),
        metrics_aggregator=metrics_aggregator,
    )


def build_mime_lite(
    model: TffModel,
    *,
    client_learning_rate: Rate = 0.02,
    momentum: float = 0.9,
    server_learning_rate: float = 1.0,
    weighted: bool = True,
    aggregator: Aggregator | None = None,
    metrics_aggregator: MetricsAggregator | None = None,
) -> Process:
    """Builds Mime Lite with momentum (Karimireddy et al. 2021, algorithm 1).

    The server sends its momentum to the clients, which apply it in every local step without
    changing it. The server updates it once a round, from the clients' gradients over all their
    examples at the round's first weights. This needs a second pass over the examples and twice the
    upload. TFF's `v = momentum * v + gradient` is `1 / (1 - momentum)` times as large as the
    paper's momentum, so divide a client rate from the paper by that factor.

    Args:
        model: A model from `fedlab.models.build_model_fn` or `build_functional_model`.
        client_learning_rate: Step size of the clients, at least 0; or a schedule from
            `fedlab.learning.schedules`.
        momentum: How much of the last momentum stays, in [0, 1); 0 gives FedAvg.
        server_learning_rate: What the mean change is multiplied by, at least 0.
        weighted: Whether a client counts by its number of examples, or once.
        aggregator: An aggregator from `fedlab.learning.aggregators` for the clients' changes. None:
            their mean. The gradients are always sent apart from the changes and averaged without
            it, so a private aggregator protects half of what a client sends:
            `fedlab.runtime.compile` refuses such a process.
        metrics_aggregator: How the clients' metrics come together, as in `build_fed_opt`.

    Returns:
        A TFF `LearningProcess`.

    Raises:
        TypeError: An argument is not a number where a number is meant.
        ValueError: A number is out of range, or `aggregator` and `weighted`
            do not go together.
    """
    client_learning_rate = check_client_rate(client_learning_rate)
    check_metrics_aggregator(metrics_aggregator)
    momentum = check_number("momentum", momentum, at_least=0, below=1)
    options = {
        "server_optimizer": optimizers.build_server_sgd(server_learning_rate),
        "client_weighting": client_weighting(weighted),
        "model_aggregator": to_weighted(aggregator, weighted),
        "metrics_aggregator": metrics_aggregator,
    }
    algorithms, build_sgd = tff.learning.algorithms, tff.learning.optimizers.build_sgdm
    if not callable(client_learning_rate):
        base = build_sgd(client_learning_rate, momentum)
        return build_process(algorithms.build_weighted_mime_lite, model, base, **options)
    return build_process(
        algorithms.build_mime_lite_with_optimizer_schedule,
        model,
        client_learning_rate,
        build_sgd(1.0, momentum),
        **options,
    )
