"""Whatever else lies in a folder that a user names is there afterwards, with its bytes and mode."""

import hashlib
import lzma
import os
import stat
import time
from pathlib import Path

import pandas as pd
import pytest
from helpers import serving, studies, tiny
from matplotlib.figure import Figure

import fedlab.runtime.native.worker
from fedlab import checkpoints, data, files
from fedlab.checkpoints import Checkpoints
from fedlab.data import download
from fedlab.experiments import Store, report, results, run_all, store
from fedlab.runtime.graph_loading import disk_cache

HEX = "0123456789abcdef" * 2
# Each looks like something that this program has written, or writes now; none was written by it.
FILES = [
    "thesis.docx", ".writable", "records.jsonl", "damaged_round_2", "round_7", "x.part-abc",
    "x.sqlite.part-abc", f"emnist_all.sqlite.part-{HEX[:12]}", "emnist_all.sqlite.fedlab-part-mine",
    f"emnist_all.sqlite.fedlab-part-{HEX[:11]}", f"emnist_all.sqlite.lzma-{HEX[:16]}.sqlite",
    "form-draft", f"form-{HEX}", f"state-{HEX}", f"function-{HEX}", f"pooling-{HEX}",
    f"form-{HEX}.part-{HEX[:12]}", f"form-{HEX[:31]}.fedlab-part-{HEX[:12]}", "download-list.txt",
    "tff-worker-notes", "tff-worker-0.86-old", "tff-worker-0.86.0-5-7.part-old", "study.json",
    f"{HEX[:16]}_0.json", f"{HEX[:16]}_0.json.damaged", "run.csv", "tiny.csv", "small_tiny.md",
    "events.out.tfevents.1", "built", ".measured.json", "found.json", files.MARKER,
    "claims.csv", "claims.md", "privacy_ledger.png", "record.md", "record.json", "mnist.npz", "lock",
]  # fmt: skip
FOLDERS = [
    "round_1", "round_2_temp1234", "damaged_round_1", "download-2019-family", "form-folder",
    ".fedlab-download-0123456789ab", "peers", "study", "compiled", "round_8",
]  # fmt: skip


