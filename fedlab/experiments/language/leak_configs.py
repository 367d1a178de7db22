"""What the study of leaks of text runs, as plain values: one column of a CSV file each."""

from typing import ClassVar, Literal

import pydantic

from fedlab.experiments.language.settings import check_rank
from fedlab.experiments.settings import Config, Count, Label, Positive, Rate, config_class, vary


@config_class
class LeakConfig(Config):
    """Rounds of some clients, and what is read in what the server gets.

    Attributes:
        name: What a table calls it.
        trained: "full" or "lora".
        rank: Of the adapters, at least 1; None for "full".
        num_clients: Whose sum the server gets, at least 1.
        num_windows: Of each client, at least 1.
        context: Tokens of a window, from 1 to 64.
        num_epochs: Local passes, at least 1.
        client_learning_rate: Of SGD, at least 0.
        secure_sum: How the updates are summed; "plain": in the clear.
        noise: Length of Gaussian noise on the sum, as a multiple of the sum's own; None: no noise.
        num_cases: Rounds, each with other clients, at least 1.

    Raises:
        ValueError: A value is not of its type or out of range, or settings do not go together.
    """

    REQUIRED: ClassVar[tuple[str, ...]] = ("name", "trained", "num_clients")
    RESULTS: ClassVar[tuple[str, ...]] = (
        "window_share",
        "least_window_share",
        "bag_precision",
        "bag_recall",
        "places_recall",
        "places_false",
        "num_tokens_said",
    )
    KEY_PREFIX: ClassVar[str] = "text_leaks "

    name: Label
    trained: Literal["full", "lora"] = "full"
    rank: Count | None = None
    num_clients: Count = 1
    num_windows: Count = 1
    context: Count = 64
    num_epochs: Count = 1
    client_learning_rate: Rate = 0.1
    secure_sum: Literal["plain", "secagg"] = "plain"
    noise: Positive | None = None
    num_cases: Count = 20

    @pydantic.model_validator(mode="after")
    def _check(self) -> "LeakConfig":
        check_rank(self.trained, self.rank)
        return self


_ONE = LeakConfig(name="one window")
_SHORT = vary(_ONE, name="one window of 16 tokens", context=16)
# Adapters begin with B = 0, so their A changes from the second step on.
_ADAPTERS = vary(
    _ONE, name="adapters", trained="lora", rank=4, num_epochs=5, client_learning_rate=0.5
)
LEAKS = [
    _ONE,
    vary(_ONE, name="one window, 5 epochs", num_epochs=5),
    vary(_ONE, name="8 windows", num_windows=8),
    *(
        vary(_ONE, name=f"sum of {count} clients", num_clients=count, num_cases=cases)
        for count, cases in ((2, 20), (4, 20), (16, 5))
    ),
    *(
        vary(
            _ONE, name=f"sum of {count} clients, masks", num_clients=count, num_cases=cases,
            secure_sum="secagg",
        )
        for count, cases in ((4, 20), (16, 5))  # masks for two would show each the other
    ),
    _SHORT,
    *(
        vary(_SHORT, name=f"sum of {count} clients, 16 tokens each", num_clients=count)
        for count in (2, 3, 4, 16)
    ),
    *(
        vary(_ONE, name=f"one window, noise {noise:g} times the update", noise=noise)
        for noise in (0.03, 0.1, 0.3, 1.0, 3.0)
    ),
    vary(_ADAPTERS, name="one window, adapters of rank 4"),
    *(
        vary(_ADAPTERS, name=f"one window of {size} tokens, adapters of rank {size}", context=size, rank=size)
        for size in (4, 16)
    ),
    *(
        vary(
            _ADAPTERS, name=f"sum of {count} clients, 4 tokens each, adapters of rank 16", context=4,
            rank=16, num_clients=count,
        )
        for count in (2, 4, 16)
    ),
    vary(
        _ADAPTERS, name="sum of 4 clients, 4 tokens each, adapters of rank 16, masks", context=4, rank=16,
        num_clients=4, secure_sum="secagg",
    ),
]  # fmt: skip
