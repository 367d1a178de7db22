"""What one run of a study does, as plain values: one column of a CSV file each."""

import dataclasses
import difflib
import hashlib
import json
import math
import typing
from collections.abc import Iterable, Mapping
from typing import Any

CHOICES = {
    "algorithm": (
        "fed_avg",
        "fed_prox",
        "fed_avgm",
        "fed_adam",
        "fed_yogi",
        "fed_adagrad",
        "fed_sgd",
        "mime_lite",
        "central",
    ),
    "client_optimizer": ("sgd", "adam"),
    "model": ("cnn", "deeper_cnn"),
    "sampling": ("first", "uniform"),
    "augmentation": ("mirror", "brightness", "mirror_and_brightness", "shift", "affine"),
    "partition": ("natural", "iid", "shards", "dirichlet"),
}
# What a results file holds besides the configuration.
RESULT_COLUMNS = (
    "seed",
    "dataset",
    "dataset_sha256",
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
    "versions",
    "machine",
    "command",
)
_COUNTS = ("num_rounds", "num_clients", "batch_size", "num_epochs", "max_examples")
_LABELS = ("name", "group")
_BELOW_1 = ("momentum", "dropout_rate", "straggler_rate")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """One run, up to its seed. The defaults are the article's settings.

    `algorithm="central"` is the ceiling: all training digits in one place. There a round is one
    pass over them, `client_*`, `batch_size`, `shuffle`, `max_examples` (of each writer's) and
    `augmentation` hold for it, and what is only for a federation is not looked at: who takes part,
    `num_epochs`, the server's rate, the partition.

    Attributes:
        name: What a table calls it; different for each configuration of a study.
        group: What it belongs to, such as the article's suggestion.
        algorithm: See `CHOICES`, here and below.
        client_optimizer: What a client steps with. FedSGD has no client steps.
        client_learning_rate: Its step size, at least 0.
        server_learning_rate: The server's step size, at least 0.
        client_rate_decay: What the clients' rate is multiplied by after each round, in (0, 1].
        mu: FedProx's pull to the server's weights, at least 0.
        momentum: Of FedAvgM's server, or of Mime Lite; in [0, 1).
        server_beta_2: Of the server's Adam or Yogi, in [0, 1). Default: Reddi et al.'s, 0.99.
        server_epsilon: Of an adaptive server, above 0. Default: Reddi et al.'s tau, 0.001.
        model: `models.create_cnn` or `models.create_deeper_cnn`.
        dropout_rate: Of the deeper CNN, in [0, 1).
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
            `fedlab.experiments.datasets`.
        partition: "natural": each writer is a client. Else the training digits of all are dealt
            anew, evenly, to as many clients; "shards" gives each two.
        alpha: Of "dirichlet", above 0: 0.1 is very skewed, 100 nearly IID.
        evaluate_every: Rounds between two evaluations, at least 1.
        stop_at_accuracy: End the run when it is reached on all test digits, in (0, 1].

    Raises:
        ValueError: A value is not of its type, out of range, unknown, or does nothing here.
    """

    name: str = "as in the article"
    group: str = "baseline"
    algorithm: str = "fed_avg"
    client_optimizer: str = "sgd"
    client_learning_rate: float = 0.02
    server_learning_rate: float = 1.0
    client_rate_decay: float | None = None
    mu: float = 0.0
    momentum: float = 0.0
    server_beta_2: float | None = None
    server_epsilon: float | None = None
    model: str = "cnn"
    dropout_rate: float = 0.0
    num_rounds: int = 10
    num_clients: int = 5
    sampling: str = "first"
    straggler_rate: float = 0.0
    batch_size: int = 20
    num_epochs: int = 1
    shuffle: bool = False
    max_examples: int | None = None
    augmentation: str | None = None
    pretrained: bool = False
    partition: str = "natural"
    alpha: float | None = None
    evaluate_every: int = 1
    stop_at_accuracy: float | None = None

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = _convert(field.name, getattr(self, field.name), field.type)
            object.__setattr__(self, field.name, value)  # 1 and 1.0 are one configuration
        _check_ranges(self)
        _check_together(self)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "RunConfig":
        """Makes a configuration out of a line of a results file.

        Args:
            row: Column to value, as from `csv.DictReader` or a row of a pandas table; an empty
                text and NaN stand for `None`. The columns of the results are passed over.

        Raises:
            ValueError: A column is missing or unknown, or a value is not good.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for column in dict(row):
            check_name("column", column, [*known, *RESULT_COLUMNS])
        missing = [name for name in known if name not in row]
        if missing:
            raise ValueError(f"The row lacks {', '.join(missing)}: it is not of a study's results.")
        types = {field.name: field.type for field in dataclasses.fields(cls)}
        return cls(**{name: _parse(row[name], types[name]) for name in known})

    def to_row(self) -> dict[str, Any]:
        """Returns column to value, what `from_row` reads."""
        return dataclasses.asdict(self)

    @property
    def key(self) -> str:
        """16 hexadecimal digits of what is computed: all but the name and the group."""
        values = {name: value for name, value in self.to_row().items() if name not in _LABELS}
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def check_name(kind: str, name: str, known: Iterable[str]) -> None:
    """Raises ValueError for a name that is not among the known ones, with those that come near."""
    known = list(known)
    if name not in known:
        near = [repr(one) for one in difflib.get_close_matches(str(name), known)]
        hint = f"Did you mean {' or '.join(near)}?" if near else f"Choose from: {', '.join(known)}."
        raise ValueError(f"There is no {kind} {name!r}. {hint}")


def _is_optional(kind) -> bool:
    return type(None) in typing.get_args(kind)


def _base(kind) -> type:
    return typing.get_args(kind)[0] if _is_optional(kind) else kind


def _convert(name: str, value: Any, kind) -> Any:
    """Returns the value as its type has it; an integer is a good float, a bool is no number."""
    base = _base(kind)
    if value is None and _is_optional(kind):
        return None
    is_number = hasattr(value, "__float__") and not isinstance(value, (bool, str))
    if base is float and is_number and math.isfinite(value):
        return float(value)
    if base is int and is_number and math.isfinite(value) and int(value) == value:
        return int(value)
    if base in (str, bool) and isinstance(value, base):
        return value
    expected = {float: "a finite number", int: "a whole number", bool: "True or False"}
    raise ValueError(f"{name} must be {expected.get(base, 'text')}. Found {value!r}.")


def _parse(value: Any, kind) -> Any:
    """Undoes what a CSV file does to a value."""
    if value == "" or value is None or value != value:
        return None
    if _base(kind) is bool:
        return {"True": True, "False": False}.get(str(value), value)
    if _base(kind) in (int, float) and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _check_ranges(config: RunConfig) -> None:
    for name, choices in CHOICES.items():
        if (value := getattr(config, name)) is not None:
            check_name(name, value, choices)
    for name in _LABELS:
        if not getattr(config, name):
            raise ValueError(f"{name} must not be empty.")
    ranges = {name: (lambda v: v >= 1, "at least 1") for name in (*_COUNTS, "evaluate_every")}
    at_least_0 = (lambda v: v >= 0, "at least 0")
    below_1 = (lambda v: 0 <= v < 1, "in [0, 1)")
    above_0 = (lambda v: 0 < v <= 1, "in (0, 1]")
    ranges |= dict.fromkeys(("client_learning_rate", "server_learning_rate", "mu"), at_least_0)
    ranges |= dict.fromkeys((*_BELOW_1, "server_beta_2"), below_1)
    ranges |= dict.fromkeys(("client_rate_decay", "stop_at_accuracy"), above_0)
    ranges |= dict.fromkeys(("alpha", "server_epsilon"), (lambda v: v > 0, "above 0"))
    for name, (is_good, expected) in ranges.items():
        value = getattr(config, name)
        if value is not None and not is_good(value):
            raise ValueError(f"{name} must be {expected}. Found {value}.")


def _check_together(config: RunConfig) -> None:
    """A setting that does nothing would make a table say what is not so."""
    users = {
        "mu": ("algorithm", ("fed_prox",)),
        "momentum": ("algorithm", ("fed_avgm", "mime_lite")),
        "server_beta_2": ("algorithm", ("fed_adam", "fed_yogi")),
        "server_epsilon": ("algorithm", ("fed_adam", "fed_yogi", "fed_adagrad")),
        "dropout_rate": ("model", ("deeper_cnn",)),
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
    if config.partition == "dirichlet" and config.alpha is None:
        raise ValueError("partition 'dirichlet' needs alpha. Found None.")


BASELINE = RunConfig()
