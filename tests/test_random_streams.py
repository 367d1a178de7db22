"""Each use of a seed has its own stream of random numbers."""

import numpy as np

from fedlab.random_streams import random_stream


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
