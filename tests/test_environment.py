"""The environment: the lock, its overrides, the conda way in, imports, and JupyterLab itself."""

import ast
import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
WIDGETS = "@jupyter-widgets/jupyterlab-manager"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()
LOCKED = dict(re.findall(r"^([\w.-]+)==(\S+) \\$", LOCK, re.MULTILINE))

# All that is asked for and not there: the pins that [tool.uv] override-dependencies lifts.
KNOWN_CONFLICTS = {
    ("google-vizier", "sqlalchemy<=1.4.20,>=1.4"),
    ("tensorflow", "wrapt<1.15,>=1.11.0"),
    ("tensorflow-federated", "jax==0.4.14"),
    ("tensorflow-federated", "jaxlib==0.4.14"),
    ("tensorflow-federated", "ml-dtypes==0.2.*,>=0.2.0"),
    ("tensorflow-federated", "scipy~=1.9.3"),
    ("tensorflow-federated", "tensorflow==2.14.*,>=2.14.0"),
    ("tensorflow-federated", "typing-extensions==4.5.*,>=4.5.0"),
    ("tensorflow-privacy", "packaging~=22.0"),
}


def dependencies():
    """What the project asks for; its extras are in the lock, too."""
    project = PYPROJECT["project"]
    lines = sum(project["optional-dependencies"].values(), project["dependencies"])
    return [Requirement(line) for line in lines]


def overrides():
    return [Requirement(line) for line in PYPROJECT["tool"]["uv"]["override-dependencies"]]


def unmet_requirements():
    """Yields each package of the lock with a requirement of its own that is not met here."""
    for name in LOCKED:
        for line in importlib.metadata.requires(name) or []:
            requirement = Requirement(line)
            if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
                continue
            version = LOCKED.get(canonicalize_name(requirement.name))
            if version is None or not requirement.specifier.contains(version, prereleases=True):
                yield name, requirement.name, requirement.specifier


def test_what_is_installed_is_what_is_locked():
    assert {name: importlib.metadata.version(name) for name in LOCKED} == LOCKED


def test_the_unmet_requirements_are_exactly_the_overrides():
    known = [(name, Requirement(line)) for name, line in KNOWN_CONFLICTS]
    assert set(unmet_requirements()) == {(name, one.name, one.specifier) for name, one in known}
    lifted = {requirement.name for _, requirement in known}
    assert lifted == {override.name for override in overrides()}


def test_the_lock_pins_and_hashes_every_package():
    entries = re.split(r"^(?=\S+==)", LOCK, flags=re.MULTILINE)
    head, packages = entries[0], entries[1:]
    assert all(line.startswith(("#", "--only-binary :all:")) for line in head.split("\n") if line)
    one = re.compile(r"[\w.-]+==\S+ \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+")
    assert [entry for entry in packages if not one.fullmatch(entry)] == []
    assert len(packages) == len(LOCKED) > 100


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml", "environment.yml", "lab"])
def test_no_package_index_is_named(name):
    text = (ROOT / name).read_text()
    for forbidden in ("://", "--index-url", "--extra-index-url", "--find-links", "pypi"):
        assert forbidden not in text.lower()


