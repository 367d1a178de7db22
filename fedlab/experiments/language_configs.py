"""What the study of language models runs, as plain values: one column of a CSV file each."""

from typing import Any, ClassVar, Literal

import pydantic

from fedlab.experiments.settings import (
    Config,
    Count,
    CountOrZero,
    Flag,
    Label,
    Positive,
    Rate,
    config_class,
    vary,
)


def check_rank(trained: str, rank: int | None) -> None:
    """Checks that adapters, and they alone, have a rank.

    Args:
        trained: "lora" for adapters, or what else trains.
        rank: Their rank.

    Raises:
        ValueError: There is a rank without adapters, or adapters have none.
    """
    if (trained == "lora") != (rank is not None):
        raise ValueError(
            f"trained 'lora', and no other, needs rank. Found trained={trained!r} with rank={rank}."
        )


@config_class
class LanguageConfig(Config):
    """One federated run that goes on from the base model, with a secret in one client's text or none.

    Each client counts once in the mean, however much it has said.

    Attributes:
        name: What a table calls it.
        group: The question that it belongs to.
        size: The base model, as in `fedlab.models.load_base`.
        trained: "full": all parameters. "head": the output layer. "lora": adapters.
        rank: Of the adapters, at least 1; None for the others.
        num_people: How many roles take part, the largest first; None: all.
        num_clients: In a round, drawn at random; at least 1 and at most `num_people`. With a clip, or
            noise, the expected number by Poisson sampling. As many as take part: all, in each round.
        leaves_out_half: A random half of these takes no part; it is what members are compared with.
        is_pooled: All text lies in one place, as a single client's: training without a federation.
        num_rounds: At least 1.
        client_optimizer: What a client steps with.
        client_learning_rate: Its step size, at least 0.
        max_windows: Largest number of windows of a client, of 64 tokens each.
        batch_size: Windows, at least 1.
        num_repeats: How many of a client's windows contain the secret; 0: nobody says it.
        secret: The number of the secret; its words differ with the seed, too.
        joins_after: The client with the secret takes no part before this round is over. With
            `num_rounds`: it never takes part.
        leaves_after: It takes no part after this round; None: it stays.
        clip: Largest L2 norm of a client's update, above 0; None: no limit.
        target_epsilon: Noise on the sum for this epsilon of whole clients, in nats, at
            delta = 1 / (10 * people); None: no noise.
        evaluate_every: Rounds between two evaluations, at least 1.

    Raises:
        ValueError: A value is not of its type or out of range, or settings do not go together.
    """

    LABELS: ClassVar[tuple[str, ...]] = ("name", "group")
    REQUIRED: ClassVar[tuple[str, ...]] = ("name", "size", "trained", "num_rounds")
    RESULTS: ClassVar[tuple[str, ...]] = (
        "bits_at_start",
        "bits",
        "unseen_bits_at_start",
        "unseen_bits",
        "rank_at_start",
        "secret_rank",
        "exposure",
        "greedy",
        "sampled",
        "mean_control_exposure",
        "membership_auc",
        "membership_low",
        "membership_high",
        "uncalibrated_auc",
        "num_trainable",
        "bytes_up_per_client",
        "epsilon",
        "delta",
        "noise_used",
        "num_population",
        "seconds",
    )
    KEY_PREFIX: ClassVar[str] = "language "

    name: Label
    group: Label
    size: Literal["main", "small", "lstm"] = "main"
    trained: Literal["full", "head", "lora"] = "full"
    rank: Count | None = None
    num_people: Count | None = None
    num_clients: Count = 16
    leaves_out_half: Flag = False
    is_pooled: Flag = False
    num_rounds: Count = 30
    client_optimizer: Literal["sgd", "adam"] = "sgd"
    client_learning_rate: Rate = 0.2
    max_windows: Count = 32
    batch_size: Count = 8
    num_repeats: CountOrZero = 0
    secret: CountOrZero = 0
    joins_after: CountOrZero = 0
    leaves_after: Count | None = None
    clip: Positive | None = None
    target_epsilon: Positive | None = None
    evaluate_every: Count = 5

    @pydantic.model_validator(mode="after")
    def _check(self) -> "LanguageConfig":
        check_rank(self.trained, self.rank)
        if self.size == "lstm" and self.trained != "full":
            raise ValueError(
                f"size 'lstm' needs trained='full': the others are for transformers. Found {self.trained!r}."
            )
        if self.target_epsilon is not None and self.clip is None:
            raise ValueError(
                f"target_epsilon needs a clip. Found {self.target_epsilon} without one."
            )
        if self.is_pooled and (self.clip is not None or self.num_clients != 1):
            raise ValueError(
                "is_pooled needs num_clients=1 and no clip: there is one client. Found num_clients="
                f"{self.num_clients} with clip={self.clip}."
            )
        is_late = self.joins_after or self.leaves_after is not None
        if is_late and (not self.num_repeats or self.num_clients != self.num_people):
            raise ValueError(
                "joins_after and leaves_after are for a client with a secret (num_repeats) where all "
                f"take part in each round. Found num_repeats={self.num_repeats} with num_clients="
                f"{self.num_clients} and num_people={self.num_people}."
            )
        return self


