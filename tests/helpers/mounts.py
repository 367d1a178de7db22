"""Scripts in a mount namespace of their own, where file systems can be full, read-only or noexec."""

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Sequence

import pytest
from helpers import tiny


def run_with_mounts(
    mounts: Sequence[str], code: str, *, has_home: bool = True, **variables: str
) -> str:
    """Returns what a script prints; skips the test where this user may not mount.

    Args:
        mounts: The arguments of `mount`, one text for each call.
        code: The script.
        has_home: Whether the user has a home folder and is known to the system.
        **variables: Of its environment.
    """
    unshare = ["unshare", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("This system lets this user mount nothing (unshare --map-root-user --mount).")
    nobody = "" if has_home else "env -u HOME -u XDG_CACHE_HOME unshare --user --map-user=54321"
    script = "".join(f"mount {mount} || exit 77\n" for mount in mounts)
    done = subprocess.run(
        [
            *(*unshare, "sh", "-c", f'{script} exec {nobody} "$@"', "sh"),
            *(sys.executable, "-c", textwrap.dedent(code)),
        ],
        env=os.environ | {"PYTHONPATH": f"{tiny.TESTS.parent}:{tiny.TESTS}"} | variables,
        capture_output=True,
        text=True,
        timeout=tiny.TIMEOUT,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip(f"This system does not mount: {done.stderr}")
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr
