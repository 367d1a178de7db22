"""Two rounds in whatever runtime is installed, for scripts and tests alike."""

from helpers import tiny

from fedlab.data.preprocessing import Preprocessing
from fedlab.learning import build_fed_avg
from fedlab.models import build_functional_model


def two_rounds():
    """Weights after two rounds of FedAvg, in whatever runtime is installed."""
    data = tiny.create_data(12, 4, 8)
    process = build_fed_avg(build_functional_model(tiny.create_model), client_learning_rate=0.1)
    state = process.initialize()
    for round_num in (1, 2):
        shuffled = Preprocessing(batch_size=5, shuffle=True)
        batches = [
            shuffled.apply(data.create_tf_dataset_for_client(client_id), round_num)
            for client_id in data.client_ids
        ]
        state = process.next(state, batches).state
    return process.get_model_weights(state).trainable