def plant(folder: Path) -> None:
    """Fills a folder with foreign files of all kinds, each two days old."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(FILES):
        (folder / name).write_bytes(f"{name} is not fedlab's".encode())
        (folder / name).chmod((0o640, 0o444, 0o600)[number % 3])
    for name in FOLDERS:
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "photo.jpg").write_bytes(b"dear to somebody")
    with (folder / "holiday.raw").open("wb") as file:
        file.truncate(2**20)
    (folder / "round_3").symlink_to("round_1")
    (folder / "round_4_temp1234").symlink_to("nowhere")
    os.mkfifo(folder / f"function-{HEX[::-1]}")
    two_days_ago = (time.time() - 2 * 86_400,) * 2
    for path in folder.rglob("*"):
        os.utime(path, two_days_ago, follow_symlinks=False)


def snapshot(folder: Path) -> dict[str, tuple]:
    """Returns type, mode and content of everything below a folder, by name."""
    status = {str(path.relative_to(folder)): path.lstat() for path in folder.rglob("*")}
    return {name: (s.st_mode, read(folder / name, s.st_mode)) for name, s in status.items()}


def read(path: Path, mode: int) -> str:
    if stat.S_ISLNK(mode):
        return os.readlink(path)
    if not stat.S_ISREG(mode):
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """Folders that a user can name, and those in the cache, all full of foreign files."""
    names = ("compiled", "cache_dir", "checkpoint_dir", "csv", "tensorboard_dir", "study", "out")
    folders = {name: tmp_path / name for name in names} | {"xdg": tmp_path / "xdg"}
    inner = [
        tmp_path / "compiled" / disk_cache.FOLDER_NAME,
        *(tmp_path / "xdg" / "fedlab" / name for name in (".", "compiled", "study", "worker")),
    ]
    for folder in (*folders.values(), *inner):
        plant(folder)
    (tmp_path / "compiled" / disk_cache.FOLDER_NAME).chmod(0o700)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folders["xdg"]))
    monkeypatch.setenv(disk_cache.FOLDER_VARIABLE, str(folders["compiled"]))
    monkeypatch.setattr(disk_cache, "MAX_BYTES", 1000)
    monkeypatch.setattr(download, "ENOUGH_BYTES", 0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return folders


def test_every_foreign_file_is_there_after_everything_was_run(
    planted, tmp_path, whole, monkeypatch, train
):
    before = snapshot(tmp_path)

    # Training, with checkpoints that are resumed and pruned.
    paths = {name: planted[name] for name in ("checkpoint_dir", "tensorboard_dir")}
    # A process that no other test has built, so that it is compiled here.
    process = tiny.build_process(client_learning_rate=0.25)
    for num_rounds in (5, 6):
        train(num_rounds, **paths, csv_path=planted["csv"] / "curve.csv", process=process)
    saved = (planted["checkpoint_dir"] / checkpoints.FOLDER_NAME).glob("round_*")
    assert {path.name for path in saved} == {f"round_{number}.npz" for number in (4, 5, 6)}

    # What is compiled, in a folder that is named and in the cache.
    for key in range(3):
        disk_cache.remember(lambda: bytes(400), "form", bytes([key]))
    with monkeypatch.context() as patch:
        patch.delenv(disk_cache.FOLDER_VARIABLE)
        (planted["xdg"] / "fedlab" / "compiled").chmod(0o700)
        for key in range(3):
            disk_cache.remember(lambda: bytes(400), "form", bytes([key]))

    # Downloads and packed files; first a download that fails.
    packed = lzma.compress(whole.read_bytes(), format=lzma.FORMAT_ALONE)
    (tmp_path / "local.sqlite.lzma").write_bytes(packed)
    for cache_dir in (planted["cache_dir"], None):
        with serving.serve(packed) as server:
            server.answer(b"no", status=404)
            with pytest.raises(ConnectionError):
                data.load_emnist(url=server.url, cache_dir=cache_dir)
            server.answer(packed)
            data.load_emnist(url=server.url, cache_dir=cache_dir)
        data.load_sqlite(tmp_path / "local.sqlite.lzma", cache_dir=cache_dir)

    # TFF's worker.
    with monkeypatch.context() as patch:
        patch.setattr(
            fedlab.runtime.native.worker, "_copy_worker", lambda source, target: target.touch(0o700)
        )
        (planted["xdg"] / "fedlab" / "worker").chmod(0o700)
        with fedlab.runtime.native.worker._open_worker(tmp_path / "unused") as worker:
            folder = Path(os.readlink(f"/proc/self/fd/{worker.fileno()}")).parent
        assert folder == planted["xdg"] / "fedlab" / "worker"

    # A study.
    dataset = studies.create_dataset()
    with pytest.raises(ValueError, match="is not a study's folder"):
        Store(planted["study"], dataset)
    finished = Store(store.default_folder(dataset.name), dataset)
    study = studies.build_study(studies.CONFIG)
    list(run_all(study, study.configs, [0], dataset, finished, progress=False))
    run = finished.load(studies.CONFIG, 0)
    curve = report.build_curve(studies.CONFIG, 0, run.records)
    report.write_csv(planted["out"] / "rates_tiny_curves.csv", curve)
    rows = curve.assign(dataset=dataset.name)
    digests = {dataset.name: dataset.sha256}
    results.write_results(planted["out"] / "result.csv", rows, seed=0, digests=digests)

    after = snapshot(tmp_path)
    changed = {name for name, content in before.items() if not same(name, after.get(name), content)}
    assert changed == set()


def same(name: str, after: tuple | None, before: tuple) -> bool:
    if Path(name) in (
        Path("xdg/fedlab/compiled"),
        Path("xdg/fedlab/worker"),
    ):  # the test itself has closed it to others
        return after == (stat.S_IFDIR | 0o700, "")
    return after == before


# The ways one by one


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    return path


def test_a_foreign_csv_is_refused_before_the_first_round(train, target):
    calls = []
    with pytest.raises(ValueError, match="file exists and was not written by fedlab"):
        train(csv_path=target, cohort_fn=calls.append)
    assert calls == []
    assert target.read_text() == "old"


def test_an_empty_file_and_a_run_s_csv_are_replaced(train, target):
    target.write_text("")
    for num_rounds in (1, 2):
        train(num_rounds, csv_path=target)
        assert len(pd.read_csv(target)) == num_rounds


@pytest.mark.parametrize(
    "write",
    [
        lambda path, table: results.write_results(path, table, seed=0, digests={"tiny": "00"}),
        report.write_csv,
        lambda path, table: report.write_report(path, "rates", table),
        lambda path, table: files.write_picture(path, Figure().savefig),
    ],
)
def test_a_foreign_file_is_not_replaced_by_results(tmp_path, target, write):
    dataset = studies.create_dataset()
    rows = [
        {"name": name, "group": "g", "seed": seed, "dataset": dataset.name, "accuracy": 0.5}
        | {"worst_decile_accuracy": 0.5, "diverged_in_round": None, "num_rounds_done": 1}
        for name in ("first", "second")
        for seed in (0, 1)
    ]
    table = pd.DataFrame(rows)
    write(tmp_path / "new", table)
    write(tmp_path / "new", table)  # its own
    with pytest.raises(ValueError, match="file exists and was not written by fedlab"):
        write(target, table)
    assert target.read_text() == "old"


def test_only_compiled_files_in_a_folder_of_their_own_are_removed(tmp_path, monkeypatch):
    monkeypatch.setenv(disk_cache.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(disk_cache, "MAX_BYTES", 0)
    folder = tmp_path / disk_cache.FOLDER_NAME
    folder.mkdir(mode=0o700)
    plant(tmp_path)
    plant(folder)
    before = snapshot(tmp_path)
    disk_cache.remember(lambda: b"1", "form")
    assert snapshot(tmp_path) == before


def test_a_folder_in_the_place_of_the_checkpoints_is_refused(train, tmp_path):
    plant(tmp_path / checkpoints.FOLDER_NAME)
    before = snapshot(tmp_path)
    with pytest.raises(ValueError, match="fedlab-checkpoints was not made by fedlab"):
        train(checkpoint_dir=tmp_path)
    assert snapshot(tmp_path) == before


def test_a_marker_that_was_cut_short_by_a_kill_is_a_marker(tmp_path):
    Checkpoints(tmp_path).close()
    marker = tmp_path / checkpoints.FOLDER_NAME / files.MARKER
    for text in (marker.read_text()[:9], ""):
        marker.write_text(text)
        Checkpoints(tmp_path).close()


def test_what_has_the_name_of_a_checkpoint_and_is_none_stays(train, tmp_path):
    plant(tmp_path / "foreign")
    inner = tmp_path / checkpoints.FOLDER_NAME
    train(3, checkpoint_dir=tmp_path)
    (inner / "round_1.npz").unlink()
    (inner / "round_1.npz").symlink_to("../foreign/thesis.docx")
    (inner / "round_9.npz").symlink_to("../foreign/photo.jpg")
    (inner / "round_5.npz").symlink_to("../foreign/thesis.docx")  # is replaced, not followed
    (inner / "round_8.npz").mkdir()
    (inner / f"round_7.npz.fedlab-part-{HEX[:11]}").write_text("half")
    for name in ("round_6", "damaged_round_2.npz", "records.jsonl", "round_x.npz"):
        (inner / name).write_text("kept")
    before = snapshot(tmp_path)
    train(5, checkpoint_dir=tmp_path)
    after = snapshot(tmp_path)
    gone = {name for name in before if after.get(name) != before[name]}
    assert {Path(name).name for name in gone} == {"round_2.npz", "round_5.npz"}
