"""Work that is killed at random moments, again and again, until an attempt ends by itself."""

import os
import random
import signal
import subprocess
import textwrap
import time
from collections.abc import Callable
from typing import Any

from helpers import tiny

# Each attempt is a fork of one Python that has imported TFF, which takes its time.
_ATTEMPTS = """
while True:
    pid = os.fork()
    if pid == 0:
        break
    print(pid, flush=True)
    if os.waitpid(pid, 0)[1] == 0:
        os._exit(0)
"""


def kill_again_and_again(
    imports: str,
    work: str,
    *,
    is_time_fn: Callable[[int], bool],
    longest_wait_fn: Callable[[int], float],
    observe_fn: Callable[[], Any],
) -> list[Any]:
    """Kills `tiny.NUM_REPEATS` attempts and lets the next one end.

    Args:
        imports: What all attempts have in common: the imports.
        work: What each attempt does; it goes on where the one before was killed.
        is_time_fn: Whether the attempt with this number, from 0, has come far enough to be killed.
        longest_wait_fn: Up to how many seconds after that it is killed.
        observe_fn: Looks at the disk after each kill.

    Returns:
        What was observed after each kill.
    """
    parts = ("import os\n", textwrap.dedent(imports), _ATTEMPTS, textwrap.dedent(work))
    attempts = tiny.start("".join(parts), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    observed = []
    try:
        for kill in range(tiny.NUM_REPEATS):
            pid = int(attempts.stdout.readline())
            deadline = time.monotonic() + tiny.TIMEOUT
            while not is_time_fn(kill):
                assert time.monotonic() < deadline
                assert attempts.poll() is None
                time.sleep(0.0002)
            time.sleep(random.random() * longest_wait_fn(kill))
            os.kill(pid, signal.SIGKILL)
            observed.append(observe_fn())
        assert attempts.wait(tiny.TIMEOUT * tiny.NUM_REPEATS) == 0
    finally:
        attempts.kill()
        attempts.stdout.close()
    return observed
