"""Chooses what executes a learning process."""

import warnings

import tensorflow_federated as tff

from fedlab.runtime.context import notice
from fedlab.runtime.forms import NoFormError
from fedlab.runtime.local import FormRunner, LocalClients
from fedlab.runtime.native import NativeRunner
from fedlab.runtime.runner import Runner

RUNTIMES = ("local", "tff", "ray")


def compile(
    process: tff.learning.templates.LearningProcess,
    runtime: str = "local",
    *,
    num_workers: int | None = None,
    on_client_error: str = "raise",
    **options,
) -> Runner:
    """Returns what executes a learning process: the same `initialize` and `next` as its own.

    All runtimes take and return TFF's own types, so a state may go from one to the other.

    Args:
        process: Any TFF `LearningProcess`, from `fedlab.algorithms` or TFF's own builders.
        runtime: "local": in this process, clients in parallel over the cores. A process without a
            `MapReduceForm` gets "tff", with one line of notice. "tff": TFF's own runtime, in a
            process that nobody else reaches and that ends with this one. "ray": on a Ray cluster
            (the extra `ray`).
        num_workers: How many clients (local) or processes (ray) at a time. Default: one a core. On
            "local" the results are the same, bit for bit, for any number.
        on_client_error: What to do about a client that fails, or whose update is not finite:
            "raise" a `ClientError` that names it, or "drop" it from the round and list it in
            `runner.dropped`. (TFF's own runtime leaves out the latter without a word.)
        **options: Of the runtime "ray": see `fedlab.runtime.cluster.ClusterClients`.

    Returns:
        A `Runner`; also a context manager.

    Raises:
        ValueError: An option is out of range or not for this runtime.
    """
    if runtime not in RUNTIMES:
        raise ValueError(f"runtime must be one of {', '.join(RUNTIMES)}. Found {runtime!r}.")
    if on_client_error not in ("raise", "drop"):
        raise ValueError(f"on_client_error must be 'raise' or 'drop'. Found {on_client_error!r}.")
    if num_workers is not None and num_workers < 1:
        raise ValueError(f"num_workers must be at least 1. Found {num_workers}.")
    drop = on_client_error == "drop"
    if runtime == "ray":
        from fedlab.runtime.cluster import ClusterClients  # an extra, and slow to import

        return FormRunner(
            process, lambda form: ClusterClients(form, num_workers, **options), drop=drop
        )
    if options:
        raise ValueError(f"{', '.join(options)}: not an option of runtime={runtime!r}.")
    if runtime == "local":
        try:
            return FormRunner(process, lambda form: LocalClients(form, num_workers), drop=drop)
        except NoFormError:
            warnings.warn(notice("This process"), stacklevel=2)
    if drop:
        raise ValueError(
            "on_client_error='drop' is not for TFF's own runtime, which does not say whom."
        )
    return NativeRunner(process)
