"""A Ray cluster to connect to, or one of this machine alone, that nobody else reaches."""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import ray
import ray.exceptions
from ray._private import ray_constants, services
from ray._private import worker as ray_worker

_LOOPBACK = "127.0.0.1"
_CONNECT_SECONDS = 5
_SECONDS_TO_END = 5  # Ray needs two
_NUM_STARTS = 2  # on a busy machine a first start can take longer than Ray waits
# For the processes that Ray starts here. Ray (2.60) asks 169.254.169.254 and a name of Google's which
# cloud this is, even with its statistics off; at this proxy nobody answers.
_NOBODY_OUTSIDE = {
    ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    **dict.fromkeys(["http_proxy", "https_proxy", "all_proxy"], f"http://{_LOOPBACK}:9"),
    "no_proxy": f"{_LOOPBACK},localhost",
}


def connect(address: str | None, num_workers: int | None) -> Callable[[], None]:
    """Connects to a cluster, or starts one on this machine.

    Args:
        address: The cluster's head, "host:port". Default: the cluster that this process is connected
            to, else one of this machine alone, on loopback.
        num_workers: Cores of a cluster that is started here. Default: all.

    Returns:
        A function that ends the connection, and the cluster if it was started here.

    Raises:
        ConnectionError: No cluster answers at the address, it does not let this process in, or this
            process is connected to another.
        RuntimeError: Ray does not start here, for example twice not in the time that it gives itself.
    """
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    resolved = address and services.canonicalize_bootstrap_address(address)  # as Ray does
    if ray.is_initialized():
        connected = ray.get_runtime_context().gcs_address
        if resolved not in (None, connected):
            raise ConnectionError(
                f"This process is connected to {connected!r}, not to {address!r}: ray.shutdown()."
            )
        return lambda: None
    # No public switch (2.60): what Ray prints here about workers that died, in spite of `quiet`.
    ray_worker._worker_logs_enabled = False
    if address is None:
        _start(num_cpus=num_workers or len(os.sched_getaffinity(0)), **quiet)
        return _shut_down
    # Ray itself tries for two minutes and then ends this process.
    channel = grpc.insecure_channel(resolved)
    try:
        grpc.channel_ready_future(channel).result(timeout=_CONNECT_SECONDS)
    except grpc.FutureTimeoutError:
        raise ConnectionError(
            f"No Ray cluster answers at {address!r}. Start one there (ray start --head), or leave "
            "address out to use this machine."
        ) from None
    finally:
        channel.close()
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, ray.exceptions.AuthenticationError) as error:
        raise ConnectionError(
            f"The Ray cluster at {address!r} did not let this process in: {error} If it asks for a "
            "token, set RAY_AUTH_MODE=token and copy its ~/.ray/auth_token (docs/cluster.md)."
        ) from error
    return ray.shutdown


def _start(**settings: Any) -> None:
    """Starts Ray on this machine alone; once more if it did not start."""
    before = psutil.Process().children(recursive=True)
    for attempt in range(1, _NUM_STARTS + 1):
        try:
            with _loopback_only():
                ray.init(address="local", include_dashboard=False, **settings)
            return
        except Exception as error:  # Ray raises the class Exception itself where time runs out
            _end_ray_processes(before)
            if attempt == _NUM_STARTS:
                raise RuntimeError(
                    f"Ray did not start on this machine, tried {attempt} times: {error} Ray waits half "
                    "a minute for its own processes. Close other programs and try again, or compile "
                    "with runtime='local'."
                ) from error


def _shut_down() -> None:
    """Ends the Ray that was started here, with all of its processes.

    Ray does not wait for them, and one that is about to start asks for a minute for what is gone.
    """
    family = _find_family()
    ray.shutdown()
    _, left = psutil.wait_procs(family, _SECONDS_TO_END)
    _kill(left)


def _end_ray_processes(before: list[psutil.Process]) -> None:
    """Ends the processes of a Ray that did not start, which Ray leaves until this process ends."""
    ray.shutdown()
    programs, left = str(Path(ray.__file__).parent), []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process not in before and programs in " ".join(process.cmdline()):
                left.append(process)
    _kill(left)


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, _SECONDS_TO_END)


def _find_family() -> list[psutil.Process]:
    """Returns the processes of the Ray that this process started, and their children."""
    node: Any = ray_worker._global_node
    if node is None:  # somebody has shut down already
        return []
    session, family = node.session_name, []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if session in " ".join(child.cmdline()):
                family += [child, *child.children(recursive=True)]
    return family


@contextlib.contextmanager
def _loopback_only() -> Iterator[None]:
    """Keeps a cluster that is started here off the network: whoever reaches Ray can run code.

    Nor does it call out.

    Ray (2.60) listens on all interfaces, even with `_node_ip_address="127.0.0.1"`; but not where it
    takes itself for a Ray without clusters, as on Windows.
    """
    before = {name: os.environ[name] for name in _NOBODY_OUTSIDE if name in os.environ}
    enabled, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    os.environ |= _NOBODY_OUTSIDE
    try:
        yield
        if (address := ray.util.get_node_ip_address()) != _LOOPBACK:
            ray.shutdown()
            raise RuntimeError(
                f"Ray {ray.__version__} listens on {address} and not on {_LOOPBACK}."
            )
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = enabled
        for name in _NOBODY_OUTSIDE:
            os.environ.pop(name, None)
        os.environ |= before
