"""Federated averaging and its family, from TFF's own builders.

All are one algorithm, FedOpt (Reddi et al. 2021, algorithm 1), with different optimizers. In a
round, each client takes steps with the client optimizer and sends how its weights changed. The
server takes minus the mean of these changes as a gradient, and takes one step with the server
optimizer.
"""

from typing import TypedDict, Unpack

import tensorflow as tf
import tensorflow_federated as tff

from fedlab.checks import check_choice, check_flag, check_instance, check_number
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
    check_model,
    client_weighting,
    ignore_weights,
    to_variable_model,
    to_weighted,
)


class ClientOptions(TypedDict, total=False):
    """Keyword arguments that most builders share; `build_fed_opt` describes them."""

    client_learning_rate: Rate
    client_optimizer: str
    weighted: bool
    aggregator: Aggregator | None
    metrics_aggregator: MetricsAggregator | None


class ProximalOptions(ClientOptions, total=False):
    """These, and FedProx's pull at the clients, for builders whose servers do more than average."""

    mu: float


def build_fed_opt(
    model: TffModel,
    server_optimizer: tff.learning.optimizers.Optimizer,
    *,
    client_learning_rate: Rate = 0.02,
    client_optimizer: str = "sgd",
    weighted: bool = True,
    aggregator: Aggregator | None = None,
    metrics_aggregator: MetricsAggregator | None = None,
    mu: float = 0.0,
) -> Process:
    """Builds federated averaging with any optimizer at the server (Reddi et al. 2021).

    Args:
        model: A model from `fedlab.models.build_model_fn` or `build_functional_model`.
        server_optimizer: An optimizer from `tff.learning.optimizers`. TFF stores its
            hyperparameters in the state, so a checkpoint contains them.
        client_learning_rate: Step size of the clients, at least 0; or a schedule from
            `fedlab.learning.schedules`.
        client_optimizer: "sgd" or "adam". A client starts every round with a new optimizer, so
            Adam's estimates are lost between rounds.
        weighted: Whether a client counts by its number of examples (as in McMahan et al. 2017), or
            once.
        aggregator: An aggregator from `fedlab.learning.aggregators`, which makes one change of the
            clients' changes. None: their mean.
        metrics_aggregator: How the clients' training metrics come together, such as
            `leave_out_metrics`. None: as sums, in the clear.
        mu: Strength of FedProx's proximal term, at least 0; `build_fed_prox` describes it. The term
            is the clients', so it goes with any optimizer at the server.

    Returns:
        A TFF `LearningProcess`.

    Raises:
        TypeError: An argument is not a number where a number is meant.
        ValueError: A number is out of range, an optimizer is not known, or `aggregator` and
            `weighted` do not go together.
    """
    mu = check_number("mu", mu, at_least=0)
    check_choice("client_optimizer", client_optimizer, optimizers.CLIENT_OPTIMIZERS)
    client_learning_rate = check_client_rate(client_learning_rate)
    check_metrics_aggregator(metrics_aggregator)
    weighted = check_flag("weighted", weighted)
    check_instance(
        "server_optimizer",
        server_optimizer,
        tff.learning.optimizers.Optimizer,
        "an optimizer of tff.learning.optimizers",
    )
    check_model(model)

    def optimizer_fn(rate: float | tf.Tensor) -> optimizers.Optimizer:
        return optimizers.build_client_optimizer(client_optimizer, rate, mu)

    if not callable(client_learning_rate):
        return build_process(
            tff.learning.algorithms.build_weighted_fed_avg,
            model,
            client_optimizer_fn=optimizer_fn(client_learning_rate),
            server_optimizer_fn=server_optimizer,
            client_weighting=client_weighting(weighted),
            model_aggregator=to_weighted(aggregator, weighted),
            metrics_aggregator=metrics_aggregator,
        )
    # TFF's builder with a schedule always weights by the number of examples.
    aggregator = to_weighted(aggregator, weighted) if weighted else ignore_weights(aggregator)
    return build_process(
        tff.learning.algorithms.build_weighted_fed_avg_with_optimizer_schedule,
        to_variable_model(model),
        client_learning_rate_fn=client_learning_rate,
        client_optimizer_fn=optimizer_fn,
        server_optimizer_fn=server_optimizer,
        model_aggregator=aggregator,
        metrics_aggregator=metrics_aggregator,
    )


