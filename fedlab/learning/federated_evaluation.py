"""The same clients and server, with nothing learned."""

import tensorflow_federated as tff

from fedlab.learning.building_blocks import LOOP, Process, TffModel
from fedlab.models import keep_keras_eager


@keep_keras_eager()
def build_evaluation(model: TffModel) -> Process:
    """Builds federated evaluation: each client measures the model on its data, the server adds up.

    Args:
        model: From `fedlab.models`.

    Returns:
        A TFF `LearningProcess` that changes no weights. Its metrics are under
        `metrics["client_work"]["eval"]["current_round_metrics"]`.
    """
    return tff.learning.algorithms.build_fed_eval(model, loop_implementation=LOOP)
