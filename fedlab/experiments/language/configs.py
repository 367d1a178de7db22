"""What the study of language models runs, by question."""

from typing import Any

from fedlab.experiments.language.settings import LanguageConfig
from fedlab.experiments.settings import vary

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
_DEVICES = vary(_SILOS, num_people=48, num_clients=12)
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
    *(
        vary(config, name=f"{where}, said {count} times", num_repeats=count)
        for where, config in {
            "48 devices": _DEVICES,
            "48 devices, small model": vary(_DEVICES, size="small"),
        }.items()
        for count in (4, 16, MOST_REPEATS)
    ),
    *(
        vary(
            config, name=f"{where}, said {MOST_REPEATS} times, under masks",
            num_repeats=MOST_REPEATS, secure_sum="secagg",
        )
        for where, config in _WHERE.items()
        if config.size == "main"
    ),
]  # fmt: skip

# One of four silos joins after 5 rounds and leaves after 20. Then: nothing is done; the others go on; all
# 20 rounds are made again without it; or the 15 since it came, from the checkpoint before its first round.
_STAYS = vary(
    _SILOS, name="round 20, with it", group="unlearning", num_repeats=MOST_REPEATS, num_rounds=20,
    joins_after=5, evaluate_every=5,
)  # fmt: skip
UNLEARNING = [
    _STAYS,
    vary(_STAYS, name="the others go on for 15 rounds", num_rounds=35, leaves_after=20),
    vary(_STAYS, name="the others go on for 35 rounds", num_rounds=55, leaves_after=20),
    vary(_STAYS, name="retrained from the base", joins_after=20),
    vary(_STAYS, name="retrained from the checkpoint of round 5", goes_back=True),
]

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
        _EIGHT, name=f"8 silos, all parameters, {what}{f', secret {number}' * bool(number)}",
        group="protection by epsilon", secret=number, target_epsilon=epsilon,
    )
    for what, epsilon in _EPSILONS.items()
    for number in (0, 1, 2)
    if epsilon != 8.0  # is above
]  # fmt: skip

# How much noise does the secret of one of four silos bear? The same clip, more and more noise.
_FOUR = vary(
    _SILOS, name="4 silos, clipped", group="few silos", num_repeats=MOST_REPEATS, num_rounds=30,
    clip=1.0, evaluate_every=10,
)  # fmt: skip
FEW_SILOS = [
    _FOUR,
    *(
        vary(_FOUR, name=f"4 silos, noise {noise:g}", noise=noise)
        for noise in (0.01, 0.03, 0.1, 0.3)
    ),
]

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

LANGUAGE = [
    *QUALITY,
    *RECURRENT,
    *SECRETS,
    *UNLEARNING,
    *PRICE,
    *PROTECTION,
    *FEW_SILOS,
    *MEMBERSHIP,
]
