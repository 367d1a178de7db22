"""Optimizers of clients and servers: TFF's own with checked arguments, and FedProx's pull."""

from collections import OrderedDict
from typing import Any, TypeAlias

import tensorflow as tf
import tensorflow_federated as tff

from fedlab.checks import check_choice, check_number

Optimizer: TypeAlias = tff.learning.optimizers.Optimizer
CLIENT_OPTIMIZERS = {
    "sgd": tff.learning.optimizers.build_sgdm,
    "adam": tff.learning.optimizers.build_adam,
}


def build_server_sgd(learning_rate: float, momentum: float = 0.0) -> Optimizer:
    """Builds the server's SGD: `v = momentum * v + gradient; w = w - learning_rate * v`.

    Args:
        learning_rate: Step size, at least 0. Errors call it `server_learning_rate`.
        momentum: How much of the last `v` stays, in [0, 1).

    Returns:
        An optimizer of TFF.

    Raises:
        TypeError: An argument is not a number.
        ValueError: A number is out of range.
    """
    return tff.learning.optimizers.build_sgdm(
        check_number("server_learning_rate", learning_rate, at_least=0),
        check_number("momentum", momentum, at_least=0, below=1),
    )


def build_client_optimizer(
    name: str, learning_rate: float | tf.Tensor, mu: float = 0.0
) -> Optimizer:
    """Builds the optimizer with which a client trains.

    Args:
        name: "sgd" or "adam".
        learning_rate: Step size, at least 0; it may be a tensor inside a graph of TFF.
        mu: Strength of FedProx's pull towards the round's first weights, at least 0; 0 is none.

    Returns:
        An optimizer of TFF.

    Raises:
        ValueError: The name is not known.
    """
    check_choice("client_optimizer", name, CLIENT_OPTIMIZERS)
    optimizer = CLIENT_OPTIMIZERS[name](learning_rate)
    return Proximal(optimizer, mu) if mu else optimizer


class Proximal(Optimizer):
    """Adds FedProx's term to the gradients that another optimizer gets (Li et al. 2020, eq. 2).

    The term is the gradient of `mu / 2 * |w - w_start|^2`, that is `mu * (w - w_start)`. `w_start`
    are the weights of the first step: a client's first step of a round begins at the weights that
    the server sent.

    Args:
        optimizer: The optimizer that takes the step.
        mu: Strength of the pull, at least 0.
    """

    def __init__(self, optimizer: Optimizer, mu: float):
        self._optimizer = optimizer
        self._mu = mu

    def initialize(self, specs: Any) -> OrderedDict[str, Any]:
        """Returns the state before the first step.

        Args:
            specs: A structure of `tf.TensorSpec`, one for each weight.
        """
        return OrderedDict(
            optimizer=self._optimizer.initialize(specs),
            num_steps=tf.constant(0),
            start=tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), specs),
        )

    def next(
        self, state: OrderedDict[str, Any], weights: Any, gradients: Any
    ) -> tuple[OrderedDict[str, Any], Any]:
        """Returns the state and the weights after one step.

        Args:
            state: The state before the step.
            weights: The weights before the step, in the structure of the specs.
            gradients: The loss's gradients, in the same structure; None for a weight without one.
        """
        is_first = tf.equal(state["num_steps"], 0)
        start = tf.nest.map_structure(
            lambda weight, saved: tf.where(is_first, weight, saved), weights, state["start"]
        )
        pulled = tf.nest.map_structure(self._add_pull, gradients, weights, start)
        inner, weights = self._optimizer.next(state["optimizer"], weights, pulled)
        return OrderedDict(optimizer=inner, num_steps=state["num_steps"] + 1, start=start), weights

    def _add_pull(
        self, gradient: tf.Tensor | None, weight: tf.Tensor, start: tf.Tensor
    ) -> tf.Tensor | None:
        return None if gradient is None else gradient + self._mu * (weight - start)
