"""Each use of a seed has its own stream of random numbers."""

import re
from pathlib import Path

import numpy as np
import pytest

import fedlab
from fedlab.random_streams import random_stream

PACKAGE = Path(fedlab.__file__).parent
# Generators that are no draw of a run: the resampling of finished results, and an example.
ALLOWED = {
    "random_streams.py": 1,
    "statistics/intervals.py": 1,
    "data/arrays.py": 1,
}
GENERATOR = re.compile(
    r"^(?!.*`numpy\.random).*(default_rng\(|SeedSequence\(|RandomState\(|np\.random\.(?!Generator|default_rng)"
    r"|random\.Random\(|tf\.random\.(uniform|normal|shuffle|set_seed|get_global_generator))",
    re.MULTILINE,
)


def draw(*arguments):
    return random_stream(*arguments).random(4).tolist()


def test_a_stream_is_a_function_of_use_seed_and_names():
    assert draw("cohort", 3, 1, "ann") == draw("cohort", 3, 1, "ann")
    streams = [
        ("cohort", 3), ("cohort", 4), ("batches", 3), ("cohort", 3, 1), ("cohort", 3, "1"),
        ("cohort", 3, 1, 1), ("cohort", 3, 11), ("cohort", 31), ("cohort", 2**70), ("cohort", 3, ""),
    ]  # fmt: skip
    assert len({tuple(draw(*stream)) for stream in streams}) == len(streams)


def test_streams_of_two_uses_do_not_go_together():
    first, second = (
        np.array([random_stream(use, seed).random() for seed in range(4000)])
        for use in ("cohort", "batches")
    )
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(4000)


def test_no_draw_of_the_package_goes_past_the_streams():
    found = {}
    for path in PACKAGE.rglob("*.py"):
        count = len(GENERATOR.findall(path.read_text(encoding="utf-8")))
        if count:
            found[path.relative_to(PACKAGE).as_posix()] = count
    assert found == ALLOWED


@pytest.mark.parametrize(
    "line",
    [
        "rng = np.random.default_rng(seed)", "rng = np.random.RandomState(0)", "np.random.seed(1)",
        "x = tf.random.uniform((3,))", "random.Random(3)",
    ],
)  # fmt: skip
def test_a_draw_past_the_streams_is_found(line):
    assert GENERATOR.search(line)


def test_each_use_has_one_name():
    uses = []
    for path in PACKAGE.rglob("*.py"):
        if path.name != "random_streams.py":
            uses += re.findall(r"random_stream\(\s*\"([^\"]+)\"", path.read_text(encoding="utf-8"))
    assert len(uses) > 15
    assert sorted(set(uses)) == sorted(uses)
