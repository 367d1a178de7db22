"""What several test files share: a run, and a file in Federated EMNIST's format."""

import pytest


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    import tiny  # here and below: it loads TensorFlow, which not every test file needs

    path = tmp_path_factory.mktemp("whole") / tiny.NAME
    tiny.write_sqlite(path, digits_only_train=tiny.TRAIN, digits_only_test=tiny.TEST)
    return path


@pytest.fixture(scope="session")
def process():
    import tiny

    return tiny.build_process()


@pytest.fixture(scope="session")
def train(process):
    import tiny

    from fedlab.training import run_rounds

    def run(num_rounds=tiny.NUM_ROUNDS, *, cohort_fn=tiny.COHORT_FN, process=process, **options):
        options = {"progress": False, "evaluate_fn": tiny.evaluate} | options
        return run_rounds(process, cohort_fn, num_rounds, **options)

    return run


@pytest.fixture(scope="session")
def unbroken(train):
    return train()
