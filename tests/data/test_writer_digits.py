"""The writer digits, made of public files: the published ones or none, and the same digits as ever."""

import gzip
import hashlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import serving, tiny

from fedlab import data
from fedlab.data import writer_digits
from fedlab.data.federated_dataset import digest_splits
from fedlab.experiments import STUDIES

ROOT = Path(__file__).resolve().parents[2]
IMAGES, TRAIN_LABELS, TEST_LABELS = (source.name for source in writer_digits.SOURCE_FILES)
WAYS = ("Three ways", 'load("writer_digits", folder=', 'load("digits")')


def shared(name: str) -> Path:
    for parent in Path(__file__).resolve().parents:
        if (path := parent / "shared/data" / name).exists():
            return path
    pytest.skip(f"../shared/data/{name} is for development and is not here.")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def pack_npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


# The real digits, from the file that others cannot load


@pytest.fixture(scope="module")
def label_files():
    folder = shared("qmnist")
    return {name: (folder / name).read_bytes() for name in (TRAIN_LABELS, TEST_LABELS)}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    path = shared("writer-digits/emnist_all.sqlite.lzma")
    return data.load_sqlite(path, cache_dir=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def rows(label_files):
    """QMNIST's extended labels of MNIST's 70,000 digits."""
    counts = {TRAIN_LABELS: 60_000, TEST_LABELS: 10_000}
    tables = []
    for name, content in label_files.items():
        table = np.frombuffer(gzip.decompress(content)[12:], ">i4").reshape(-1, 8)
        tables.append(table[: counts[name]])
    return np.concatenate(tables)


def interleave(labels, train_labels, test_labels):
    """Returns which of a writer's digits are test digits: a merge of both orders that fits the labels.

    The first that fits; equal neighbours may have changed places, which changes nothing below.
    """
    fits = np.zeros((len(train_labels) + 1, len(test_labels) + 1), bool)
    fits[-1, -1] = True
    for k in range(len(train_labels), -1, -1):
        for m in range(len(test_labels), -1, -1):
            if k < len(train_labels) and train_labels[k] == labels[k + m]:
                fits[k, m] |= fits[k + 1, m]
            if m < len(test_labels) and test_labels[m] == labels[k + m]:
                fits[k, m] |= fits[k, m + 1]
    k = m = 0
    is_test = []
    for label in labels:
        to_train = k < len(train_labels) and train_labels[k] == label and fits[k + 1, m]
        is_test.append(not to_train)
        k, m = (k + 1, m) if to_train else (k, m + 1)
    assert fits[0, 0] and (k, m) == (len(train_labels), len(test_labels))
    return np.array(is_test)


@pytest.fixture(scope="module")
def mnist(expected, rows):
    """MNIST's images as far as the writers' digits show them, the others blank, and its labels."""
    images = np.zeros((70_000, 28, 28), np.uint8)
    for client_id in expected[0].client_ids:
        of_writer = np.flatnonzero(rows[:, 2] == int(client_id[1:]))
        of_writer = of_writer[np.argsort(rows[of_writer, 3])]
        halves = [split.examples(client_id) for split in expected]
        is_test = interleave(rows[of_writer, 0], *(half.labels for half in halves))
        for half, examples in zip((~is_test, is_test), halves, strict=True):
            images[of_writer[half]] = np.rint(255 * (1 - examples.pixels.astype(np.float64)))
    return images, rows[:, 0].astype(np.uint8)


def test_the_digits_made_of_arrays_are_those_of_the_file(expected, mnist, rows):
    splits = writer_digits.build_writer_digits(*mnist, rows)
    for ours, theirs in zip(splits, expected, strict=True):
        tiny.assert_holds(ours, theirs)
    assert digest_splits(splits) == digest_splits(expected) == writer_digits.KNOWN_DIGEST


def test_the_package_s_list_is_of_the_file_s_writers_and_test_digits(expected):
    with np.load(ROOT / "fedlab/data/writer_digits.npz", allow_pickle=False) as selection:
        writers, digests = selection["writers"], selection["test_digests"]
    train, test = expected
    assert [f"w{number:04d}" for number in writers] == train.client_ids
    pixels = data.pool(test).pixels.astype(np.float64)
    images = np.rint(255 * (1 - pixels)).astype(np.uint8)
    full = sorted(hashlib.sha256(image.tobytes()).digest() for image in images)
    assert [digest.tobytes() for digest in digests] == [digest[:6] for digest in full]


@pytest.fixture
def folder(tmp_path, monkeypatch, mnist, label_files):
    """The three files; that of the images is taken for the published one."""
    images, labels = mnist
    train, test = slice(60_000), slice(60_000, None)
    arrays = {
        "x_train": images[train],
        "y_train": labels[train],
        "x_test": images[test],
        "y_test": labels[test],
    }
    contents = label_files | {IMAGES: pack_npz(**arrays)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    first, *others = writer_digits.SOURCE_FILES
    sources = (first._replace(sha256=sha256(contents[IMAGES])), *others)
    monkeypatch.setattr(writer_digits, "SOURCE_FILES", sources)
    return tmp_path


def test_the_data_set_goes_by_its_name_and_its_results_by_those_of_the_file(folder, expected):
    dataset = data.load("writer_digits", folder=str(folder))
    for ours, theirs in zip(dataset, expected, strict=True):
        tiny.assert_holds(ours, theirs)
    assert len(dataset.public_examples.labels) == 1797
    stored = pd.read_csv(ROOT / "results/ladder_writer_digits.csv", dtype=str)
    assert set(stored.dataset) == {dataset.name}
    assert set(stored.dataset_sha256) == {dataset.sha256}
    path = shared("writer-digits/emnist_all.sqlite.lzma")
    assert data.show_name("writer_digits") == data.show_name(str(path)) == dataset.name


def test_the_command_of_a_result_names_the_data_and_not_a_folder():
    study = STUDIES["ladder"]
    dataset = data.load(shared("writer-digits/emnist_all.sqlite.lzma"))
    assert "--dataset writer_digits " in study.command(study.configs[0], 0, dataset)
    for path in (ROOT / "results").glob("*.csv"):
        assert "/data/" not in path.read_text()


def test_the_variable_loads_what_lies_in_the_cache_packed_or_not(folder, monkeypatch):
    cache = folder / "fedlab" / "writer_digits"
    cache.mkdir(parents=True)
    for name in (IMAGES, TRAIN_LABELS):
        (folder / name).rename(cache / name)
    unpacked = cache / TEST_LABELS.removesuffix(".gz")
    unpacked.write_bytes(gzip.decompress((folder / TEST_LABELS).read_bytes()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.setenv("FEDLAB_DATASET", "writer_digits")
    dataset = data.load()
    assert (dataset.name, dataset.argument) == ("writer digits", "writer_digits")
    assert len(dataset.train.client_ids) == 640


def test_other_digits_are_refused(mnist, rows, expected):
    images, labels = mnist
    with pytest.raises(ValueError, match="must have the shapes .* images of uint8. Found .*60000"):
        writer_digits.build_writer_digits(images[:60_000], labels, rows)
    with pytest.raises(ValueError, match="must have the shapes .* images of float32"):
        writer_digits.build_writer_digits(images.astype(np.float32), labels, rows)
    with pytest.raises(ValueError, match=r"in MNIST's order. [\d,]+ of 70,000 labels differ"):
        writer_digits.build_writer_digits(images, labels[::-1], rows)
    with pytest.raises(ValueError, match="must be MNIST's. 0 of the 5,423 test digits are there"):
        writer_digits.build_writer_digits(255 - images, labels, rows)
    train_digit = np.rint(255 * (1 - expected[0].examples("w0000").pixels[0])).astype(np.uint8)
    (row,) = np.flatnonzero((images == train_digit).all(axis=(1, 2)))
    changed = images.copy()
    changed[row, 0, 0] ^= 1
    with pytest.raises(ValueError, match="SHA-256 .* is the known one"):
        writer_digits.build_writer_digits(changed, labels, rows)


# The files, by small ones that stand for them


SMALL = {
    IMAGES: pack_npz(x_train=np.zeros((1, 28, 28), np.uint8)),
    TRAIN_LABELS: gzip.compress(b"labels to train on"),
    TEST_LABELS: gzip.compress(b"labels to test on"),
}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "caches" / "fedlab" / "writer_digits"


@pytest.fixture
def servers(cache, monkeypatch):
    """Servers of the three files, each of which is taken for the published one."""
    with (
        serving.serve(SMALL[IMAGES]) as images,
        serving.serve(SMALL[TRAIN_LABELS]) as train,
        serving.serve(SMALL[TEST_LABELS]) as test,
    ):
        servers = (images, train, test)
        sources = tuple(
            source._replace(url=server.url, sha256=sha256(SMALL[source.name]))
            for source, server in zip(writer_digits.SOURCE_FILES, servers, strict=True)
        )
        monkeypatch.setattr(writer_digits, "SOURCE_FILES", sources)
        yield servers


def stop_at_the_arrays(monkeypatch):
    """The small files hold no digits: they are read and checked, and then this test ends."""
    loaded = []
    monkeypatch.setattr(np, "load", lambda file, **options: loaded.append(options) or 1 / 0)
    return loaded


def test_each_file_is_downloaded_once_and_only_what_is_missing(servers, cache, monkeypatch):
    loaded = stop_at_the_arrays(monkeypatch)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            data.load_writer_digits()
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == SMALL
    assert cache.stat().st_mode & 0o777 == 0o700
    assert [server.num_requests for server in servers] == [1, 1, 1]
    (cache / TEST_LABELS).unlink()
    with pytest.raises(ZeroDivisionError):
        data.load("writer_digits")
    assert [server.num_requests for server in servers] == [1, 1, 2]
    assert loaded == [{"allow_pickle": False}] * 3


ANSWERS = {
    "cut_short": (ConnectionError, lambda good: {"content": good[:20], "claimed": len(good)}),
    "not_found": (ConnectionError, lambda good: {"content": b"no", "status": 404}),
    "cut_before_upload": (ValueError, lambda good: {"content": good[:20]}),
    "sign_in_page": (ValueError, lambda good: {"content": b"<html>Sign in</html>"}),
    "endless": (ValueError, lambda good: {"content": bytes(200_000)}),
}


@pytest.mark.parametrize("number", [0, 2])
@pytest.mark.parametrize("answer", ANSWERS)
def test_a_download_that_is_not_the_published_file_is_not_kept_and_the_ways_are_named(
    servers, cache, monkeypatch, answer, number
):
    monkeypatch.setattr(writer_digits, "_MAX_FILE_BYTES", 100_000)
    error, build_answer = ANSWERS[answer]
    source = writer_digits.SOURCE_FILES[number]
    servers[number].answer(**build_answer(SMALL[source.name]))
    with pytest.raises(error) as caught:
        data.load_writer_digits()
    assert all(way in str(caught.value) for way in (source.url, str(cache), *WAYS))
    assert [path.name for path in cache.iterdir()] == list(SMALL)[:number]
    servers[number].answer(SMALL[source.name])
    stop_at_the_arrays(monkeypatch)
    with pytest.raises(ZeroDivisionError):
        data.load_writer_digits()


def write_small(folder, **changed):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (SMALL | changed).items():
        (folder / name).write_bytes(content)


OTHER_IMAGES = {
    "other_digits": pack_npz(x_train=np.ones((1, 28, 28), np.uint8)),
    "objects": pack_npz(x_train=np.array([{"a": 1}], object)),
    "no_archive": b"<html>Sign in</html>",
    "nothing": b"",
    "huge": bytes(2 * 10**7 + 1),
}


@pytest.mark.parametrize("kind", OTHER_IMAGES)
def test_an_mnist_file_that_is_something_else_is_refused_unread(servers, tmp_path, kind):
    write_small(tmp_path / "own", **{IMAGES: OTHER_IMAGES[kind]})
    known = sha256(SMALL[IMAGES])
    with pytest.raises(
        ValueError, match=f"own/{IMAGES} is not the published file.* must be {known}"
    ):
        data.load_writer_digits(folder=tmp_path / "own")
    assert (tmp_path / "own" / IMAGES).read_bytes() == OTHER_IMAGES[kind]


@pytest.mark.parametrize("name", [TRAIN_LABELS, TEST_LABELS.removesuffix(".gz")])
def test_other_labels_are_refused_packed_and_unpacked(servers, cache, name):
    write_small(cache, **{name: b"others"})
    with pytest.raises(ValueError, match=f"{name} is not the published .*delete it: the next call"):
        data.load_writer_digits()
    assert [server.num_requests for server in servers] == [0, 0, 0]


def test_a_folder_says_all_that_is_missing_and_nothing_is_downloaded(servers, tmp_path):
    write_small(tmp_path)
    (tmp_path / IMAGES).unlink()
    (tmp_path / TEST_LABELS).rename(tmp_path / "labels.gz")
    with pytest.raises(FileNotFoundError) as caught:
        data.load("writer_digits", folder=tmp_path)
    told = str(caught.value)
    assert all(text in told for text in (str(tmp_path), IMAGES, TEST_LABELS, servers[0].url))
    assert TRAIN_LABELS not in told
    with pytest.raises(FileNotFoundError, match=f"'{tmp_path}/none' has no {IMAGES}"):
        data.load_writer_digits(folder=tmp_path / "none")
    with pytest.raises(TypeError, match="folder must be a folder's path. Found 3"):
        data.load_writer_digits(folder=3)
    assert [server.num_requests for server in servers] == [0, 0, 0]


def test_the_published_files_are_asked_for_by_https():
    for source in writer_digits.SOURCE_FILES:
        assert source.url.startswith("https://") and source.url.endswith(f"/{source.name}")
