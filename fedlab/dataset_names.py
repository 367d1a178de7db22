"""What is known of the data sets without loading TensorFlow, as `fedlab.data` and the doctor need it."""

import os

DATASET_VARIABLE = "FEDLAB_DATASET"  # names the data set of the whole course
DIGITS = "digits"
EMNIST = "emnist"
PLAYS = "plays"  # texts: no lesson on digits runs on them
EMNIST_FILE = "emnist_all.sqlite"  # in the cache folder
WRITER_DIGITS = "writer_digits"  # also the name of its folder in the cache folder
WRITER_DIGITS_FILES = (
    "mnist.npz",
    "qmnist-train-labels-idx2-int.gz",
    "qmnist-test-labels-idx2-int.gz",
)


def choose() -> str:
    """Returns the value of `FEDLAB_DATASET`, "digits" if it is not set."""
    return os.environ.get(DATASET_VARIABLE) or DIGITS


def is_path(name: str) -> bool:
    """Returns whether a text is the path of a file and not the name of a data set."""
    return os.sep in name or "." in name
