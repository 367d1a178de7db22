"""Keeps TensorFlow's log lines about its graph optimizer off the screen."""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

_LINE = re.compile(
    rb"^\S+ \S+: [IWE] (tensorflow|external/local_tsl)/\S*(grappler|common_runtime)/.*\n?",
    re.MULTILINE,
)
_QUIET_LEVELS = ("2", "3")


@contextlib.contextmanager
def without_optimizer_log() -> Iterator[None]:
    """Drops the lines that TFF's compiler lets TensorFlow's optimizer log, and prints all others.

    They tell about graphics cards and sessions. `TF_CPP_MIN_LOG_LEVEL=3` stops them, which
    `import fedlab` sets; but TensorFlow reads it when it is imported, and that may have been before.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") in _QUIET_LEVELS:
        yield
        return
    with tempfile.TemporaryFile() as log:
        screen = os.dup(2)
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(screen, 2)
            log.seek(0)
            rest = _LINE.sub(b"", log.read())
            while rest:
                rest = rest[os.write(screen, rest) :]
            os.close(screen)
