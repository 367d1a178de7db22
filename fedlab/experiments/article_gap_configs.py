"""What the study of the article's ten losses runs, as plain values: one column of a CSV file each."""

from typing import ClassVar, Literal

from fedlab.experiments.settings import (
    Config,
    Count,
    CountOrZero,
    Label,
    Rate,
    Share,
    config_class,
    vary,
)

NUM_COHORTS = 4  # of each setting in the study
AS_THEY_ARE = "the writer digits as they are"


@config_class
class GapConfig(Config):
    """The article's ten rounds on five clients whose digits are made smaller, moved or redrawn.

    Attributes:
        name: What a table calls it; different for each configuration of the study.
        group: The setting, of which there is a configuration for each cohort.
        cohort: The number of the cohort, at least 1. No two cohorts have a client in common.
        scale: Of a digit's height and width, about the centre of its image; in (0, 1].
        max_shift: Each digit is then moved down and to the right by whole pixels, each drawn from
            -max_shift to max_shift; at least 0.
        stroke: Strokes are made one pixel thinner or thicker, before the scaling.
        client_learning_rate: Of SGD at the clients, at least 0.
        server_learning_rate: Of SGD at the server, at least 0.
        num_rounds: At least 1.
        num_clients: The clients of the cohort, who take part in each round; at least 1.
        examples_per_client: How many training digits each has, the first; at least 1.
        batch_size: Examples, at least 1.

    Raises:
        ValueError: A value is not of its type or out of range.
    """

    LABELS: ClassVar[tuple[str, ...]] = ("name", "group")
    REQUIRED: ClassVar[tuple[str, ...]] = ("name", "cohort", "max_shift")
    RESULTS: ClassVar[tuple[str, ...]] = (
        "first_loss",
        "loss",
        "accuracy",
        "test_accuracy",
        "num_test_examples",
        "client_ids",
        "seconds",
    )
    KEY_PREFIX: ClassVar[str] = "article_gap "

    name: Label
    group: Label
    cohort: Count
    scale: Share = 1.0
    max_shift: CountOrZero = 0
    stroke: Literal["as written", "thin", "thick"] = "as written"
    client_learning_rate: Rate = 0.02
    server_learning_rate: Rate = 1.0
    num_rounds: Count = 10
    num_clients: Count = 5
    examples_per_client: Count = 96  # five times 96 are the article's 480
    batch_size: Count = 20


def _name(scale: float, max_shift: int) -> str:
    if scale == 1 and max_shift == 0:
        return AS_THEY_ARE
    return f"scale {scale:g}, shift {max_shift}"


_START = GapConfig(name=AS_THEY_ARE, group=AS_THEY_ARE, cohort=1)
_SETTINGS = [
    *(
        vary(_START, group=_name(scale, max_shift), scale=scale, max_shift=max_shift)
        for scale in (1.0, 0.8, 0.65, 0.5)
        for max_shift in (0, 2, 4)
    ),
    vary(_START, group="thin strokes", stroke="thin"),
    vary(_START, group="thick strokes", stroke="thick"),
    vary(_START, group="client rate 0.002", client_learning_rate=0.002),
]
GAP = [
    vary(setting, name=f"{setting.group} | cohort {cohort}", cohort=cohort)
    for setting in _SETTINGS
    for cohort in range(1, NUM_COHORTS + 1)
]
