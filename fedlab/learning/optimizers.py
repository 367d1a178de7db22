"""The steps of clients and servers: TFF's optimizers, checked, and FedProx's pull around one."""

from collections import OrderedDict
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from fedlab.learning.schedules import check_rate

Optimizer = tff.learning.optimizers.Optimizer
_CLIENT_OPTIMIZERS = {
    "sgd": tff.learning.optimizers.build_sgdm,
    "adam": tff.learning.optimizers.build_adam,
}


def sgd(learning_rate: float, momentum: float = 0.0) -> Optimizer:
    """Returns `v = momentum * v + gradient; w = w - learning_rate * v`.

    Raises:
        ValueError: The rate is negative or not a number, or momentum is not in [0, 1).
    """
    check_rate("server_learning_rate", learning_rate)
    check_decay("momentum", momentum)
    return tff.learning.optimizers.build_sgdm(learning_rate, momentum)


def check_client_optimizer(name: str) -> None:
    """Raises ValueError for a name that `client_optimizer` does not know."""
    if name not in _CLIENT_OPTIMIZERS:
        known = ", ".join(_CLIENT_OPTIMIZERS)
        raise ValueError(f"client_optimizer must be one of {known}. Found {name!r}.")


def client_optimizer(name: str, learning_rate: float | tf.Tensor, mu: float = 0.0) -> Optimizer:
    """Returns what a client steps with; with `mu` above 0 it is pulled back to where it began."""
    check_client_optimizer(name)
    optimizer = _CLIENT_OPTIMIZERS[name](learning_rate)
    return Proximal(optimizer, mu) if mu else optimizer


def check_adaptive(learning_rate: float, beta_1: float, beta_2: float, epsilon: float) -> None:
    """Raises ValueError for a hyperparameter of Adam, Yogi or Adagrad that is out of range."""
    check_rate("server_learning_rate", learning_rate)
    check_decay("beta_1", beta_1)
    check_decay("beta_2", beta_2)
    if not 0 < epsilon < float("inf"):
        raise ValueError(f"epsilon must be a number above 0. Found {epsilon}.")


def check_decay(name: str, value: float) -> None:
    """Raises ValueError for what is not in [0, 1)."""
    if not 0 <= value < 1:
        raise ValueError(f"{name} must lie in [0, 1). Found {value}.")


class Proximal(Optimizer):
    """Adds the gradient of `mu / 2 * |w - w_start|^2` to what another optimizer is given.

    The term of FedProx (Li et al. 2020, equation 2). `w_start` is what the first step is given: a
    client's first step of a round begins at the weights that the server sent.

    Args:
        optimizer: The one that steps.
        mu: Strength of the pull, at least 0.
    """

    def __init__(self, optimizer: Optimizer, mu: float):
        self._optimizer = optimizer
        self._mu = mu

    def initialize(self, specs: Any) -> OrderedDict[str, Any]:
        """Returns the state before the first step."""
        return OrderedDict(
            optimizer=self._optimizer.initialize(specs),
            num_steps=tf.constant(0),
            start=tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), specs),
        )

    def next(self, state: OrderedDict[str, Any], weights: Any, gradients: Any):
        """Returns the state and the weights after one step."""
        is_first = tf.equal(state["num_steps"], 0)
        start = tf.nest.map_structure(
            lambda weight, kept: tf.where(is_first, weight, kept), weights, state["start"]
        )
        pulled = tf.nest.map_structure(self._pull, gradients, weights, start)
        inner, weights = self._optimizer.next(state["optimizer"], weights, pulled)
        return OrderedDict(optimizer=inner, num_steps=state["num_steps"] + 1, start=start), weights

    def _pull(self, gradient, weight, start):
        return None if gradient is None else gradient + self._mu * (weight - start)
