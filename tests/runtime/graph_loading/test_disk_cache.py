"""What is kept on disk saves time and changes nothing, whatever happens to the files."""

import dataclasses
import importlib.util
import io
import json
import os
import platform
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from helpers import tiny
from helpers.mounts import run_with_mounts

from fedlab import runtime
from fedlab.runtime.graph_loading import disk_cache
from fedlab.runtime.local import map_reduce_form

remember = disk_cache.remember


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv(disk_cache.FOLDER_VARIABLE, str(tmp_path / "new"))
    return tmp_path / "new" / disk_cache.FOLDER_NAME


def never():
    raise AssertionError("This is on disk.")


def only_file(folder):
    (path,) = folder.iterdir()
    return path


@pytest.mark.parametrize("content", [b"", b"x", os.urandom(100_000)])
def test_it_is_made_once(content):
    assert remember(lambda: content, "kind", b"key") == content
    assert remember(never, "kind", b"key") == content


def test_another_key_or_kind_is_another_thing():
    keys = [("a", b"12"), ("a", b"1", b"2"), ("a", b"12", b""), ("a",), ("b", b"12")]
    for number, key in enumerate(keys):
        assert remember(lambda number=number: bytes([number]), *key) == bytes([number])
    assert [remember(never, *key) for key in keys] == [bytes([n]) for n in range(len(keys))]


def test_an_error_is_raised_and_not_kept(folder):
    with pytest.raises(AssertionError, match="on disk"):
        remember(never, "kind")
    assert not folder.exists()
    assert remember(lambda: b"found", "kind") == b"found"


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-1])


def change_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)


def let_others_write(path):
    path.chmod(0o622)


def let_others_exchange(path):
    path.parent.chmod(0o777)


def take_another(path):
    remember(lambda: b"another", "kind", b"key")
    (another,) = set(path.parent.iterdir()) - {path}
    another.rename(path)


def link_the_file(path):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def link_the_folder(path):
    path.parent.rename(path.parent.with_name("elsewhere"))
    path.parent.symlink_to("elsewhere")


def make_a_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "damage",
    [
        cut_short,
        change_a_bit,
        let_others_write,
        let_others_exchange,
        take_another,
        link_the_file,
        link_the_folder,
        make_a_folder,
    ],
)
def test_a_file_that_is_damaged_or_not_ours_alone_does_not_count(damage, folder):
    remember(lambda: b"first", "kind")
    damage(only_file(folder))
    linked = [(path, path.stat()) for path in (folder, *folder.iterdir()) if path.is_symlink()]
    assert remember(lambda: b"second", "kind") == b"second"
    assert [(path, path.stat()) for path, _ in linked] == linked  # nothing is written through it


def test_a_damaged_file_is_mended(folder):
    remember(lambda: b"found", "kind")
    only_file(folder).write_bytes(b"")
    remember(lambda: b"found", "kind")
    assert remember(never, "kind") == b"found"
    only_file(folder)


def test_nobody_else_reads_the_files(folder):
    remember(lambda: b"found", "kind")
    assert [path.stat().st_mode & 0o077 for path in (folder, only_file(folder))] == [0, 0]


def test_a_folder_that_cannot_be_made_costs_time_and_no_more(folder):
    folder.parent.mkdir(parents=True)
    folder.write_text("a file is in the way")
    assert [remember(lambda n=n: bytes([n]), "kind") for n in (1, 2)] == [b"\1", b"\2"]


def test_a_user_without_a_home_waits_longer_and_no_more(monkeypatch):
    def find_nothing():
        raise FileNotFoundError("no home")

    monkeypatch.delenv(disk_cache.FOLDER_VARIABLE)
    monkeypatch.setattr(disk_cache.files, "cache_dir", find_nothing)
    assert [remember(lambda n=n: bytes([n]), "kind") for n in (1, 2)] == [b"\1", b"\2"]


def test_a_full_disk_costs_time_and_leaves_nothing(folder, tmp_path):
    out = run_with_mounts(
        [f"-t tmpfs -o size=1m,mode=700 none {tmp_path}"],
        """
        import os
        from pathlib import Path
        from fedlab.runtime.graph_loading import disk_cache
        sizes = [len(disk_cache.remember(lambda: bytes(2**21), "kind")) for _ in range(2)]
        print(sizes, list(Path(os.environ["FEDLAB_COMPILED"]).rglob("*-*")))
        """,
    )
    assert out.splitlines()[-1] == f"[2097152, 2097152] [PosixPath('{folder}')]"


def test_a_folder_that_can_only_be_read_will_do(monkeypatch):
    remember(lambda: b"found", "kind")

    def refuse(*args):
        raise OSError("read-only file system")

    monkeypatch.setattr(os, "utime", refuse)
    assert remember(never, "kind") == b"found"


# Surroundings


