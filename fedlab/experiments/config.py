"""What one run of a study does, as plain values: one column of a CSV file each."""

import dataclasses
import difflib
import functools
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import pydantic
from pydantic import BeforeValidator, Field

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


def _to_python(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value  # NumPy's numbers and truth values


def _refuse_text_and_truth(value: Any) -> Any:
    """Pydantic would take "0.1" and True for numbers."""
    value = _to_python(value)
    if isinstance(value, str | bool):
        raise ValueError("must be a number")
    return value


def _refuse_numbers(value: Any) -> Any:
    """Pydantic would take 1 and "yes" for True."""
    value = _to_python(value)
    if not isinstance(value, bool):
        raise ValueError("must be True or False")
    return value


_Number = Annotated[
    float, BeforeValidator(_refuse_text_and_truth), Field(allow_inf_nan=False, strict=False)
]
Label = Annotated[str, Field(min_length=1, strict=True)]
Flag = Annotated[bool, BeforeValidator(_refuse_numbers)]
Count = Annotated[int, BeforeValidator(_refuse_text_and_truth), Field(ge=1)]
Rate = Annotated[_Number, Field(ge=0)]
BelowOne = Annotated[_Number, Field(ge=0, lt=1)]
Share = Annotated[_Number, Field(gt=0, le=1)]
Positive = Annotated[_Number, Field(gt=0)]
Algorithm = Literal[
    "fed_avg",
    "fed_prox",
    "fed_avgm",
    "fed_adam",
    "fed_yogi",
    "fed_adagrad",
    "fed_sgd",
    "mime_lite",
    "central",
]
Augmentation = Literal["mirror", "brightness", "mirror_and_brightness", "shift", "affine"]


def _say_plainly(config_type: type) -> type:
    """Makes a pydantic dataclass raise ValueErrors that name the setting, the value and the remedy."""
    validate = config_type.__init__  # type: ignore[misc]  # of this very class

    @functools.wraps(validate)
    def init(self: Any, *args: Any, **values: Any) -> None:
        try:
            validate(self, *args, **values)
        except pydantic.ValidationError as error:
            raise ValueError(_explain(error.errors()[0])) from None

    config_type.__init__ = init  # type: ignore[misc]
    return config_type


def _explain(error: Mapping[str, Any]) -> str:
    name, value = ".".join(map(str, error["loc"])), error["input"]
    if error["type"] == "literal_error":
        known = re.findall(r"'(\w+)'", error["ctx"]["expected"])
        return describe_unknown_name(name, value, known)
    if not name:  # settings that do not go together
        return str(error["ctx"]["error"])
    message = re.sub(r"^(Value error,|(Input|String) should)", "must", error["msg"])
    return f"{name} {message.replace('must must', 'must')}. Found {value!r}."


@_say_plainly
@pydantic.dataclasses.dataclass(frozen=True)
class RunConfig:
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
            `fedlab.data.FederatedDataset`.
        partition: "natural": each writer is a client. Else the training digits of all are dealt
            anew, evenly, to as many clients; "shards" gives each two.
        alpha: Of "dirichlet", above 0: 0.1 is very skewed, 100 nearly IID.
        evaluate_every: Rounds between two evaluations, at least 1.
        stop_at_accuracy: End the run when it is reached on all test digits, in (0, 1].

    Raises:
        ValueError: A value is not of its type, out of range, unknown, or does nothing here.
    """

    name: Label = "as in the article"
    group: Label = "baseline"
    algorithm: Algorithm = "fed_avg"
    client_optimizer: Literal["sgd", "adam"] = "sgd"
    client_learning_rate: Rate = 0.02
    server_learning_rate: Rate = 1.0
    client_rate_decay: Share | None = None
    mu: Rate = 0.0
    momentum: BelowOne = 0.0
    server_beta_2: BelowOne | None = None
    server_epsilon: Positive | None = None
    model: Literal["cnn", "deeper_cnn"] = "cnn"
    dropout_rate: BelowOne = 0.0
    num_rounds: Count = 10
    num_clients: Count = 5
    sampling: Literal["first", "uniform"] = "first"
    straggler_rate: BelowOne = 0.0
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

    @pydantic.model_validator(mode="after")
    def _check(self) -> "RunConfig":
        _check_together(self)
        return self

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "RunConfig":
        """Makes a configuration out of a line of a results file.

        A column that the line lacks has its default: the file was written before there was such a
        setting.

        Args:
            row: Column to value, as from `csv.DictReader` or a row of a pandas table; an empty
                text and NaN stand for `None`. The columns of the results are passed over.

        Raises:
            ValueError: A column is unknown, the row is not of a study's results, or a value is bad.
        """
        types = {field.name: field.type for field in dataclasses.fields(cls)}
        for column in dict(row):
            check_name("column", column, [*types, *RESULT_COLUMNS])
        if lacking := [name for name in ("name", "algorithm", "num_rounds") if name not in row]:
            raise ValueError(f"The row lacks {', '.join(lacking)}: it is not of a study's results.")
        return cls(**{name: _parse(row[name], types[name]) for name in types if name in row})

    def to_row(self) -> dict[str, Any]:
        """Returns column to value, what `from_row` reads."""
        return dataclasses.asdict(self)

    @property
    def key(self) -> str:
        """16 hexadecimal digits of what is computed: all settings that differ from their defaults.

        So a setting that is added later changes no key; a default must never change. Name and group
        do not count.
        """
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        values = {
            name: value
            for name, value in self.to_row().items()
            if name not in ("name", "group") and value != defaults[name]
        }
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def check_name(kind: str, name: str, known: Iterable[str]) -> None:
    """Raises ValueError for a name that is not among the known ones, with those that come near.

    Args:
        kind: What is named, for the error.
        name: The name.
        known: The names that are allowed.
    """
    known = list(known)
    if name not in known:
        raise ValueError(describe_unknown_name(kind, name, known))


def describe_unknown_name(kind: str, name: Any, known: Iterable[str]) -> str:
    """Returns the error text for a name that is not among the known ones, with those that come near.

    Args:
        kind: What is named.
        name: The name.
        known: The names that are allowed.
    """
    known = list(known)
    near = [repr(each) for each in difflib.get_close_matches(str(name), known)]
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Choose from: {', '.join(known)}."
    return f"There is no {kind} {name!r}. {hint}"


def _parse(value: Any, kind: Any) -> Any:
    """Undoes what a CSV file does to a value."""
    if value == "" or value is None or value != value:
        return None
    if not isinstance(value, str):
        return value
    if value in ("True", "False") and kind is Flag:
        return value == "True"
    try:
        return float(value)
    except ValueError:
        return value


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
