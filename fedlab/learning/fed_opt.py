"""Learning processes, from TFF's own builders.

Most are one algorithm with other parts, FedOpt (Reddi et al. 2021, algorithm 1): the clients take
steps with one optimizer, and the server takes the mean of their changes, the wrong way round, for a
gradient, on which it steps with another.
"""

from typing import TypedDict, Unpack

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
    ignore_weights,
    weighting,
    with_variables,
)
from fedlab.learning.schedules import check_rate
from fedlab.models import keep_keras_eager


class ClientOptions(TypedDict, total=False):
    """What most builders take besides their own arguments; see `build_fed_opt`."""

    client_learning_rate: Rate
    client_optimizer: str
    weighted: bool
    aggregator: Aggregator | None


@keep_keras_eager()
def build_fed_opt(
    model: TffModel,
    server_optimizer: tff.learning.optimizers.Optimizer,
    *,
    client_learning_rate: Rate = 0.02,
    client_optimizer: str = "sgd",
    weighted: bool = True,
    aggregator: Aggregator | None = None,
    mu: float = 0.0,
) -> Process:
    """Builds federated averaging with any optimizer at the server (Reddi et al. 2021).

    Args:
        model: From `fedlab.models.build_model_fn` or `build_functional_model`.
        server_optimizer: From `tff.learning.optimizers`. TFF keeps its hyperparameters in the
            state, so a checkpoint remembers them.
        client_learning_rate: Step size of the clients, at least 0; or a function from the round's
            number, an int32 scalar that counts from 0, to it, such as those of `fedlab.learning.schedules`.
        client_optimizer: "sgd" or "adam". A client begins every round with a new one: Adam's
            estimates do not outlive the round.
        weighted: Whether a client counts by its number of examples (as in McMahan et al. 2017), or
            once.
        aggregator: How the changes become one, from `fedlab.learning.aggregators`. Default: their mean.
        mu: Strength of FedProx's proximal term, see `build_fed_prox`.

    Returns:
        A TFF `LearningProcess`.

    Raises:
        ValueError: A number is negative or not a number, an optimizer is not known, or the
            aggregator and `weighted` do not go together.
    """
    check_rate("mu", mu)
    optimizers.check_client_optimizer(client_optimizer)
    check_client_rate(client_learning_rate)

    def optimizer_fn(rate):
        return optimizers.client_optimizer(client_optimizer, rate, mu)

    if not callable(client_learning_rate):
        return tff.learning.algorithms.build_weighted_fed_avg(
            model,
            client_optimizer_fn=optimizer_fn(client_learning_rate),
            server_optimizer_fn=server_optimizer,
            client_weighting=weighting(weighted),
            model_aggregator=as_weighted(aggregator, weighted),
            loop_implementation=LOOP,
        )
    # This builder of TFF's weights by the number of examples and nothing else.
    aggregator = as_weighted(aggregator, weighted) if weighted else ignore_weights(aggregator)
    return tff.learning.algorithms.build_weighted_fed_avg_with_optimizer_schedule(
        with_variables(model),
        client_learning_rate_fn=client_learning_rate,
        client_optimizer_fn=optimizer_fn,
        server_optimizer_fn=server_optimizer,
        model_aggregator=aggregator,
        loop_implementation=LOOP,
    )


def build_fed_avg(
    model: TffModel, *, server_learning_rate: float = 1.0, **options: Unpack[ClientOptions]
) -> Process:
    """Builds federated averaging (McMahan et al. 2017, algorithm 1).

    Each client of a round starts from the server's weights, takes SGD steps on its batches and
    returns how its weights changed. The server adds the mean of the changes.

    Args:
        model: From `fedlab.models.build_model_fn` or `build_functional_model`.
        server_learning_rate: What the mean change is multiplied by, at least 0; 1 in the paper.
        **options: client_learning_rate (0.02, as in the article), client_optimizer, weighted and
            aggregator, as in `build_fed_opt`.

    Returns:
        A TFF `LearningProcess`.

    Raises:
        ValueError: As `build_fed_opt`.
    """
    return build_fed_avgm(model, momentum=0.0, server_learning_rate=server_learning_rate, **options)


def build_fed_avgm(
    model: TffModel,
    *,
    momentum: float = 0.9,
    server_learning_rate: float = 1.0,
    **options: Unpack[ClientOptions],
) -> Process:
    """Builds FedAvg with momentum at the server (Hsu et al. 2019): v = momentum * v + change.

    The server adds `server_learning_rate * v`. Changes that agree from round to round add up to
    `1 / (1 - momentum)` times one: with 0.9, a server rate of 0.1 steps as far as FedAvg with 1.

    Args:
        model: As in `build_fed_opt`.
        momentum: In [0, 1); 0 is FedAvg.
        server_learning_rate: At least 0; 1 in the paper.
        **options: As in `build_fed_avg`.

    Returns:
        A TFF `LearningProcess`.

    Raises:
        ValueError: As `build_fed_opt`, or `momentum` is out of range.
    """
    return build_fed_opt(model, optimizers.sgd(server_learning_rate, momentum), **options)


