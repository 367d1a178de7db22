"""What the tests of Ray share."""

import fcntl

import pytest


@pytest.fixture(scope="module", autouse=True)
def one_ray_at_a_time(tmp_path_factory, worker_id):
    """Ray gives up a start after half a minute (2.60), too little for two at a time on two cores."""
    folder = tmp_path_factory.getbasetemp()
    if worker_id != "master":  # the folder of all of pytest's workers
        folder = folder.parent
    with (folder / "ray.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed
        yield
