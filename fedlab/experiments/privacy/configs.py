"""What the privacy studies run, as plain values: one column of a CSV file each."""

import math
import numbers
from typing import Any, ClassVar, Literal

import pydantic

from fedlab.experiments.settings import (
    Config,
    Count,
    CountOrZero,
    Flag,
    Label,
    Positive,
    PositiveOrInfinite,
    Rate,
    config_class,
    vary,
)


@config_class
class EpsilonConfig(Config):
    """One training run with differential privacy: DP-FedAvg, usually from a model of public digits.

    Attributes:
        name: What a table calls it.
        target_epsilon: The epsilon of whole clients, over all rounds, in nats, above 0. Infinite:
            without noise.
        clip: Largest L2 norm of a client's update, above 0. Infinite: no clip, and so no noise.
        server_learning_rate: What the mean update is multiplied by, at least 0.
        client_learning_rate: Of SGD at the clients, at least 0.
        batch_size: Examples, at least 1.
        num_rounds: At least 1.
        num_clients: The expected number in a round, by Poisson sampling; all, if there are fewer.
        num_canaries: Simulated clients whose coins an auditor guesses from the final model. 0: the
            run is not audited.
        num_guesses: How many coins the auditor guesses, at most `num_canaries` if there are any.
        model: `models.create_small_cnn`, or "cnn", the article's, of twenty times the parameters.
        pretrained: Whether the first weights are trained on public digits, or drawn.

    Raises:
        ValueError: A value is not of its type or out of range, or there is noise without a clip.
    """

    REQUIRED: ClassVar[tuple[str, ...]] = ("name", "target_epsilon", "clip")
    RESULTS: ClassVar[tuple[str, ...]] = (
        "epsilon",
        "delta",
        "noise_multiplier",
        "accuracy_at_start",
        "accuracy",
        "audit_epsilon",
        "seconds_per_round",
        "expected_num_clients",
        "population",
        "num_params",
    )
    KEY_PREFIX: ClassVar[str] = "privacy_epsilon "

    name: Label
    target_epsilon: PositiveOrInfinite
    clip: PositiveOrInfinite = 0.5
    server_learning_rate: Rate = 2.0
    client_learning_rate: Rate = 0.2
    batch_size: Count = 20
    num_rounds: Count = 40
    num_clients: Count = 200
    num_canaries: CountOrZero = 1000
    num_guesses: Count = 100
    model: Literal["small_cnn", "cnn"] = "small_cnn"
    pretrained: Flag = True

    @pydantic.model_validator(mode="after")
    def _check(self) -> "EpsilonConfig":
        if self.clip == float("inf") and self.target_epsilon < float("inf"):
            raise ValueError(
                "A finite target_epsilon needs a finite clip. Found target_epsilon="
                f"{self.target_epsilon} without a clip."
            )
        return self


_NOISY = [
    EpsilonConfig(name=f"epsilon {epsilon:g}", target_epsilon=epsilon, num_canaries=0)
    for epsilon in (1.0, 2.0, 4.0, 8.0)
]
# The accuracy is that of runs without an audit, whose canaries learn nothing. (An infinite epsilon is
# never audited.)
EPSILON = [
    *_NOISY,
    EpsilonConfig(name="no noise", target_epsilon=float("inf")),
    # Without a clip, steps of 2 diverge at once.
    EpsilonConfig(
        name="no noise, no clip",
        target_epsilon=float("inf"),
        clip=float("inf"),
        server_learning_rate=1.0,
    ),
    *(vary(config, name=f"{config.name}, audited", num_canaries=1000) for config in _NOISY),
]

# What the recipe is worth: at two epsilons, and the same with one change. Not audited: a thousand
# canaries of 694,000 numbers each would take longer than the training.
_AT_1, _AT_8 = _NOISY[0], _NOISY[3]
RECIPE = [
    _AT_8,
    vary(_AT_8, name="epsilon 8, not pre-trained", pretrained=False),
    vary(_AT_8, name="epsilon 8, the article's CNN", model="cnn"),
    _AT_1,
    vary(_AT_1, name="epsilon 1, the article's CNN", model="cnn"),
]

NONE, CLIPPING, DISTRIBUTED = "none (FedAvg)", "clipping", "masks, and noise at the clients"
MASKS, CKKS, SERVERS = "masks (secure aggregation)", "encryption (CKKS)", "shares (three servers)"
Mechanism = Literal["none", "clipping", "noise", "integers", "distributed"]


