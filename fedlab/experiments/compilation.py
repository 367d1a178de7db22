"""From a configuration to what executes its rounds."""

import functools
from typing import Any

from fedlab import learning, models, runtime
from fedlab.experiments.central_training import CreateSeededFn
from fedlab.experiments.config import RunConfig
from fedlab.learning import schedules

_CLIENT = ("client_learning_rate", "client_optimizer")
_ADAPTIVE = {"server_beta_2": "beta_2", "server_epsilon": "epsilon"}
_OPTIONS = {  # of the other algorithms `_CLIENT` and mu
    "fed_avg": _CLIENT,
    "fed_avgm": (*_CLIENT, "mu", "momentum"),
    "fed_sgd": (),
    "mime_lite": ("client_learning_rate", "momentum"),
}


def compile_rounds(config: RunConfig, create_fn: CreateSeededFn) -> runtime.Runner:
    """Returns what executes the rounds; the same one for whatever differs in seed, data or cohort.

    Building and cutting a TFF process takes far longer than a round, so the last few are kept. The
    initial weights are not part of it: they go in through `run_rounds(initial_weights=…)`. Nor is
    the seed of the deeper CNN's dropouts, which stays 0: their masks depend on what comes in, too.
    """
    return _compile(config.algorithm, tuple(_options(config).items()), create_fn)


def _options(config: RunConfig) -> dict[str, Any]:
    names = ("server_learning_rate", *_OPTIONS.get(config.algorithm, (*_CLIENT, "mu")))
    options = {name: getattr(config, name) for name in names}
    for name, keyword in _ADAPTIVE.items():
        if (value := getattr(config, name)) is not None:
            options[keyword] = value
    if config.client_rate_decay is not None:
        options["client_rate_decay"] = config.client_rate_decay
    return options


@functools.lru_cache(maxsize=8)
def _compile(
    algorithm: str, options: tuple[tuple[str, Any], ...], create_fn: CreateSeededFn
) -> runtime.Runner:
    keywords = dict(options)
    create_fn = functools.partial(create_fn, seed=0)
    build_model = models.build_functional_model
    if decay := keywords.pop("client_rate_decay", None):
        keywords["client_learning_rate"] = schedules.exponential_decay(
            keywords["client_learning_rate"], factor=decay, num_rounds=1
        )
        build_model = models.build_model_fn  # TFF 0.87's builders with a schedule want this one
    build_process = getattr(learning, f"build_{algorithm}")
    return runtime.compile(build_process(build_model(create_fn), **keywords))
