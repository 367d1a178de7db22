"""The writer digits: MNIST's images by the writers who QMNIST says wrote them, 640 real ones.

MNIST (LeCun, Cortes, Burges), QMNIST (Yadav and Bottou, "Cold Case: The Lost MNIST Digits", NeurIPS
2019) and Federated EMNIST are extracts of one source, NIST Special Database 19. This is not Federated
EMNIST: MNIST's digits are centred and size-normalised, Federated EMNIST's are not, so accuracies are
higher here and are reached faster.

Where this was written, nothing could be downloaded. The known SHA-256 of `mnist.npz` is the one in
Keras's source, `keras/src/datasets/mnist.py` of Keras 2.15. Those of the label files are of copies of
QMNIST's files, whose MD5 are the ones in torchvision's source, `torchvision/datasets/mnist.py`.

`writer_digits.npz` says which writers and which test digits: `writers`, uint16 (640,), the numbers of
NIST; `test_digests`, uint8 (5423, 6), of each test digit the first six bytes of the SHA-256 of its 784
bytes. Digests and not row numbers: they were read off a file of the finished data, and the labels do
not tell which of two equal neighbours went to the test.
"""

import gzip
import hashlib
import io
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fedlab import files
from fedlab.checks import check_instance
from fedlab.data import download
from fedlab.data.client_data import DIGIT_SHAPE, Examples, MemoryClientData
from fedlab.data.federated_dataset import digest_splits
from fedlab.dataset_names import WRITER_DIGITS, WRITER_DIGITS_FILES

NUM_TRAIN_ROWS, NUM_TEST_ROWS = 60_000, 10_000  # of MNIST
# Of `digest_splits`: ids, labels and pixels of all writers, training digits and then test digits.
KNOWN_DIGEST = "fe2e2273af6a0ac5719ef987caf443b0f1a86b0ea4c400b8bffd99e6f407989f"
_MAX_FILE_BYTES = 2 * 10**7  # mnist.npz has 11.5 million
_KERAS_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_QMNIST_URL = "https://raw.githubusercontent.com/facebookresearch/qmnist/master/"
_NUM_COLUMNS = 8  # of a row of QMNIST's extended labels
_LABEL, _WRITER, _INDEX = 0, 2, 3  # columns; the index counts the digits of one writer
_HEADER_BYTES = 12
_DIGEST_BYTES = 6
_SELECTION_FILE = "writer_digits.npz"


class SourceFile(NamedTuple):
    """A published file.

    Attributes:
        name: The file's name.
        url: Its address.
        sha256: Its SHA-256.
        unpacked_sha256: The SHA-256 of its content, if it is a `.gz` file.
    """

    name: str
    url: str
    sha256: str
    unpacked_sha256: str = ""

    def find(self, folder: Path) -> tuple[Path, str] | None:
        """Returns its path in a folder, packed or unpacked, and the SHA-256 that it must have."""
        known = {self.name.removesuffix(".gz"): self.unpacked_sha256, self.name: self.sha256}
        places = [(folder / name, sha256) for name, sha256 in known.items()]
        return next((place for place in places if place[0].is_file()), None)


_IMAGES, _TRAIN_LABELS, _TEST_LABELS = WRITER_DIGITS_FILES
SOURCE_FILES = (
    SourceFile(
        _IMAGES,
        _KERAS_URL + _IMAGES,
        "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
    ),
    SourceFile(
        _TRAIN_LABELS,
        _QMNIST_URL + _TRAIN_LABELS,
        "2c05dc77f6b916b38e455e97ab129a42a444f3dbef09b278a366f82904e0dd9f",
        "bb1b6e1ec7b04fd5696f1ed50b5f58f8ef195118edd5c93c81783df9740b8ac5",
    ),
    SourceFile(
        _TEST_LABELS,
        _QMNIST_URL + _TEST_LABELS,
        "9fbcbe594c3766fdf4f0b15c5165dc0d1e57ac604e01422608bb72c906030d06",
        "92d0ccb8c25f9c6534270fb4be7e1d24a1c6d315edfc8a638bfbd31c70f362dd",
    ),
)


def load_writer_digits(
    *, folder: str | os.PathLike[str] | None = None
) -> tuple[MemoryClientData, MemoryClientData]:
    """Returns MNIST's digits by 640 real writers, 48,860 to train on and 5,423 to test on.

    Three files are downloaded once, 12 MB together. Each is checked by its SHA-256 whenever it is
    read, and so is the result.

    Args:
        folder: A folder that contains `mnist.npz`, `qmnist-train-labels-idx2-int.gz` and
            `qmnist-test-labels-idx2-int.gz`, the last two also without `.gz`; nothing is downloaded.
            (Keras keeps the first in `~/.keras/datasets`.) Default: the folder `writer_digits` in
            `fedlab.files.cache_dir()`, and what is missing there is downloaded.

    Returns:
        `(train, test)`, with every writer in both, in Federated EMNIST's convention. The ids are
        `w0000`, `w0001`, `w0003`, …: NIST's numbers of the writers.

    Raises:
        TypeError: `folder` is no path.
        FileNotFoundError: The folder lacks a file, or there is no folder for caches.
        OSError: There is not enough space for the download.
        ConnectionError: A download failed; the message names other ways to the data.
        ValueError: A file is not the published one.
    """
    if folder is None:
        cache = files.cache_dir() / WRITER_DIGITS
        places = [source.find(cache) or _download(source, cache) for source in SOURCE_FILES]
        remedy = "To get the file again, delete it: the next call downloads it."
    else:
        check_instance("folder", folder, (str, os.PathLike), "a folder's path")
        places = _find_all(Path(folder).expanduser())
        remedy = "Get the file again."
    contents = [_read(path, sha256, remedy) for path, sha256 in places]
    with np.load(io.BytesIO(contents[0]), allow_pickle=False) as mnist:
        images = np.concatenate([mnist["x_train"], mnist["x_test"]])
        labels = np.concatenate([mnist["y_train"], mnist["y_test"]])
    train_rows, test_rows = (
        np.frombuffer(content, ">i4", offset=_HEADER_BYTES).reshape(-1, _NUM_COLUMNS)
        for content in contents[1:]
    )
    rows = np.concatenate([train_rows[:NUM_TRAIN_ROWS], test_rows[:NUM_TEST_ROWS]])
    return build_writer_digits(images, labels, rows)


