"""The course's local runtime, as a peer of the others. In the course's own environment.

`python run_fedlab.py --data FILE.npz --rounds 6 --to OUT.json`; see compare.py
"""

import time

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff
from task import BATCH_SIZE, LEARNING_RATE, Task, read_task, write_result

from fedlab import learning, models, runtime


def train(task: Task) -> tuple[list[float], list[np.ndarray]]:
    """Returns the seconds of each round, and the last weights."""
    cohort = [tf.data.Dataset.from_tensor_slices(held).batch(BATCH_SIZE) for held in task.clients()]
    process = learning.build_fed_avg(
        models.build_functional_model(), client_learning_rate=LEARNING_RATE
    )
    first = tff.learning.models.ModelWeights(list(task.weights.values()), [])
    seconds = []
    with runtime.compile(process) as runner:
        state = process.set_model_weights(runner.initialize(), first)
        for _ in range(task.num_rounds):
            begun = time.perf_counter()
            state, _ = runner.next(state, cohort)
            seconds.append(time.perf_counter() - begun)
    return seconds, state.global_model_weights.trainable


def main() -> None:
    task, path = read_task()
    seconds, weights = train(task)
    model = models.create_cnn()
    model.set_weights(weights)
    logits = model.predict(task.images, batch_size=500, verbose=0)
    write_result(path, task, seconds, logits, ["tensorflow-federated", "tensorflow"])


if __name__ == "__main__":
    main()
