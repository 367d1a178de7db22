"""What the study of personalization runs, as plain values: one column of a CSV file each."""

from typing import Any, ClassVar, Literal

import pydantic

from fedlab.experiments.config import RunConfig
from fedlab.experiments.settings import (
    Config,
    Count,
    Label,
    Positive,
    Rate,
    config_class,
    vary,
)

# How a client may get its answers, and what tables call them.
MODELS = {
    "global": "global model",
    "fine_tuned": "fine-tuned",
    "own": "trained alone",
    "label": "commonest label",
}


@config_class
class PersonalizationConfig(Config):
    """One federated run, after which clients fine-tune the model; and a model of each client alone.

    Attributes:
        name: What a table calls it, METHOD | SETTING.
        group: The setting.
        algorithm: What the rounds do.
        client_learning_rate: Of SGD in the rounds, in fine-tuning and alone, at least 0.
        server_learning_rate: The server's step size, at least 0.
        num_rounds: At least 1.
        num_clients: In a round, a fresh random cohort each time, at least 1.
        batch_size: Examples, at least 1.
        num_epochs: Local epochs in a round, at least 1.
        partition: "natural": each writer is a client, with its own test digits. Else the training
            digits of all are dealt anew, and each client sets some of its own aside to test on.
        alpha: Of "dirichlet", above 0.
        fine_tune_epochs: Passes of a client over its digits, from the global model, at least 1.
        own_epochs: Passes of a client that trains alone, from the initial weights, at least 1. The
            default is twice what a client of 100 makes on average in 50 rounds and fine-tuning: 15.
        num_measured: How many clients fine-tune, train alone and are measured, the first by their
            ids, at least 1; all, if there are fewer.

    Raises:
        ValueError: A value is not of its type, out of range, unknown, or does nothing here.
    """

    LABELS: ClassVar[tuple[str, ...]] = ("name", "group")
    REQUIRED: ClassVar[tuple[str, ...]] = ("name", "algorithm", "fine_tune_epochs")
    RESULTS: ClassVar[tuple[str, ...]] = (
        *(f"{model}_accuracy" for model in MODELS),
        *(f"{model}_worst_decile" for model in MODELS),
        "num_test",
    )
    KEY_PREFIX: ClassVar[str] = "personalization "

    name: Label
    group: Label
    algorithm: Literal["fed_avg", "fed_adam"] = "fed_avg"
    client_learning_rate: Rate = 0.1
    server_learning_rate: Rate = 1.0
    num_rounds: Count = 50
    num_clients: Count = 10
    batch_size: Count = 20
    num_epochs: Count = 2
    partition: Literal["natural", "shards", "dirichlet"] = "natural"
    alpha: Positive | None = None
    fine_tune_epochs: Count = 5
    own_epochs: Count = 30
    num_measured: Count = 40

    @pydantic.model_validator(mode="after")
    def _check(self) -> "PersonalizationConfig":
        self.training()
        return self

    def training(self) -> RunConfig:
        """Returns the federated run: settings as in the study `non_iid`, without a target."""
        return RunConfig(
            name=self.name,
            group=self.group,
            algorithm=self.algorithm,
            client_learning_rate=self.client_learning_rate,
            server_learning_rate=self.server_learning_rate,
            num_rounds=self.num_rounds,
            num_clients=self.num_clients,
            sampling="uniform",
            batch_size=self.batch_size,
            num_epochs=self.num_epochs,
            shuffle=True,
            partition=self.partition,
            alpha=self.alpha,
        )


def without_federation(config: PersonalizationConfig) -> PersonalizationConfig:
    """Returns the configuration of what a client does alone, which all methods of a setting share.

    Args:
        config: The settings of the deal and of training alone hold.
    """
    return vary(
        config, algorithm="fed_avg", server_learning_rate=1.0, num_rounds=1, num_clients=1,
        num_epochs=1, fine_tune_epochs=1,
    )  # fmt: skip


_SETTINGS: dict[str, dict[str, Any]] = {
    "writers": {"partition": "natural"},
    "shards": {"partition": "shards"},
    "Dirichlet 0.05": {"partition": "dirichlet", "alpha": 0.05},
}
_METHODS: dict[str, dict[str, Any]] = {
    "FedAvg": {},
    "FedAdam": {"algorithm": "fed_adam", "server_learning_rate": 0.01},
}
PERSONALIZATION = [
    PersonalizationConfig(name=f"{method} | {setting}", group=setting, **how, **where)
    for setting, where in _SETTINGS.items()
    for method, how in _METHODS.items()
]