def load_anew():
    """The module as another session has it, which looks at its surroundings itself."""
    spec = importlib.util.spec_from_file_location(disk_cache.__name__, disk_cache.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def change_flags(patch):
    open_fn = open

    def open_other(file, *args, **options):
        if file == "/proc/cpuinfo":
            return io.StringIO("flags: none\n")
        return open_fn(file, *args, **options)

    patch.setattr("builtins.open", open_other)


def change_code(patch):
    read_fn = Path.read_bytes
    patch.setattr(Path, "read_bytes", lambda path: read_fn(path) + b"#" * (path.suffix == ".py"))


SURROUNDINGS = {
    "tensorflow": lambda patch: patch.setattr(tf, "__version__", "2.16.0"),
    "build": lambda patch: patch.setattr(tf.version, "GIT_VERSION", "another"),
    "setting": lambda patch: patch.setenv("TF_ENABLE_ONEDNN_OPTS", "0"),
    "machine": lambda patch: patch.setattr(platform, "machine", lambda: "another"),
    "processor": change_flags,
    "package code": change_code,
}


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_other_surroundings_are_another_thing(name, monkeypatch):
    load_anew().remember(lambda: b"here", "kind")
    with monkeypatch.context() as patch:
        SURROUNDINGS[name](patch)
        assert load_anew().remember(lambda: b"there", "kind") == b"there"
    assert load_anew().remember(never, "kind") == b"here"


def test_the_package_code_is_all_that_the_runtime_has(monkeypatch):
    seen, read_fn = [], Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: seen.append(path) or read_fn(path))
    load_anew()
    files = list(Path(disk_cache.__file__).parents[1].rglob("*.py"))
    assert {"graphs.py", "map_reduce_form.py", "rewrites.py", "functions.py"} <= {
        path.name for path in files
    }
    assert sorted(seen) == sorted(files)


# Size


def test_what_was_not_used_for_longest_goes_first(folder, monkeypatch):
    monkeypatch.setattr(disk_cache, "MAX_BYTES", 3 * 1032)
    for age, key in ((30, b"1"), (20, b"2"), (10, b"3")):
        remember(lambda key=key: key * 1000, "kind", key)
        for path in folder.iterdir():  # the others are already older
            os.utime(path, (path.stat().st_mtime - age,) * 2)
    assert remember(never, "kind", b"1") == b"1" * 1000  # used: now it is the youngest
    remember(lambda: b"4" * 1000, "kind", b"4")
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 3 * 1032
    for key in (b"1", b"3", b"4"):
        assert remember(never, "kind", key) == key * 1000
    assert remember(lambda: b"anew", "kind", b"2") == b"anew"


def test_what_cannot_be_removed_does_not_keep_the_rest(folder, monkeypatch):
    monkeypatch.setattr(disk_cache, "MAX_BYTES", 10)
    (folder / "a folder").mkdir(parents=True, mode=0o700)
    folder.chmod(0o700)
    abandoned = folder / f"kind-{'0' * 32}.fedlab-part-{'0' * 12}"
    abandoned.touch()
    os.utime(abandoned, (0, 0))
    for key in (b"1", b"2"):
        remember(lambda: bytes(1000), "kind", key)
    assert [path.name for path in folder.iterdir()] == ["a folder"]


def test_what_is_very_large_is_not_kept(folder):
    large = bytes(disk_cache.MAX_BYTES // 4)
    assert remember(lambda: large, "kind") == large
    assert not folder.exists()


# What is kept of a process


def cut_nothing(monkeypatch):
    for name in ("get_map_reduce_form_for_computation", "get_state_initialization_computation"):
        monkeypatch.setattr(tff.backends.mapreduce, name, lambda *args, **options: never())


def first_round(runner):
    return runner.next(runner.initialize(), tiny.create_cohort())


def test_a_process_from_disk_runs_the_same_bits(process, monkeypatch):
    made = runtime.cut(process)
    expected = first_round(runtime.compile(process))
    cut_nothing(monkeypatch)
    found = runtime.cut(process)
    for field in dataclasses.fields(runtime.Form):
        assert describe(getattr(found, field.name)) == describe(getattr(made, field.name))
    output = first_round(runtime.compile(process))
    assert tiny.same_bits(output, expected)
    assert (
        type(output.state) is type(expected.state) is tff.learning.templates.LearningAlgorithmState
    )


def describe(value):
    is_piece = isinstance(value, map_reduce_form.Piece)
    return (value.graph, repr(value.type_signature)) if is_piece else value


def test_another_tff_cuts_anew(process, monkeypatch):
    runtime.cut(process)
    cut_nothing(monkeypatch)
    runtime.cut(process)
    monkeypatch.setattr(tff, "__version__", "0.99")
    with pytest.raises(runtime.NoFormError, match="on disk"):
        runtime.cut(process)


def test_what_cannot_be_cut_is_not_kept(folder):
    @tff.federated_computation(tff.FederatedType(np.float32, tff.CLIENTS))
    def not_a_round(values):
        return values

    for _ in range(2):
        with pytest.raises(runtime.NoFormError):
            runtime.cut(not_a_round)
    assert not folder.exists()


# Sessions one after the other: forks of a process that has imported TFF and not used it.
SESSIONS = """
    import json, os, sys
    from pathlib import Path
    from fedlab import runtime
    from helpers import tiny
    for _ in range(2):
        if os.fork() == 0:
            break
        if os.wait()[1]:
            sys.exit(1)
    else:
        sys.exit(0)
    runner = runtime.compile(tiny.build_process())
    weights = runner.next(runner.initialize(), tiny.create_cohort()).state.global_model_weights
    names = sorted(path.name for path in Path(sys.argv[1]).iterdir())
    print(json.dumps([names, [array.tobytes().hex() for array in weights.trainable]]), flush=True)
"""


def test_the_next_session_finds_all_that_this_one_left(folder, tmp_path):
    with (tmp_path / "out").open("w") as out:
        assert tiny.start(SESSIONS, str(folder), stdout=out).wait(tiny.TIMEOUT) == 0
    first, second = map(json.loads, (tmp_path / "out").read_text().splitlines())
    assert first == second  # the same files and the same weights
    assert {name.split("-")[0] for name in first[0]} >= {"form", "state", "function"}
