"""Federated evaluation: the clients measure a model, and nobody trains it."""

import tensorflow_federated as tff

from fedlab.learning.building_blocks import Process, TffModel, build_process


def build_evaluation(model: TffModel) -> Process:
    """Builds federated evaluation: each client measures the model on its data, the server adds up.

    Args:
        model: A model from `fedlab.models.build_model_fn` or `build_functional_model`.

    Returns:
        A TFF `LearningProcess` that leaves the weights as they are. Its metrics are under
        `metrics["client_work"]["eval"]["current_round_metrics"]`.
    """
    return build_process(tff.learning.algorithms.build_fed_eval, model)