@config_class
class LedgerConfig(Config):
    """One row of the privacy ledger: a defence, and the settings that all rows share.

    Attributes:
        defence: What the ledger calls it.
        mechanism: What is done to the clients' updates. "none": a plain mean. "clipping": the
            norm of each is bounded. "noise": the server adds noise to the clipped sum. "integers":
            they are summed as integers, as a secure sum needs them. "distributed": integers, to
            which the clients add noise.
        secure_sum: The secure sum that hides single updates in the rounds of a group.
        target_epsilon: Of noise at the server, in nats, above 0; None for other mechanisms.
        group_epsilon: The epsilon of the noise at the server in the rounds of a group, and of the
            clients' noise.
        num_rounds: Of every training, at least 1.
        client_learning_rate: Of SGD at the clients, at least 0.
        server_learning_rates: Numbers above 0 with spaces between. The mean update is multiplied by
            one of them, which a rehearsal on public writers chooses for each row.
        batch_size: Of the clients, at least 1.
        clip: Largest L2 norm of an update, wherever it is clipped, above 0.
        group_size: Clients in a timed round, and in the sum that is inverted, at least 1.
        num_timed: Rounds of each defence that are timed, at least 1.
        num_iterations: Steps of a search for images, at least 1.
        num_references: Models that the membership attacker trains; even.

    Raises:
        ValueError: A value is not of its type or out of range, noise lacks its epsilon, or a rate
            is no number above 0.
    """

    LABELS: ClassVar[tuple[str, ...]] = ("defence",)
    REQUIRED: ClassVar[tuple[str, ...]] = ("defence", "num_rounds", "group_size")
    RESULTS: ClassVar[tuple[str, ...]] = (
        "epsilon",
        "delta",
        "server_learning_rate",
        "rehearsal",
        "accuracy",
        "membership_auc",
        "membership_low",
        "membership_high",
        "reconstruction_ssim",
        "seconds_per_round",
        "seconds_ratio",
        "bytes_up_per_client",
        "bytes_down_per_client",
        "who_learns_what",
        "shared",
        "note",
        "blank_ssim",
        "num_members",
    )
    KEY_PREFIX: ClassVar[str] = "privacy_ledger "

    defence: Label = NONE
    mechanism: Mechanism = "none"
    secure_sum: Literal["secagg", "ckks", "shares"] | None = None
    target_epsilon: Positive | None = None
    group_epsilon: Positive = 8.0
    num_rounds: Count = 30
    client_learning_rate: Rate = 0.05
    server_learning_rates: Label = "0.5 1 2 4"
    batch_size: Count = 20
    clip: Positive = 0.5
    group_size: Count = 30
    num_timed: Count = 7
    num_iterations: Count = 100
    num_references: Count = 4

    @pydantic.field_validator("server_learning_rates", mode="before")
    @classmethod
    def _write_one_rate(cls, value: Any) -> Any:
        """A CSV file gives one rate alone back as a number."""
        is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        return f"{value:g}" if is_number else value

    @pydantic.model_validator(mode="after")
    def _check(self) -> "LedgerConfig":
        if (self.mechanism == "noise") != (self.target_epsilon is not None):
            raise ValueError(
                "mechanism 'noise', and no other, needs target_epsilon. Found mechanism="
                f"{self.mechanism!r} with target_epsilon={self.target_epsilon}."
            )
        try:
            is_good = all(0 < rate < math.inf for rate in self.rates) and self.rates
        except ValueError:
            is_good = False
        if not is_good:
            raise ValueError(
                "server_learning_rates must be numbers above 0 with spaces between, such as '1 2'. "
                f"Found {self.server_learning_rates!r}."
            )
        return self

    @property
    def rates(self) -> tuple[float, ...]:
        """The server rates among which the rehearsal chooses."""
        return tuple(float(rate) for rate in self.server_learning_rates.split())


def noise_name(epsilon: float) -> str:
    """Returns what the ledger calls noise at the server."""
    return f"noise at the server, epsilon {epsilon:g}"


def with_defence(
    config: LedgerConfig,
    defence: str,
    mechanism: Mechanism,
    *,
    secure_sum: str | None = None,
    target_epsilon: float | None = None,
) -> LedgerConfig:
    """Returns the row of the same ledger that has another defence; its other settings are kept."""
    return vary(
        config,
        defence=defence,
        mechanism=mechanism,
        secure_sum=secure_sum,
        target_epsilon=target_epsilon,
    )


def without_defence(config: LedgerConfig) -> LedgerConfig:
    """Returns the ledger's row of plain FedAvg."""
    return with_defence(config, NONE, "none")


def with_noise(config: LedgerConfig, epsilon: float) -> LedgerConfig:
    """Returns the ledger's row of noise at the server."""
    return with_defence(config, noise_name(epsilon), "noise", target_epsilon=epsilon)


def build_ledger(config: LedgerConfig, other_epsilon: float) -> list[LedgerConfig]:
    """Returns all rows of a ledger; two have noise at the server, one of them of `other_epsilon`."""
    return [
        without_defence(config),
        with_defence(config, CLIPPING, "clipping"),
        with_noise(config, config.group_epsilon),
        with_noise(config, other_epsilon),
        with_defence(config, MASKS, "integers", secure_sum="secagg"),
        with_defence(config, CKKS, "integers", secure_sum="ckks"),
        with_defence(config, SERVERS, "integers", secure_sum="shares"),
        with_defence(config, DISTRIBUTED, "distributed", secure_sum="secagg"),
    ]


LEDGER = build_ledger(LedgerConfig(), other_epsilon=2.0)
