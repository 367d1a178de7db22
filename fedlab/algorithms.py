"""Learning processes, from TFF's own builders."""

import tensorflow_federated as tff

from fedlab.models import ModelFn, keep_keras_eager

TffModel = ModelFn | tff.learning.models.FunctionalModel
# Faster in TFF's own runtime than its default, a dataset reduce; the results are the same.
_LOOP = tff.learning.LoopImplementation.DATASET_ITERATOR


@keep_keras_eager()
def build_fed_avg(
    model: TffModel,
    *,
    client_learning_rate: float = 0.02,
    server_learning_rate: float = 1.0,
    weighted: bool = True,
) -> tff.learning.templates.LearningProcess:
    """Builds federated averaging (McMahan et al. 2017, algorithm 1).

    Each client of a round starts from the server's weights, takes SGD steps on its batches and
    returns how its weights changed. The server adds the mean of the changes.

    Args:
        model: From `fedlab.models.build_model_fn` or `build_functional_model`.
        client_learning_rate: Step size of the clients' SGD, at least 0; 0.02 in the article.
        server_learning_rate: What the mean change is multiplied by, at least 0; 1 in the paper. TFF
            keeps it in the state, so a checkpoint remembers it.
        weighted: Whether a client counts by its number of examples (as in the paper), or once.

    Returns:
        A TFF `LearningProcess`.

    Raises:
        ValueError: A learning rate is negative or not a number.
    """
    _check_rate("client_learning_rate", client_learning_rate)
    _check_rate("server_learning_rate", server_learning_rate)
    weighting = tff.learning.ClientWeighting
    return tff.learning.algorithms.build_weighted_fed_avg(
        model,
        client_optimizer_fn=tff.learning.optimizers.build_sgdm(client_learning_rate),
        server_optimizer_fn=tff.learning.optimizers.build_sgdm(server_learning_rate),
        client_weighting=weighting.NUM_EXAMPLES if weighted else weighting.UNIFORM,
        loop_implementation=_LOOP,
    )


@keep_keras_eager()
def build_evaluation(model: TffModel) -> tff.learning.templates.LearningProcess:
    """Builds federated evaluation: each client measures the model on its data, the server adds up.

    Args:
        model: From `fedlab.models`.

    Returns:
        A TFF `LearningProcess` that changes no weights. Its metrics are under
        `metrics["client_work"]["eval"]["current_round_metrics"]`.
    """
    return tff.learning.algorithms.build_fed_eval(model, loop_implementation=_LOOP)


def _check_rate(name: str, value: float) -> None:
    if not value >= 0:
        raise ValueError(f"{name} must be a number of at least 0. Found {value}.")
