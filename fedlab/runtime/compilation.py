"""Chooses what executes a learning process."""

import dataclasses
import importlib
import warnings
from typing import Any

import tensorflow_federated as tff

from fedlab.checks import check_choice, check_count, check_flag, check_instance, describe
from fedlab.models.keras_eager import restore_eager_keras
from fedlab.runtime import privacy
from fedlab.runtime.context import notice
from fedlab.runtime.local.local_runner import FormRunner, LocalClients
from fedlab.runtime.local.map_reduce_form import Form, NoFormError
from fedlab.runtime.native.native_runner import NativeRunner
from fedlab.runtime.runner import Protection, Runner
from fedlab.secure.interface import SecureSum

_MAX_WORKERS = 1024  # threads or processes
RUNTIMES = ("local", "tff", "ray")
# Loaded when asked for: each needs a library of its own.
SECURE_SUMS = {
    "secagg": ("fedlab.secure.secagg.protocol", "SecAgg"),
    "ckks": ("fedlab.secure.ckks", "CkksSum"),
    "shares": ("fedlab.secure.secret_sharing", "SecretSharingSum"),
}


def compile(
    process: tff.templates.IterativeProcess,
    runtime: str = "local",
    *,
    num_workers: int | None = None,
    on_client_error: str = "raise",
    secure_sum: str | SecureSum = "plain",
    privacy_plan: privacy.PrivacyPlan | None = None,
    metrics_in_the_clear: bool = False,
    **options: Any,
) -> Runner:
    """Returns what executes a process: the same `initialize` and `next` as its own.

    All runtimes take and return TFF's own types, so a state may go from one to the other.

    Where a process is private (a mechanism of `fedlab.dp` made what its clients send, or there is a
    plan or a secure sum), all that its clients send is looked at first. What nothing protects is
    refused.

    Args:
        process: Any TFF `LearningProcess`, from `fedlab.learning` or TFF's own builders, or another
            `IterativeProcess`, as of TFF's tutorials and research code.
        runtime: "local": in this process, clients in parallel over the cores. A process without a
            `MapReduceForm` gets "tff", with one line of notice. "tff": TFF's own runtime, in a
            process that nobody else reaches and that ends with this one. "ray": on a Ray cluster
            (the extra `ray`).
        num_workers: How many clients (local) or processes (ray) at a time. Default: one a core. On
            "local" the results are the same, bit for bit, for any number.
        on_client_error: What to do about a client that fails, or whose update is not finite:
            "raise" a `ClientError` that names it, or "drop" it from the round and list it in
            `runner.dropped`. (TFF's own runtime leaves out the latter without a word.)
        secure_sum: Who adds up what a process with `tff.learning.secure_aggregator()` lets its
            clients send as integers for a secure sum: "plain", the server, in the clear; "secagg",
            a protocol of masks; "ckks", under encryption; "shares", among three servers; or an
            object such as `fedlab.secure.secagg.protocol.SecAgg(threshold=8)`. On "local" only. Clients
            that are dropped are the protocol's drop-outs.
        privacy_plan: What accounts for the run, such as a `fedlab.dp.privacy_plan.PrivacyPlan`: the
            process must have its mechanism, with its parameters, and send nothing else. Default: a
            process with a mechanism of any plan must send nothing else.
        metrics_in_the_clear: Whether a private process may send its training metrics unprotected.
        **options: For "ray" alone: `address` ("host:port" of the cluster's head) and `num_partitions`
            (groups of clients that are summed first), as `fedlab.runtime.ray.cluster.ClusterClients`
            takes them.

    Returns:
        A `Runner`; also a context manager.

    Raises:
        TypeError: `process` is no TFF process.
        PrivacyError: Something would leave the clients of a private process unprotected, or the
            process is not the plan's. A `ValueError`.
        ValueError: An option is out of range or not for this runtime, or the process sends nothing
            for a secure sum.
    """
    check_instance(
        "process",
        process,
        tff.templates.IterativeProcess,
        "a TFF LearningProcess or IterativeProcess, such as build_fed_avg(model)",
    )
    check_choice("runtime", runtime, RUNTIMES)
    check_choice("on_client_error", on_client_error, ("raise", "drop"))
    check_flag("metrics_in_the_clear", metrics_in_the_clear)
    if privacy_plan is not None:
        what = "a plan, such as a fedlab.dp.privacy_plan.PrivacyPlan"
        check_instance("privacy_plan", privacy_plan, privacy.PrivacyPlan, what)
    if num_workers is not None:
        num_workers = check_count("num_workers", num_workers, at_most=_MAX_WORKERS)
    restore_eager_keras()
    drop = on_client_error == "drop"
    secure = _find_secure_sum(secure_sum, runtime)
    protection = Protection(secure, privacy_plan)

    def check_privacy(form: Form) -> None:
        nonlocal protection
        sent, sums_securely = privacy.find_sent(process.next, form), secure is not None
        privacy.check_sent(
            sent,
            plan=privacy_plan,
            sums_securely=sums_securely,
            metrics_in_the_clear=metrics_in_the_clear,
        )
        is_open = privacy.has_open_metrics(process.next, sent, sums_securely=sums_securely)
        protection = dataclasses.replace(protection, metrics_in_the_clear=is_open)

    def finish(runner: Runner) -> Runner:
        runner.secure_sum, runner.protection = secure, protection
        return runner

    if runtime == "ray":
        from fedlab.runtime.ray.cluster import ClusterClients  # an extra, and slow to import

        def create_cluster(form: Form) -> ClusterClients:
            check_privacy(form)
            return ClusterClients(form, num_workers, **options)

        return finish(FormRunner(process, create_cluster, drop=drop))
    if options:
        raise ValueError(f"{', '.join(options)}: not an option of runtime={runtime!r}.")
    if runtime == "local":

        def create_clients(form: Form) -> LocalClients:
            clients = LocalClients(form, num_workers, secure)
            check_privacy(form)
            return clients

        try:
            return finish(FormRunner(process, create_clients, drop=drop))
        except NoFormError as error:
            if secure is not None:
                raise ValueError(
                    "A secure_sum is for a process with a MapReduceForm, and this one has none."
                ) from error
            warnings.warn(notice("This process"), stacklevel=2)
    if drop:
        raise ValueError(
            "on_client_error='drop' is not for TFF's own runtime, which does not say whom."
        )
    form = privacy.cut_if_private(process, is_private=privacy_plan is not None)
    if form is not None:
        check_privacy(form)
    return finish(NativeRunner(process))


def _find_secure_sum(secure_sum: str | SecureSum, runtime: str) -> SecureSum | None:
    if isinstance(secure_sum, str) and secure_sum == "plain":
        return None
    if runtime != "local":
        raise ValueError(f"A secure_sum is for runtime='local' alone. Found {runtime!r}.")
    if isinstance(secure_sum, str) and secure_sum in SECURE_SUMS:
        module, name = SECURE_SUMS[secure_sum]
        return getattr(importlib.import_module(module), name)()
    if isinstance(secure_sum, str) or not callable(getattr(secure_sum, "begin_round", None)):
        names = ", ".join(["plain", *SECURE_SUMS])
        raise ValueError(
            f"secure_sum must be one of {names}, or have a method begin_round. "
            f"Found {describe(secure_sum)}."
        )
    return secure_sum