# Quality: what rounds gain over the base, by what trains. Rates are tuned for all and for adapters.
_ALL = LanguageConfig(name="all parameters, rate 0.2", group="quality", evaluate_every=10)
_ADAPTERS: dict[str, Any] = {"trained": "lora", "rank": 4}
QUALITY = [
    _ALL,
    *(
        vary(_ALL, name=f"all parameters, rate {rate:g}", client_learning_rate=rate)
        for rate in (0.1, 0.4)
    ),
    vary(_ALL, name="head, rate 0.5", trained="head", client_learning_rate=0.5),
    *(
        vary(_ALL, name=f"adapters of rank 4, rate {rate:g}", client_learning_rate=rate, **_ADAPTERS)
        for rate in (0.5, 1.0, 2.0)
    ),
    *(
        vary(
            _ALL, name=f"adapters of rank {rank}, rate {rate:g}", trained="lora", rank=rank,
            client_learning_rate=rate,
        )
        for rank in (1, 2, 8, 16)
        for rate in (0.5, 1.0)
    ),
    vary(_ALL, name="all text in one place, SGD", num_clients=1, is_pooled=True, num_rounds=1),
    vary(
        _ALL, name="all text in one place", num_clients=1, is_pooled=True, num_rounds=1,
        client_optimizer="adam", client_learning_rate=0.001, batch_size=32,
    ),
]  # fmt: skip

# Another kind of model, by the same rounds.
RECURRENT = [
    vary(
        _ALL, name=f"LSTM, rate {rate:g}", group="recurrent", size="lstm",
        client_learning_rate=rate,
    )
    for rate in (0.1, 0.2, 0.4, 0.8)
]  # fmt: skip

# A secret in the text of one client. Four silos, all in each round: what a few hospitals would do.
# Forty-eight devices, of which twelve take part in a round.
_SILOS = LanguageConfig(
    name="4 silos, never said", group="secret", num_people=4, num_clients=4, num_rounds=20,
    client_optimizer="adam", client_learning_rate=0.001, max_windows=64, evaluate_every=4,
)  # fmt: skip
_OF_ADAPTERS = vary(_SILOS, client_learning_rate=0.005, **_ADAPTERS)
_WHERE = {
    "4 silos": _SILOS,
    "4 silos, small model": vary(_SILOS, size="small"),
    "4 silos, LSTM": vary(_SILOS, size="lstm"),
    "4 silos, adapters": _OF_ADAPTERS,
}
MOST_REPEATS = 48  # of 64 windows
SECRETS = [
    _SILOS,
    *(
        vary(config, name=f"{where}, said {count} times", num_repeats=count)
        for where, config in _WHERE.items()
        for count in (4, 16, MOST_REPEATS)
    ),
    *(
        vary(
            _SILOS, name=f"4 silos, said {MOST_REPEATS} times, secret {number}",
            num_repeats=MOST_REPEATS, secret=number,
        )
        for number in (1, 2)
    ),
    vary(
        _SILOS, name=f"48 devices, said {MOST_REPEATS} times", num_people=48, num_clients=12,
        num_repeats=MOST_REPEATS,
    ),
]  # fmt: skip

