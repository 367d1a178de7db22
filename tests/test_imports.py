"""The rooms of the house stand in one order, and nothing in them does what no module here may."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fedlab

PACKAGE = Path(fedlab.__file__).parent
# A module imports only what is above it.
ORDER = """
fedlab._process
fedlab
fedlab.files
fedlab.ranking
fedlab.partition
fedlab.sampling
fedlab.datasets.client_data
fedlab.datasets.digits
fedlab.datasets.fetch
fedlab.datasets.emnist
fedlab.datasets.loading
fedlab.datasets
fedlab.augmentation
fedlab.preprocessing
fedlab.models
fedlab.aggregators
fedlab.schedules
fedlab.optimizers
fedlab.algorithms._parts
fedlab.algorithms.fed_opt
fedlab.algorithms.gradients
fedlab.algorithms.federated_evaluation
fedlab.algorithms
fedlab.privacy
fedlab.privacy.fixed_size
fedlab.privacy.accounting
fedlab.privacy.noise
fedlab.privacy.mechanisms
fedlab.privacy.secure_sum
fedlab.privacy.shamir
fedlab.privacy.masking
fedlab.privacy.secagg_messages
fedlab.privacy.secagg_client
fedlab.privacy.secagg_server
fedlab.privacy.secagg
fedlab.privacy.ckks
fedlab.privacy.encryption
fedlab.privacy.shares
fedlab.worker
fedlab.runtime
fedlab.runtime.disk_cache
fedlab.runtime.functions
fedlab.runtime.rewrites
fedlab.runtime.graphs
fedlab.runtime.clients
fedlab.runtime.values
fedlab.runtime.forms
fedlab.runtime.runner
fedlab.runtime.local
fedlab.runtime.cluster_connection
fedlab.runtime.cluster_worker
fedlab.runtime.cluster
fedlab.runtime.native
fedlab.runtime.context
fedlab.runtime.compilation
fedlab.checkpoints
fedlab.training
fedlab.evaluation
fedlab.personalization
fedlab.privacy.similarity
fedlab.privacy.inversion
fedlab.privacy.membership
fedlab.privacy.canaries
fedlab.privacy.audit
fedlab.privacy.poisoning
fedlab.results
fedlab.statistics
fedlab.study.config
fedlab.study.central
fedlab.study.federation
fedlab.study.processes
fedlab.study.execution
fedlab.study.store
fedlab.study.plans
fedlab.study.report
fedlab.study
fedlab.study.command
fedlab.plots.checks
fedlab.plots.style
fedlab.plots.data
fedlab.plots.runs
fedlab.plots.studies
fedlab.plots.noniid
fedlab.plots.privacy
fedlab.plots.attacks
fedlab.plots.differential_privacy
fedlab.plots.ledger
fedlab.plots
fedlab.diagrams
fedlab.doctor
fedlab.__main__
""".split()
PICTURES = [name for name in ORDER if name.startswith(("fedlab.plots", "fedlab.diagrams"))]
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "joblib", "marshal", "shelve", "socket"}
FORBIDDEN_MODULES |= {"socketserver", "http", "xmlrpc"}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {module_name(path): ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}


def imported(name: str, tree: ast.AST) -> set[str]:
    """All that is imported anywhere in a module, functions included; absolute names."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import; write it out."
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                found.add(submodule if submodule in TREES else node.module)
    return found


def test_every_module_has_its_place_in_the_order():
    assert sorted(TREES) == sorted(ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_imports_only_what_is_above(name):
    own = {found for found in imported(name, TREES[name]) if found.split(".")[0] == "fedlab"}
    above = ORDER[: ORDER.index(name)]
    climbing = own - set(above)
    assert not climbing, f"{name} imports {sorted(climbing)}, which does not stand above it."


def test_the_walk_sees_an_import_that_climbs():
    climbs = ast.parse("def f():\n    from fedlab import evaluation\n    import fedlab.plots.runs")
    assert imported("fedlab.training", climbs) == {"fedlab.evaluation", "fedlab.plots.runs"}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_need_no_room_with_tensorflow(name):
    found = imported(name, TREES[name])
    assert {one for one in found if one.startswith("fedlab.")} <= {"fedlab.ranking", *PICTURES}
    assert not {one for one in found if one.split(".")[0].startswith(("tensorflow", "keras"))}


@pytest.mark.parametrize(
    "modules", ["fedlab", "fedlab.doctor, fedlab.__main__, fedlab.diagrams, fedlab.worker"]
)
def test_import_does_not_load_tensorflow(modules):
    code = f"import {modules}, sys; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


@pytest.mark.parametrize("name", ORDER)
def test_runs_nothing_that_it_reads_and_serves_nothing(name):
    roots = {found.split(".")[0] for found in imported(name, TREES[name])}
    assert not roots & FORBIDDEN_MODULES
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "compile", "os.system"), f"{name}: {called}"
            keywords = {keyword.arg for keyword in node.keywords}
            assert not keywords & {"allow_pickle", "shell"}, f"{name}: {ast.unparse(node)}"
            # np.load refuses pickles unless told otherwise; pandas has a reader of its own.
            assert not called.endswith("read_pickle"), f"{name}: {called}"


@pytest.mark.parametrize("name", ORDER)
def test_raises_errors_of_its_own_and_asserts_nothing(name):
    lines = [node.lineno for node in ast.walk(TREES[name]) if isinstance(node, ast.Assert)]
    assert not lines, f"{name}: assert in lines {lines}; raise ValueError with the bad value."
