"""Algorithms whose clients send the gradient of their whole data."""

import tensorflow_federated as tff

from fedlab.learning import optimizers
from fedlab.learning.aggregators import Aggregator
from fedlab.learning.building_blocks import (
    LOOP,
    Process,
    Rate,
    TffModel,
    as_weighted,
    check_client_rate,
    weighting,
)
from fedlab.models import keep_keras_eager


@keep_keras_eager()
def build_fed_sgd(
    model: TffModel, *, server_learning_rate: float = 0.1, aggregator: Aggregator | None = None
) -> Process:
    """Builds FedSGD (McMahan et al. 2017): every client sends one gradient, the server takes one step.

    A client's gradient is the mean over all its examples, at the weights that it was sent; it
    counts by its number of examples. More than one local epoch is work for nothing.

    Args:
        model: As in `build_fed_opt`.
        server_learning_rate: Step size, at least 0: that of SGD, not of FedAvg's server.
        aggregator: As in `build_fed_opt`.

    Returns:
        A TFF `LearningProcess`.

    Raises:
        ValueError: The rate is negative or not a number, or the aggregator takes no weights.
    """
    return tff.learning.algorithms.build_fed_sgd(
        model,
        server_optimizer_fn=optimizers.sgd(server_learning_rate),
        model_aggregator=as_weighted(aggregator, weighted=True),
        loop_implementation=LOOP,
    )


@keep_keras_eager()
def build_mime_lite(
    model: TffModel,
    *,
    client_learning_rate: Rate = 0.02,
    momentum: float = 0.9,
    server_learning_rate: float = 1.0,
    weighted: bool = True,
    aggregator: Aggregator | None = None,
) -> Process:
    """Builds Mime Lite with momentum (Karimireddy et al. 2021, algorithm 1).

    The server's momentum goes to the clients, which apply it in every local step and leave it
    unchanged. It is renewed once a round, from the clients' gradients over all their data at the
    weights that the round began with: a second pass, and twice the upload. TFF's
    `v = momentum * v + gradient` is `1 / (1 - momentum)` times the paper's: divide the rate.

    Args:
        model: As in `build_fed_opt`.
        client_learning_rate: As in `build_fed_opt`.
        momentum: In [0, 1); 0 is FedAvg.
        server_learning_rate: As in `build_fed_avg`.
        weighted: As in `build_fed_opt`.
        aggregator: As in `build_fed_opt`; of the changes. The gradients get a plain mean.

    Returns:
        A TFF `LearningProcess`.

    Raises:
        ValueError: As `build_fed_avgm`.
    """
    check_client_rate(client_learning_rate)
    optimizers.check_decay("momentum", momentum)
    parts = {
        "server_optimizer": optimizers.sgd(server_learning_rate),
        "client_weighting": weighting(weighted),
        "model_aggregator": as_weighted(aggregator, weighted),
        "loop_implementation": LOOP,
    }
    build_base = tff.learning.optimizers.build_sgdm
    if not callable(client_learning_rate):
        base = build_base(client_learning_rate, momentum)
        return tff.learning.algorithms.build_weighted_mime_lite(model, base, **parts)
    return tff.learning.algorithms.build_mime_lite_with_optimizer_schedule(
        model, client_learning_rate, build_base(1.0, momentum), **parts
    )
