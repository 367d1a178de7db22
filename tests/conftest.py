"""What several test files share: a run, and a file in Federated EMNIST's format."""

import os
import shutil
import tempfile

import pytest

# What is compiled is kept for this run alone, and by the processes that tests start, too.
_COMPILED = "FEDLAB_COMPILED"


def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        os.environ[_COMPILED] = tempfile.mkdtemp(prefix="fedlab-compiled-")


def pytest_unconfigure(config):
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(_COMPILED), ignore_errors=True)


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    from helpers import tiny  # here and below: it loads TensorFlow, which not every test file needs

    path = tmp_path_factory.mktemp("whole") / tiny.NAME
    tiny.write_sqlite(path, digits_only_train=tiny.TRAIN, digits_only_test=tiny.TEST)
    return path


@pytest.fixture(scope="session")
def process():
    from helpers import tiny

    return tiny.build_process()


@pytest.fixture(scope="session")
def train(process):
    from helpers import tiny

    from fedlab import training

    callback_of = {
        "csv_path": training.CsvLog,
        "checkpoint_dir": training.Checkpoint,
        "tensorboard_dir": training.TensorBoardLog,
    }

    def run(
        num_rounds=tiny.NUM_ROUNDS,
        *,
        cohort_fn=tiny.COHORT_FN,
        process=process,
        evaluate_fn=tiny.evaluate,
        evaluate_every=1,
        initial_weights=None,
        callbacks=(),
        **places,
    ):
        """Trains a small model; each place becomes the callback that writes there."""
        callbacks = [
            training.Evaluate(evaluate_fn, evaluate_every),
            *callbacks,
            *(callback_of[name](place) for name, place in places.items()),
        ]
        return training.run_rounds(
            process, cohort_fn, num_rounds, initial_weights=initial_weights, callbacks=callbacks
        )

    return run


@pytest.fixture(scope="session")
def unbroken(train):
    return train()