def build_fed_prox(
    model: TffModel,
    *,
    mu: float,
    server_learning_rate: float = 1.0,
    **options: Unpack[ClientOptions],
) -> Process:
    """Builds FedProx (Li et al. 2020, algorithm 2, with a fixed number of local steps).

    A client minimises its loss plus `mu / 2 * |w - w_round|^2`, so it is pulled back to the weights
    that the round began with. NOT TFF's `build_weighted_fed_prox`: in TFF 0.87 its gradient has the
    term's sign the wrong way round, `mu * (w_round - w)`, and pushes clients AWAY from there. Here
    the term is in the clients' optimizer, and the rest is FedAvg, so it takes a schedule too.

    Args:
        model: As in `build_fed_opt`.
        mu: Strength of the pull, at least 0; 0 is FedAvg. Above `1 / client_learning_rate` the pull
            overshoots, and above twice that it diverges.
        server_learning_rate: At least 0; 1 in the paper.
        **options: As in `build_fed_avg`.

    Returns:
        A TFF `LearningProcess`.

    Raises:
        ValueError: As `build_fed_opt`.
    """
    return build_fed_opt(model, optimizers.sgd(server_learning_rate), mu=mu, **options)


def build_fed_adam(
    model: TffModel,
    *,
    server_learning_rate: float = 0.01,
    beta_1: float = 0.9,
    beta_2: float = 0.99,
    epsilon: float = 1e-3,
    **options: Unpack[ClientOptions],
) -> Process:
    """Builds FedAdam (Reddi et al. 2021, algorithm 2): Adam at the server.

    A coordinate's step is about the rate itself, however small the clients' changes are: a rate
    that suits FedAvg's server is far too large here. TFF corrects the estimates' start from 0, as
    Kingma & Ba 2015 do and the paper does not.

    Args:
        model: As in `build_fed_opt`.
        server_learning_rate: At least 0.
        beta_1: How slowly the mean of the changes forgets, in [0, 1).
        beta_2: How slowly the mean of their squares forgets, in [0, 1).
        epsilon: The paper's tau, above 0: changes far below it are not blown up to a full step.
        **options: As in `build_fed_avg`.

    Returns:
        A TFF `LearningProcess`.

    Raises:
        ValueError: As `build_fed_opt`, or one of these is out of range.
    """
    optimizers.check_adaptive(server_learning_rate, beta_1, beta_2, epsilon)
    server = tff.learning.optimizers.build_adam(server_learning_rate, beta_1, beta_2, epsilon)
    return build_fed_opt(model, server, **options)


def build_fed_yogi(
    model: TffModel,
    *,
    server_learning_rate: float = 0.01,
    beta_1: float = 0.9,
    beta_2: float = 0.99,
    epsilon: float = 1e-3,
    **options: Unpack[ClientOptions],
) -> Process:
    """Builds FedYogi (Reddi et al. 2021, algorithm 2): FedAdam whose steps grow back more slowly.

    The mean of the squares starts at epsilon squared, as in the paper. Arguments, result and errors
    are those of `build_fed_adam`.
    """
    optimizers.check_adaptive(server_learning_rate, beta_1, beta_2, epsilon)
    server = tff.learning.optimizers.build_yogi(
        server_learning_rate, beta_1, beta_2, epsilon, initial_preconditioner_value=epsilon**2
    )
    return build_fed_opt(model, server, **options)


def build_fed_adagrad(
    model: TffModel,
    *,
    server_learning_rate: float = 0.03,
    epsilon: float = 1e-3,
    **options: Unpack[ClientOptions],
) -> Process:
    """Builds FedAdagrad (Reddi et al. 2021, algorithm 2): steps that only ever get smaller.

    The server divides by the root of the sum of all squares so far, which starts at epsilon
    squared. (The paper adds epsilon to the root once more; it also leaves beta_1 at 0.)

    Args:
        model: As in `build_fed_opt`.
        server_learning_rate: At least 0.
        epsilon: The paper's tau, above 0.
        **options: As in `build_fed_avg`.

    Returns:
        A TFF `LearningProcess`.

    Raises:
        ValueError: As `build_fed_adam`.
    """
    optimizers.check_adaptive(server_learning_rate, 0.0, 0.0, epsilon)
    server = tff.learning.optimizers.build_adagrad(
        server_learning_rate, initial_preconditioner_value=epsilon**2, epsilon=0.0
    )
    return build_fed_opt(model, server, **options)