def build_writer_digits(
    images: np.ndarray, labels: np.ndarray, rows: np.ndarray
) -> tuple[MemoryClientData, MemoryClientData]:
    """Returns the writer digits, made of arrays.

    Args:
        images: MNIST's 60,000 training images and then its 10,000 test images, in its order, as
            `tf.keras.datasets.mnist.load_data()` returns them: uint8 (70000, 28, 28), 0 for paper.
        labels: MNIST's labels, int (70000,).
        rows: QMNIST's extended labels of the same digits, int (70000, 8).

    Returns:
        As `load_writer_digits`.

    Raises:
        ValueError: The arrays are others.
    """
    num_rows = NUM_TRAIN_ROWS + NUM_TEST_ROWS
    expected = ((num_rows, *DIGIT_SHAPE), (num_rows,), (num_rows, _NUM_COLUMNS))
    if (shapes := (images.shape, labels.shape, rows.shape)) != expected or images.dtype != np.uint8:
        raise ValueError(
            f"images, labels and rows must have the shapes {expected}, images of uint8. Found "
            f"{shapes}, images of {images.dtype}."
        )
    if num_others := (labels != rows[:, _LABEL]).sum():
        raise ValueError(
            f"labels and rows must be of the same digits, in MNIST's order. {num_others:,} of "
            f"{num_rows:,} labels differ."
        )
    with np.load(Path(__file__).with_name(_SELECTION_FILE), allow_pickle=False) as selection:
        writers, digests = selection["writers"], selection["test_digests"]
    order = np.lexsort((rows[:, _INDEX], rows[:, _WRITER]))  # by the writer, then by the index
    order = order[np.isin(rows[order, _WRITER], writers)]
    known = {digest.tobytes() for digest in digests}
    is_test = np.array([_digest(images[row]) in known for row in order])
    if is_test.sum() != len(digests):
        raise ValueError(
            f"images must be MNIST's. {is_test.sum():,} of the {len(digests):,} test digits are there."
        )
    train, test = (_split(images, labels, rows, order[half]) for half in (~is_test, is_test))
    if (digest := digest_splits((train, test))) != KNOWN_DIGEST:
        raise ValueError(
            "images, labels and rows must be MNIST's and QMNIST's. The writer digits made of them have "
            f"the SHA-256 {digest}, and {KNOWN_DIGEST} is the known one."
        )
    return train, test


def _split(
    images: np.ndarray, labels: np.ndarray, rows: np.ndarray, chosen: np.ndarray
) -> MemoryClientData:
    """Returns the chosen digits, which are sorted by writer."""
    numbers, starts = np.unique(rows[chosen, _WRITER], return_index=True)
    examples = {
        f"w{number:04d}": Examples(
            np.float32(1) - images[mine].astype(np.float32) / np.float32(255),
            labels[mine].astype(np.int32),
        )
        for number, mine in zip(numbers, np.split(chosen, starts[1:]), strict=True)
    }
    return MemoryClientData(examples, examples.__getitem__)


def is_writer_digits(sha256: str) -> bool:
    """Returns whether a data set is the writer digits, whatever file it came from.

    Args:
        sha256: A data set's `FederatedDataset.sha256`.
    """
    return KNOWN_DIGEST[:16] == sha256


def _digest(image: np.ndarray) -> bytes:
    return hashlib.sha256(image.tobytes()).digest()[:_DIGEST_BYTES]


def _find_all(folder: Path) -> list[tuple[Path, str]]:
    found = {source: source.find(folder) for source in SOURCE_FILES}
    missing = [source for source, place in found.items() if place is None]
    if missing:
        names = ", ".join(source.name for source in missing)
        urls = ", ".join(source.url for source in missing)
        raise FileNotFoundError(
            f"The folder {str(folder)!r} has no {names}. Get what is missing from {urls}"
        )
    return [place for place in found.values() if place]


def _download(source: SourceFile, folder: Path) -> tuple[Path, str]:
    path = folder / source.name
    download.download_file(
        source.url,
        path,
        known_hash=source.sha256,
        max_bytes=_MAX_FILE_BYTES,
        remedy=_name_ways(folder),
    )
    return path, source.sha256


def _read(path: Path, known: str, remedy: str) -> bytes:
    """Returns the content of a file, unpacked; nothing is unpacked unchecked."""
    with path.open("rb") as file:
        content = file.read(_MAX_FILE_BYTES + 1)
    if (digest := hashlib.sha256(content).hexdigest()) != known:
        raise ValueError(
            f"{path} is not the published file: its SHA-256 is {digest}, and must be {known}. {remedy}"
        )
    return gzip.decompress(content) if path.suffix == ".gz" else content


def _name_ways(folder: Path) -> str:
    addresses = ", ".join(source.url for source in SOURCE_FILES)
    return (
        f"Three ways to the data: (1) try again where these can be reached: {addresses}; "
        '(2) a folder with copies of these files: load("writer_digits", folder="…"); '
        f'(3) copies of them in {folder}. Without any of them the course runs on load("digits").'
    )