def test_the_lock_covers_the_project():
    for requirement in dependencies() + overrides():
        assert LOCKED[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_conda_hands_over_to_the_lock():
    """Conda writes the pip lines to a file beside environment.yml and calls pip like this.

    Where all is installed already, pip needs no index (--no-index) and would install nothing.
    """
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, last = environment["dependencies"]
    assert conda == ["python=3.11", "pip"]
    assert last["pip"] == ["-r requirements.lock"]
    assert environment["name"] == "fedlab"
    file = ROOT / f"condaenv.{os.getpid()}.requirements.txt"
    try:
        file.write_text("\n".join(last["pip"]))
        call = ["install", "-U", "-r", str(file), "--exists-action=b"]
        done = subprocess.run(
            [sys.executable, "-m", "pip", *call, "--dry-run", "--no-index", "-qq", "--report=-"],
            env=os.environ | {"PIP_NO_DEPS": "1"},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        file.unlink(missing_ok=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["install"] == []


# They run in environments of their own.
PEERS = [path.parents[1] / f"run_{path.stem}.py" for path in ROOT.glob("benchmarks/peers/*/*.txt")]


def sources():
    """The Python text of all that runs in the course's environment."""
    for folder in ("fedlab", "tests", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            if path not in PEERS:
                yield path, path.read_text()
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                yield path, re.sub(r"^\s*[%!].*$", "", cell.source, flags=re.MULTILINE)


def imported_packages():
    """Top-level names of what the course imports and does not hold itself."""
    names = {}
    for path, text in sources():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module]
            else:
                continue
            names |= {module.partition(".")[0]: path.name for module in modules}
    own = {"fedlab", "helpers"}
    own |= {path.stem for path in (ROOT / "benchmarks").rglob("*.py")}
    return {name: path for name, path in names.items() if name not in own | sys.stdlib_module_names}


def modules_of(distribution):
    """The modules to import for a distribution: the one of its name, else all public ones."""
    found = [
        module
        for module, owners in importlib.metadata.packages_distributions().items()
        if canonicalize_name(distribution) in map(canonicalize_name, owners)
    ]
    same = [m for m in found if canonicalize_name(m) == canonicalize_name(distribution)]
    return same or [module for module in found if not module.startswith("_")]


def test_all_that_is_imported_is_locked():
    owners = importlib.metadata.packages_distributions()
    for module, path in imported_packages().items():
        locked = {canonicalize_name(owner) for owner in owners.get(module, [])} & LOCKED.keys()
        assert locked, f"{path} imports {module}, which no package of the lock holds"


def test_every_module_that_we_use_imports():
    by_name = {requirement.name: modules_of(requirement.name) for requirement in dependencies()}
    assert [name for name, modules in by_name.items() if not modules] == []
    modules = set(imported_packages()).union(*by_name.values())
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    ordered = sorted(modules, key=lambda name: (name != "setuptools", name))  # it wants to be first
    command = [sys.executable, "-W", "ignore", "-c", code, *ordered]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def jupyterlab(tmp_path):
    """The server as `./lab` starts it, on a free port: its log, and its address with the token."""
    if Path(sys.prefix) != ROOT / ".venv":
        pytest.skip("the tests do not run in the environment that ./lab builds")
    log = tmp_path / "log"
    with log.open("w") as file:
        command = [ROOT / "lab", "--no-browser", "--port=0"]
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    try:
        yield log, wait_for_address(log, server)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)


def wait_for_address(log, server):
    for _ in range(600):
        address = re.search(r"(http:\S+)/lab/tree/(\S+)\?token=(\w+)", log.read_text())
        if address:
            return address.groups()
        assert server.poll() is None, log.read_text()
        time.sleep(0.1)
    raise TimeoutError(log.read_text())


def fetch(address, token, data=None):
    header = {"Authorization": f"token {token}"}
    request = urllib.request.Request(address, data=data, headers=header)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.status, answer.read().decode()


def test_jupyterlab_loads_with_its_extensions(jupyterlab):
    log, (server, notebook, token) = jupyterlab
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", server)
    assert notebook == "notebooks/00_start_here.ipynb"
    status, page = fetch(f"{server}/lab", token)
    assert status == 200
    config = json.loads(
        re.search(r'id="jupyter-config-data"[^>]*>(.*?)</script>', page, re.DOTALL)[1]
    )
    extensions = {extension["name"] for extension in config["federated_extensions"]}
    assert WIDGETS in extensions
    assert not [name for name in config["disabledExtensions"] if name.startswith(WIDGETS)]
    assert config["news"] == {"disabled": True}
    with pytest.raises(urllib.error.HTTPError, match="403"):
        fetch(f"{server}/api/contents", "a-guess")
    status, _ = fetch(f"{server}/api/kernels", token, data=b'{"name": "python3"}')
    assert status == 201
    time.sleep(2)  # for what the kernel would print when it starts
    assert "WARN" not in log.read_text()
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize(
    "text, sanitised",
    [
        ("accuracy 0.9512 loss 2.3026", None),
        ("round 10 of 25: 457 digits, 10 clients, 693,962 parameters, 2.8 MB", None),
        ("epsilon 5.9, 12 samples, 3 steps, 0.25 +- 0.01", None),
        ("round 3 took 1.25 s", "round 3 took TIME"),
        ("[00:05<00:12, 1.31s/it]", "[CLOCK<CLOCK, RATE]"),
        ("saved to /home/ann/course/run.csv, accuracy 0.9", "saved to FOLDER, accuracy 0.9"),
        ("TensorFlow 2.15.1 scores 0.91", "VERSION scores 0.91"),
    ],
)
def test_only_timings_paths_and_versions_are_sanitised(text, sanitised):
    rules = (ROOT / "tests" / "nbval_sanitize.cfg").read_text()
    result = text
    for pattern, replacement in re.findall(r"^regex: (.*)\nreplace: (.*)$", rules, re.MULTILINE):
        result = re.sub(pattern, replacement, result)
    assert result == (sanitised or text)
