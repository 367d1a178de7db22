"""What every runtime has: a learning process's own face, and names for the clients."""

import abc
import contextlib
import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from fedlab.secure.interface import SecureSum

Cohort = Mapping[str, tf.data.Dataset] | Collection[tf.data.Dataset]


class NonFiniteStateError(ValueError):
    """A trainable weight in the server's state is NaN or infinite; the round did not happen."""


@dataclasses.dataclass(frozen=True)
class Protection:
    """What stands between each client's update and the server, as `compile` found it.

    Attributes:
        secure_sum: Who adds up the updates; `None`: the server, in the clear.
        privacy_plan: What accounts for the run, such as a `fedlab.dp.privacy_plan.PrivacyPlan`, and whose
            mechanism the process was found to have; `None`: no differential privacy is promised.
        metrics_in_the_clear: Whether each client's training metrics reach the server one by one,
            or may, where that cannot be told.
    """

    secure_sum: SecureSum | None = None
    privacy_plan: Any = None
    metrics_in_the_clear: bool = True


class Runner(contextlib.AbstractContextManager):
    """Executes a process: the same `initialize` and `next` as the process itself.

    Attributes:
        process: What is executed.
        dropped: The clients left out of the last round, each with the reason.
        secure_sum: Who sums what the clients send to be summed securely; its `costs` are the last
            round's. `None`: it is added in the clear.
        protection: What `compile` found to stand between each client's update and the server; `None`
            of a runner that it did not make.
        tells_non_finite: Whether a client's update that is not finite is told or listed. TFF's own
            runtime leaves such clients out without a word.
    """

    tells_non_finite = True

    def __init__(self, process: tff.templates.IterativeProcess) -> None:
        self.process = process
        self.dropped: dict[str, str] = {}
        self.secure_sum: SecureSum | None = None
        self.protection: Protection | None = None

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends threads and processes. A closed runner is not used again."""

    @abc.abstractmethod
    def initialize(self) -> Any:
        """Returns the state before the first round."""

    @abc.abstractmethod
    def next(self, state: Any, cohort: Cohort) -> Any:
        """Runs one round.

        Args:
            state: From `initialize` or an earlier round; it is not changed.
            cohort: `{client_id: batches}` or a sequence of batches, in the order in which the
                updates are added up; each a `tf.data.Dataset`.

        Returns:
            What the process's own `next` returns: of a `LearningProcess`, TFF's
            `LearningProcessOutput` with `state` and `metrics`.
        """

    @property
    def has_model(self) -> bool:
        """Whether the state holds a model's weights: of a `LearningProcess`."""
        return isinstance(self.process, tff.learning.templates.LearningProcess)

    @abc.abstractmethod
    def call(self, computation: tff.Computation, *args: Any) -> Any:
        """Executes one of the process's computations without clients.

        Args:
            computation: One of `process`'s.
            *args: Its arguments, as Python values.

        Returns:
            Its result, in its Python containers.
        """

    def get_model_weights(self, state: Any) -> tff.learning.models.ModelWeights:
        """Returns the model's weights out of a state.

        Args:
            state: The state.

        Raises:
            TypeError: The process is no `LearningProcess`.
        """
        return self.call(self._computation("get_model_weights"), state)

    def get_hparams(self, state: Any) -> Mapping[str, Any]:
        """Returns the hyperparameters that TFF keeps in a state, such as the server's rate.

        Args:
            state: The state.

        Raises:
            TypeError: The process is no `LearningProcess`.
        """
        return self.call(self._computation("get_hparams"), state)

    def set_model_weights(self, state: Any, weights: tff.learning.models.ModelWeights) -> Any:
        """Returns the state with other model weights in it.

        Args:
            state: The state; it is not changed.
            weights: The weights, of the same shapes.

        Raises:
            TypeError: The process is no `LearningProcess`.
        """
        return self.call(self._computation("set_model_weights"), state, weights)

    def _computation(self, name: str) -> tff.Computation:
        if not self.has_model:
            raise TypeError(
                f"{name} is for a LearningProcess. This process is a {type(self.process).__name__}: "
                "read the state itself, as its builder describes it."
            )
        return getattr(self.process, name)


def name_clients(cohort: Cohort) -> list[str]:
    """Returns the clients' names: the mapping's keys, or their numbers in the sequence.

    Raises:
        TypeError: It is neither a mapping nor a sequence.
    """
    no_cohort = isinstance(cohort, str | set | frozenset | tf.data.Dataset)
    if no_cohort or not isinstance(cohort, Collection):
        raise TypeError(
            "The cohort must be {client_id: batches} or a list of batches. "
            f"Found {type(cohort).__name__}; list(...) makes a list of a generator."
        )
    return list(cohort) if isinstance(cohort, Mapping) else [f"#{k}" for k in range(len(cohort))]


def check_nobody(cohort: Cohort, output: Any) -> None:
    """Lets a round without clients pass if the process has a use for it.

    Under Poisson sampling it comes up, and the noise is added all the same. Whoever divides by the
    number of clients has 0 / 0, where TFF leaves the weights as they were and says so in its metrics.

    Args:
        cohort: The clients.
        output: What `next` returned; only that of a `LearningProcess` is looked at.

    Raises:
        ValueError: There are no clients, and the process divides by their number.
    """
    if name_clients(cohort) or not isinstance(output, tff.learning.templates.LearningProcessOutput):
        return
    metrics = output.metrics
    finalizer = metrics.get("finalizer") if isinstance(metrics, Mapping) else None
    if not isinstance(finalizer, Mapping) or finalizer.get("update_non_finite", 1):
        raise ValueError(
            "The cohort must hold at least one client, for this process divides by their number. "
            "Found none. The aggregators of fedlab.dp.mechanisms divide by the expected one."
        )
