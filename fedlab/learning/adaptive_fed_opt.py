"""FedOpt with an adaptive optimizer at the server: FedAdam and FedYogi."""

from typing import Unpack

import tensorflow_federated as tff

from fedlab.checks import check_number
from fedlab.learning.building_blocks import Process, TffModel
from fedlab.learning.fed_opt import ProximalOptions, build_fed_opt


def build_fed_adam(
    model: TffModel,
    *,
    server_learning_rate: float = 0.01,
    beta_1: float = 0.9,
    beta_2: float = 0.99,
    epsilon: float = 1e-3,
    **options: Unpack[ProximalOptions],
) -> Process:
    """Builds FedAdam (Reddi et al. 2021, algorithm 2): Adam at the server.

    Each coordinate moves by about `server_learning_rate` a round, however small the clients'
    changes are, so a rate that suits FedAvg's server is far too large here. TFF corrects the bias
    of the first estimates, as Kingma and Ba 2015 do and the paper does not.

    Args:
        model: A model from `fedlab.models.build_model_fn` or `build_functional_model`.
        server_learning_rate: Step size of the server, at least 0.
        beta_1: Decay of the running mean of the changes, in [0, 1).
        beta_2: Decay of the running mean of their squares, in [0, 1).
        epsilon: Called tau in the paper, above 0. Changes far below it make smaller steps than the
            rate.
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
    hparams = _check_adaptive(server_learning_rate, beta_1, beta_2, epsilon)
    server = tff.learning.optimizers.build_adam(*hparams)
    return build_fed_opt(model, server, **options)


def build_fed_yogi(
    model: TffModel,
    *,
    server_learning_rate: float = 0.01,
    beta_1: float = 0.9,
    beta_2: float = 0.99,
    epsilon: float = 1e-3,
    **options: Unpack[ProximalOptions],
) -> Process:
    """Builds FedYogi (Reddi et al. 2021, algorithm 2): Yogi at the server.

    It is FedAdam with another rule for the running mean of the squares, after which the steps grow
    more slowly when the changes become smaller. That mean starts at `epsilon ** 2`, as in the paper.

    Args:
        model: A model from `fedlab.models.build_model_fn` or `build_functional_model`.
        server_learning_rate: Step size of the server, at least 0.
        beta_1: Decay of the running mean of the changes, in [0, 1).
        beta_2: Decay of the running mean of their squares, in [0, 1).
        epsilon: Called tau in the paper, above 0.
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
    hparams = _check_adaptive(server_learning_rate, beta_1, beta_2, epsilon)
    server = tff.learning.optimizers.build_yogi(
        *hparams, initial_preconditioner_value=hparams[-1] ** 2
    )
    return build_fed_opt(model, server, **options)


def _check_adaptive(
    learning_rate: float, beta_1: float, beta_2: float, epsilon: float
) -> tuple[float, float, float, float]:
    return (
        check_number("server_learning_rate", learning_rate, at_least=0),
        check_number("beta_1", beta_1, at_least=0, below=1),
        check_number("beta_2", beta_2, at_least=0, below=1),
        check_number("epsilon", epsilon, above=0),
    )
