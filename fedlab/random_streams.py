"""One stream of random numbers for each use of a seed."""

import hashlib
import json

import numpy as np


def random_stream(use: str, seed: int, *names: int | str) -> np.random.Generator:
    """Returns a generator of random numbers that no other use of the same seed shares.

    `numpy.random.default_rng(seed)` gives everybody who calls it the same numbers. Two draws that
    should not know of each other, such as the cohort of round 3 and the test digits of client 3,
    would then be one draw.

    Args:
        use: What the numbers are for, such as "cohort"; each use in this package has its own.
        seed: The seed of the run, at least 0.
        *names: What tells the draws of one use apart, such as the round's number or a client's id.

    Returns:
        A generator that is a function of all arguments. Numbers and text differ: 3 is not "3".
    """
    text = json.dumps([use, seed, *names])
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest(), "big"))
