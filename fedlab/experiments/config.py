"""What one training run does, as plain values: one column of a CSV file each."""

from typing import ClassVar, Literal

import pydantic

from fedlab.experiments.settings import (
    Config,
    Count,
    Flag,
    Label,
    Positive,
    ProperFraction,
    Rate,
    Share,
    config_class,
)

Algorithm = Literal[
    "fed_avg",
    "fed_prox",
    "fed_avgm",
    "fed_adam",
    "fed_yogi",
    "fed_sgd",
    "mime_lite",
    "central",
]
Augmentation = Literal["mirror", "brightness", "mirror_and_brightness", "shift", "affine"]


@config_class
class RunConfig(Config):
    """One run, up to its seed. The defaults are the article's settings.

    `algorithm="central"` is the ceiling: all training digits in one place. There a round is one
    pass over them, `client_*`, `batch_size`, `shuffle`, `max_examples` (of each writer's) and
    `augmentation` hold for it, and what is only for a federation is not looked at: who takes part,
    `num_epochs`, the server's rate, the partition.

    Attributes:
        name: What a table calls it; different for each configuration of a study.
        group: What it belongs to, such as the article's suggestion.
        algorithm: What the rounds do; the allowed names stand in the type, here and below.
        client_optimizer: What a client steps with. FedSGD has no client steps.
        client_learning_rate: Its step size, at least 0.
        server_learning_rate: The server's step size, at least 0.
        client_rate_decay: What the clients' rate is multiplied by after each round, in (0, 1].
        mu: FedProx's pull to the server's weights, at least 0; also beside another server's
            optimizer.
        momentum: Of FedAvgM's server, or of Mime Lite; in [0, 1).
        server_beta_2: Of the server's Adam or Yogi, in [0, 1). Default: Reddi et al.'s, 0.99.
        server_epsilon: Of an adaptive server, above 0. Default: Reddi et al.'s tau, 0.001.
        model: `models.create_cnn` or `models.create_deeper_cnn`.
        num_rounds: At least 1.
        num_clients: In a round, at least 1.
        sampling: "first": the same first clients in each round, as the article has it. "uniform":
            a fresh random cohort.
        straggler_rate: Chance that a client of a round drops out of it, in [0, 1).
        batch_size: Examples, at least 1.
        num_epochs: Local epochs in a round, at least 1.
        shuffle: Whether each epoch has a new order.
        max_examples: Cap on the examples of a client.
        augmentation: Of the training digits.
        pretrained: Start from a model trained on public digits that no client holds; see
            `fedlab.data.FederatedDataset`.
        partition: "natural": each writer is a client. Else the training digits of all are dealt
            anew, evenly, to as many clients; "shards" gives each two.
        alpha: Of "dirichlet", above 0: 0.1 is very skewed, 100 nearly IID.
        evaluate_every: Rounds between two evaluations, at least 1.
        stop_at_accuracy: End the run when it is reached on all test digits, in (0, 1].
        patience: End the run when the accuracy on held-out writers has not risen for this many
            evaluations, at least 1. These are the last tenth of the writers; they do not train.

    Raises:
        ValueError: A value is not of its type, out of range, unknown, or does nothing here.
    """

    LABELS: ClassVar[tuple[str, ...]] = ("name", "group")
    REQUIRED: ClassVar[tuple[str, ...]] = ("name", "algorithm", "num_rounds")
    RESULTS: ClassVar[tuple[str, ...]] = (
        "accuracy",
        "loss",
        "five_accuracy",
        "best_accuracy",
        "worst_decile_accuracy",
        "best_decile_accuracy",
        "client_accuracy_std",
        "num_rounds_done",
        "diverged_in_round",
        "target_accuracy",
        "rounds_to_target",
        "seconds",
    )
    GONE: ClassVar[tuple[str, ...]] = ("dropout_rate",)

    name: Label = "settings of the article, our data"
    group: Label = "baseline"
    algorithm: Algorithm = "fed_avg"
    client_optimizer: Literal["sgd", "adam"] = "sgd"
    client_learning_rate: Rate = 0.02
    server_learning_rate: Rate = 1.0
    client_rate_decay: Share | None = None
    mu: Rate = 0.0
    momentum: ProperFraction = 0.0
    server_beta_2: ProperFraction | None = None
    server_epsilon: Positive | None = None
    model: Literal["cnn", "deeper_cnn"] = "cnn"
    num_rounds: Count = 10
    num_clients: Count = 5
    sampling: Literal["first", "uniform"] = "first"
    straggler_rate: ProperFraction = 0.0
    batch_size: Count = 20
    num_epochs: Count = 1
    shuffle: Flag = False
    max_examples: Count | None = None
    augmentation: Augmentation | None = None
    pretrained: Flag = False
    partition: Literal["natural", "iid", "shards", "dirichlet"] = "natural"
    alpha: Positive | None = None
    evaluate_every: Count = 1
    stop_at_accuracy: Share | None = None
    patience: Count | None = None

    @pydantic.model_validator(mode="after")
    def _check(self) -> "RunConfig":
        _check_together(self)
        return self


def _check_together(config: RunConfig) -> None:
    """A setting that does nothing would make a table say what is not so."""
    users = {
        "mu": ("algorithm", ("fed_prox", "fed_avgm", "fed_adam", "fed_yogi")),
        "momentum": ("algorithm", ("fed_avgm", "mime_lite")),
        "server_beta_2": ("algorithm", ("fed_adam", "fed_yogi")),
        "server_epsilon": ("algorithm", ("fed_adam", "fed_yogi")),
        "alpha": ("partition", ("dirichlet",)),
    }
    for name, (owner, values) in users.items():
        if getattr(config, name) and getattr(config, owner) not in values:
            raise ValueError(
                f"{name} is for {owner} {' or '.join(values)}. Found {name}="
                f"{getattr(config, name)} with {owner} {getattr(config, owner)!r}."
            )
    if config.client_optimizer != "sgd" and config.algorithm in ("fed_sgd", "mime_lite"):
        raise ValueError(
            f"{config.algorithm} knows no client_optimizer but 'sgd'. "
            f"Found {config.client_optimizer!r}."
        )
    if config.client_rate_decay is not None and config.algorithm == "fed_sgd":
        raise ValueError(
            "client_rate_decay does nothing for fed_sgd, whose step is the server's. "
            f"Found {config.client_rate_decay}."
        )
    if config.patience is not None and config.algorithm == "central":
        raise ValueError(
            "patience holds out clients of a federation, and 'central' has none. "
            f"Found {config.patience}."
        )
    if config.partition == "dirichlet" and config.alpha is None:
        raise ValueError("partition 'dirichlet' needs alpha. Found None.")


BASELINE = RunConfig()
