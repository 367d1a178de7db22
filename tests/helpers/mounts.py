"""Scripts in a mount namespace of their own, where file systems can be full, read-only or noexec.

Imports no TensorFlow: not every test that mounts needs it.
"""

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest

_TESTS = Path(__file__).parents[1]


def within_mounts(mounts: Sequence[str], *, has_home: bool = True) -> list[str]:
    """Returns the beginning of a command; skips the test where this user may not mount.

    Args:
        mounts: The arguments of `mount`, one text for each call.
        has_home: Whether the user has a home folder and is known to the system.
    """
    unshare = ["unshare", "--map-root-user", "--mount", "sh", "-ec"]
    script = "".join(f"mount {mount}\n" for mount in mounts)
    tried = shutil.which("unshare") and subprocess.run([*unshare, script], check=False)
    if not tried or tried.returncode:
        pytest.skip("This system does not let this user mount anything.")
    nobody = "" if has_home else "env -u HOME -u XDG_CACHE_HOME unshare --user --map-user=54321"
    return [*unshare, f'{script}exec {nobody} "$@"', "sh"]


def run_with_mounts(
    mounts: Sequence[str], code: str, *, has_home: bool = True, **variables: str
) -> str:
    """Returns what a script prints.

    Args:
        mounts: See `within_mounts`.
        code: The script.
        has_home: See `within_mounts`.
        **variables: Of its environment.
    """
    command = [*within_mounts(mounts, has_home=has_home), sys.executable, "-c"]
    done = subprocess.run(
        [*command, textwrap.dedent(code)],
        env=os.environ | {"PYTHONPATH": f"{_TESTS.parent}:{_TESTS}"} | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr
