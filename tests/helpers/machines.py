"""A machine made of stubs, on which `lab` runs."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# In place of the environment's Python: notes how it was called; some calls fail on request.
ENV_PYTHON = """#!/bin/bash
printf '%s\\n' "$*" >> "$STUB_LOG"
case "$*" in
  *"-m pytest"*) exit "${PYTEST_CODE:-0}" ;;
  *"-m ruff"*) exit "${RUFF_CODE:-0}" ;;
  *"-m nbconvert"*) exit "${NBCONVERT_CODE:-0}" ;;
esac
"""
STUBS = {
    "uname": "echo Linux x86_64",
    "getconf": "echo glibc 2.36",
    "df": "echo Avail; echo 99999999",
    "python3.11": 'echo "$0"',
    "python3": "exit 1",
    "lint-imports": "exit 0",
    "uv": """echo "uv $1 $2" >> "$STUB_LOG"
case "$1" in
  venv) sleep "${UV_SLEEP:-0}"; mkdir -p .venv/bin; cp "$ENV_PYTHON" .venv/bin/python ;;
  pip) exit "${UV_CODE:-0}" ;;
  *) exit 1 ;;
esac""",
}


class Machine:
    """A copy of `lab` in a folder with a space in its name, on a machine made of stubs."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.repo, self.log = folder / "bin", folder / "my course", folder / "log"
        self.bin.mkdir()
        self.repo.mkdir()
        self.log.touch()
        shutil.copy(ROOT / "lab", self.repo)
        (self.repo / "requirements.lock").write_text("numpy==1.26.4\n")
        self.stub("env_python", ENV_PYTHON)
        for name, body in STUBS.items():
            self.stub(name, body)
        self.environment = {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "HOME": str(folder),
            "STUB_LOG": str(self.log),
            "ENV_PYTHON": str(self.bin / "env_python"),
        }

    def stub(self, name: str, body: str) -> None:
        path = self.bin / name
        path.write_text(body if body.startswith("#!") else f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)

    def start(self, *args: str, program: Path | None = None, **variables: str) -> subprocess.Popen:
        return subprocess.Popen(
            [program or self.repo / "lab", *args],
            env=self.environment | variables,
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *args: str, **kwargs) -> tuple[int, str, str]:
        process = self.start(*args, **kwargs)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def num_builds(self) -> int:
        return self.log.read_text().count("uv venv")