def build_fed_avg(
    model: TffModel, *, server_learning_rate: float = 1.0, **options: Unpack[ClientOptions]
) -> Process:
    """Builds federated averaging (McMahan et al. 2017, algorithm 1).

    Each client of a round starts from the server's weights, takes SGD steps on its batches and
    returns how its weights changed. The server adds the mean of the changes.

    Args:
        model: A model from `fedlab.models.build_model_fn` or `build_functional_model`.
        server_learning_rate: What the mean change is multiplied by, at least 0; 1 in the paper.
        **options: `client_learning_rate` (0.02 by default, as in the article), `client_optimizer`,
            `weighted`, `aggregator` and `metrics_aggregator`, which `build_fed_opt` describes.

    Returns:
        A TFF `LearningProcess`.

    Raises:
        TypeError: An argument is not a number where a number is meant.
        ValueError: A number is out of range, an optimizer is not known, or `aggregator` and
            `weighted` do not go together.
    """
    return build_fed_avgm(model, momentum=0.0, server_learning_rate=server_learning_rate, **options)


def build_fed_avgm(
    model: TffModel,
    *,
    momentum: float = 0.9,
    server_learning_rate: float = 1.0,
    **options: Unpack[ProximalOptions],
) -> Process:
    """Builds FedAvg with momentum at the server (Hsu et al. 2019).

    The server computes `v = momentum * v + change` and adds `server_learning_rate * v` to the
    weights, where `change` is the mean of the clients' changes. Changes that are equal in every
    round add up to `1 / (1 - momentum)` times one of them: with a momentum of 0.9, a server rate of
    0.1 moves the model as far as FedAvg with a rate of 1.

    Args:
        model: A model from `fedlab.models.build_model_fn` or `build_functional_model`.
        momentum: How much of the last `v` stays, in [0, 1); 0 gives FedAvg.
        server_learning_rate: Step size of the server, at least 0; 1 in the paper.
        **options: `client_learning_rate`, `client_optimizer`, `weighted`, `aggregator`,
            `metrics_aggregator` and `mu`, which `build_fed_opt` describes; without them its
            defaults hold.

    Returns:
        A TFF `LearningProcess`.

    Raises:
        TypeError: An argument is not a number where a number is meant.
        ValueError: A number is out of range, an optimizer is not known, or `aggregator` and
            `weighted` do not go together.
    """
    server = optimizers.build_server_sgd(server_learning_rate, momentum)
    return build_fed_opt(model, server, **options)


def build_fed_prox(
    model: TffModel,
    *,
    mu: float,
    server_learning_rate: float = 1.0,
    **options: Unpack[ClientOptions],
) -> Process:
    """Builds FedProx (Li et al. 2020, algorithm 2, with a fixed number of local steps).

    A client minimises its loss plus `mu / 2 * |w - w_round|^2`, which pulls it back to `w_round`,
    the weights at the beginning of the round. This does NOT use TFF's `build_weighted_fed_prox`: in
    TFF 0.87 the sign of the term's gradient is wrong, `mu * (w_round - w)`, so it pushes clients
    AWAY from `w_round`. Here the term is in the clients' optimizer and the rest is FedAvg, so a
    schedule for the clients' rate works too.

    Args:
        model: A model from `fedlab.models.build_model_fn` or `build_functional_model`.
        mu: Strength of the pull, at least 0; 0 gives FedAvg. Above `1 / client_learning_rate` a
            step of the pull goes beyond `w_round`, and above twice that the training diverges.
        server_learning_rate: What the mean change is multiplied by, at least 0; 1 in the paper.
        **options: `client_learning_rate`, `client_optimizer`, `weighted`, `aggregator` and
            `metrics_aggregator`, which `build_fed_opt` describes; without them its defaults hold.

    Returns:
        A TFF `LearningProcess`.

    Raises:
        TypeError: An argument is not a number where a number is meant.
        ValueError: A number is out of range, an optimizer is not known, or `aggregator` and
            `weighted` do not go together.
    """
    return build_fed_opt(model, optimizers.build_server_sgd(server_learning_rate), mu=mu, **options)