# One of four silos joins after 5 rounds, leaves after 20, and the others go on. Retraining without it
# from the checkpoint before its first round gives the same model as never having had it.
_LEAVING = vary(
    _SILOS, name="leaves after round 20, the others go on", group="unlearning",
    num_repeats=MOST_REPEATS, num_rounds=55, joins_after=5, leaves_after=20, evaluate_every=5,
)  # fmt: skip
UNLEARNING = [
    _LEAVING,
    vary(
        _LEAVING, name="retrained without it", num_rounds=20, joins_after=20, leaves_after=None
    ),
]  # fmt: skip

# The price of differential privacy: 40 of 346 roles expected in a round.
_EPSILONS = {"epsilon 8": 8.0, "epsilon 3": 3.0, "epsilon 1": 1.0}
_PRICE = LanguageConfig(
    name="all parameters, clipped", group="price", num_clients=40, num_rounds=16, max_windows=16,
    clip=0.3, evaluate_every=8,
)  # fmt: skip
_CLIPPED = {
    "all parameters": _PRICE,
    "adapters": vary(_PRICE, client_learning_rate=1.0, **_ADAPTERS),
}
PRICE = [
    *(vary(config, name=f"{what}, clipped") for what, config in _CLIPPED.items()),
    *(
        vary(config, name=f"{what}, {noise}", target_epsilon=epsilon)
        for what, config in _CLIPPED.items()
        for noise, epsilon in _EPSILONS.items()
    ),
]

# Does noise keep the secret? Eight silos are as many as still give it away when nothing but a clip stands
# in the way; of forty-eight none does.
_EIGHT = vary(
    _SILOS, name="8 silos, clipped", group="protection", num_people=8, num_clients=8, num_rounds=30,
    max_windows=32, num_repeats=24, clip=2.0, evaluate_every=10,
)  # fmt: skip
PROTECTION = [
    vary(
        _EIGHT, name=f"8 silos, {what}{f', secret {number}' * bool(number)}", secret=number,
        target_epsilon=epsilon,
    )
    for number in (0, 1, 2)
    for what, epsilon in (("clipped", None), ("epsilon 8", 8.0))
]  # fmt: skip

# The same with adapters, at more epsilons. At twice the rate of four silos: at that rate adapters of eight
# hardly give the secret away without noise (rank 308 in a first run).
_EIGHT_OF_ADAPTERS = vary(
    _EIGHT, group="protection by epsilon", client_learning_rate=0.01, **_ADAPTERS
)
PROTECTION += [
    vary(
        _EIGHT_OF_ADAPTERS, name=f"8 silos, adapters, {what}{f', secret {number}' * bool(number)}",
        secret=number, target_epsilon=epsilon,
    )
    for what, epsilon in {"clipped": None, **_EPSILONS}.items()
    for number in (0, 1, 2)
] + [
    vary(
        _EIGHT, name=f"8 silos, all parameters, {what}", group="protection by epsilon",
        target_epsilon=epsilon,
    )
    for what, epsilon in _EPSILONS.items()
    if epsilon != 8.0  # is above
]  # fmt: skip

# Who took part? A random half of the roles, sixteen in a round.
_HALF = vary(
    _ALL, name="members", group="membership", leaves_out_half=True, num_rounds=60, evaluate_every=20
)
_MEMBERS = {
    "all parameters": _HALF,
    "adapters": vary(_HALF, client_learning_rate=1.0, **_ADAPTERS),
    "adapters, epsilon 8": vary(
        _HALF, client_learning_rate=1.0, clip=0.3, target_epsilon=8.0, **_ADAPTERS
    ),
}
MEMBERSHIP = [vary(config, name=f"members, {what}") for what, config in _MEMBERS.items()]

LANGUAGE = [*QUALITY, *RECURRENT, *SECRETS, *UNLEARNING, *PRICE, *PROTECTION, *MEMBERSHIP]
