"""What leaves a client in a private round, and whether a mechanism or a secure sum protects all of it.

A process is private if its clients send what a mechanism of differential privacy has clipped, or if
a secure sum adds up what they send. An algorithm may send more beside that: Mime Lite sends
gradients past its aggregator, an aggregator may count something in the clear, and TFF's clients
report training metrics. Here the graph that a client runs is read, and each of its results is told.

A mechanism gives its name to the operations that make what a client sends:

    with privacy.mechanism_scope("gaussian.noise1.0"):
        record = clip(update)
"""

import collections
import contextlib
import dataclasses
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import tensorflow as tf
import tensorflow_federated as tff

from fedlab.runtime.local.finite_checks import source_name
from fedlab.runtime.local.map_reduce_form import Form, NoFormError, cut

_PREFIX, _END = "fedlab_private.", ".end"
_SCOPE = re.compile(rf"{re.escape(_PREFIX)}(.+?){re.escape(_END)}(?:_\d+)?/")


class PrivacyError(ValueError):
    """Something leaves the clients of a private process that nothing protects."""


@runtime_checkable
class PrivacyPlan(Protocol):
    """What accounts for a private run, such as `fedlab.dp.privacy_plan.PrivacyPlan`."""

    @property
    def mechanism_names(self) -> Collection[str]:
        """Names of the mechanisms, each with its parameters."""


@dataclasses.dataclass(frozen=True)
class SentTensor:
    """A tensor that each client of a process sends.

    Attributes:
        name: Its place in the TFF type of what a client sends, such as `accuracy[0]`.
        type_signature: Its TFF type, with dtype and shape.
        mechanism: Name of the mechanism that made it, or "".
        mechanism_use: Which use of the mechanism: tensors of one use are clipped together.
        is_securely_summed: Whether TFF's type has it among the integers of a secure sum.
        is_metric: Whether it belongs to the training metrics of a `LearningProcess`.
    """

    name: str
    type_signature: tff.TensorType
    mechanism: str
    mechanism_use: str
    is_securely_summed: bool
    is_metric: bool


def mechanism_scope(name: str) -> contextlib.AbstractContextManager:
    """Returns a context; what is made in it is what the mechanism lets a client send.

    Args:
        name: The mechanism and its parameters: letters, digits, and `._-`.
    """
    return tf.name_scope(f"{_PREFIX}{name}{_END}")


def find_sent(computation: tff.Computation, form: Form) -> list[SentTensor]:
    """Returns all that each client of a round sends.

    Args:
        computation: The round.
        form: The round, cut into pieces.
    """
    update, *secure = form.work.type_signature.result
    metric_names = _find_metric_names(computation.type_signature.result)
    leaves = [(*leaf, False) for leaf in _flatten(update, "", metric_names, False)]
    leaves += [(*leaf, True) for part in secure for leaf in _flatten(part, "", set(), False)]
    graph_def = tf.compat.v1.GraphDef.FromString(form.work.graph.graph_def)
    nodes = {node.name: node for node in graph_def.node}
    return [
        SentTensor(name.lstrip("."), leaf, *_find_mechanism(nodes, output), is_secure, is_metric)
        for (name, leaf, is_metric, is_secure), output in zip(
            leaves, form.work.graph.outputs, strict=True
        )
    ]


def check_sent(
    sent: Collection[SentTensor],
    *,
    plan: PrivacyPlan | None = None,
    sums_securely: bool = False,
    metrics_in_the_clear: bool = False,
) -> None:
    """Checks that nothing leaves the clients of a private process unprotected.

    A process without a mechanism, without a plan and without a secure sum promises nothing, and is
    not checked.

    Args:
        sent: All that a client sends, from `find_sent`.
        plan: What accounts for the run. Default: any mechanism will do.
        sums_securely: Whether somebody other than the server adds up the integers.
        metrics_in_the_clear: Whether the training metrics may be sent unprotected.

    Raises:
        PrivacyError: Something is sent unprotected, or the plan does not account for a mechanism.
    """
    mechanisms = {tensor.mechanism for tensor in sent} - {""}
    if plan is not None:
        _check_plan(plan, mechanisms)
        _check_used_once(sent)
    if not mechanisms and not sums_securely:
        return
    # Noise covers the sum itself, a secure sum only each client's part: the noise is the promise.
    unprotected = [
        tensor
        for tensor in sent
        if not (tensor.mechanism if mechanisms else tensor.is_securely_summed)
    ]
    protection = "the mechanism adds noise to" if mechanisms else "is summed securely"
    others = [tensor for tensor in unprotected if not tensor.is_metric]
    if others:
        raise PrivacyError(
            f"Each client sends more than what {protection}, and this would leave it in the clear: "
            f"{_describe(others)}. Take an algorithm that sends its update alone, such as "
            "build_fed_avg (Mime Lite sends gradients past its aggregator), and an aggregator "
            "without counts of its own."
        )
    if unprotected and not metrics_in_the_clear:
        names = dict.fromkeys(re.split(r"[.\[]", tensor.name)[0] for tensor in unprotected)
        raise PrivacyError(
            f"Each client would send its training metrics in the clear: {', '.join(names)}. Build the "
            "process with metrics_aggregator=learning.leave_out_metrics, or with one that protects "
            "them: plan.build_metrics_aggregator() of a fedlab.dp.privacy_plan.PrivacyPlan, or "
            "tff.learning.metrics.secure_sum_then_finalize for a secure sum and a model from "
            "build_model_fn. If everybody may see the metrics: compile(..., "
            "metrics_in_the_clear=True)."
        )


def has_open_metrics(
    computation: tff.Computation, sent: Collection[SentTensor], *, sums_securely: bool
) -> bool:
    """Returns whether a client's training metrics may reach the server as they are.

    Of a process that is no `LearningProcess` nobody knows what is a metric, and of the integers for a
    secure sum nobody knows which are: what is sent unprotected counts as metrics there.

    Args:
        computation: The round.
        sent: All that a client sends, from `find_sent`.
        sums_securely: Whether somebody other than the server adds up the integers.
    """
    client_work = _find_client_work(computation.type_signature.result)
    if client_work is not None and not set(_find_named(client_work)):
        return False  # it reports none
    return any(
        (tensor.is_metric or tensor.is_securely_summed or client_work is None)
        and not tensor.mechanism
        and not (tensor.is_securely_summed and sums_securely)
        for tensor in sent
    )


def cut_if_private(process: tff.templates.IterativeProcess, *, is_private: bool) -> Form | None:
    """Returns the form of a process that promises privacy, for a runtime that needs no form.

    Args:
        process: The process.
        is_private: Whether a plan says so. Else the name of a mechanism in the process does.

    Raises:
        PrivacyError: The process is private, and what its clients send cannot be told.
    """
    try:
        if not is_private:
            proto = tff.framework.serialize_computation(process.next)
            is_private = _PREFIX.encode() in proto.SerializeToString()
        return cut(process) if is_private else None
    except (NoFormError, TypeError) as error:
        if not is_private:  # a computation that cannot be serialized
            return None
        raise PrivacyError(
            "This process has no MapReduceForm, so what its clients send cannot be told apart. A "
            "private process needs one."
        ) from error


def _check_plan(plan: PrivacyPlan, mechanisms: set[str]) -> None:
    if not mechanisms:
        raise PrivacyError(
            "Nothing that this process's clients send is clipped and gets noise. Build it with "
            "aggregator=plan.build_aggregator()."
        )
    if others := mechanisms - set(plan.mechanism_names):
        raise PrivacyError(
            f"The plan accounts for {', '.join(sorted(plan.mechanism_names))}. Found "
            f"{', '.join(sorted(others))} in the process. Build both from the same plan."
        )


def _check_used_once(sent: Iterable[SentTensor]) -> None:
    uses = {(tensor.mechanism, tensor.mechanism_use) for tensor in sent if tensor.mechanism}
    for mechanism, count in collections.Counter(name for name, _ in uses).items():
        if count > 1:
            raise PrivacyError(
                f"Each client sends {count} results of the mechanism {mechanism}, each clipped by "
                "itself, and the plan accounts for one. Take an algorithm that sends its update alone."
            )


def _find_metric_names(result: tff.Type) -> set[tuple[str, ...]]:
    """Returns the names of each group of training metrics that a learning process reports."""
    return set(_find_named(_find_client_work(result)))


def _find_client_work(result: tff.Type) -> tff.Type | None:
    """Returns the type of the part of a round's metrics that tells of the clients; None: there is none."""
    if isinstance(result, tff.FederatedType):
        result = result.member
    metrics = getattr(result, "metrics", None) if isinstance(result, tff.StructType) else None
    metrics = metrics.member if isinstance(metrics, tff.FederatedType) else metrics
    return getattr(metrics, "client_work", None)


def _find_named(part: Any) -> Iterator[tuple[str, ...]]:
    if isinstance(part, tff.StructType):
        fields = tff.structure.to_elements(part)
        # What TFF says about the sums themselves is no metric of a client.
        names = tuple(name for name, _ in fields if name and name != "secure_sum_measurements")
        if names:
            yield names
        for _, field in fields:
            yield from _find_named(field)


def _flatten(
    part: tff.Type, name: str, metric_names: set[tuple[str, ...]], is_metric: bool
) -> Iterator[tuple[str, tff.TensorType, bool]]:
    if not isinstance(part, tff.StructType):
        yield name, part, is_metric
        return
    fields = tff.structure.to_elements(part)
    if tuple(field_name for field_name, _ in fields) in metric_names:
        name, is_metric = "", True
    for number, (field_name, field) in enumerate(fields):
        place = f".{field_name}" if field_name else f"[{number}]"
        yield from _flatten(field, name + place, metric_names, is_metric)


def _find_mechanism(nodes: dict[str, Any], output: str) -> tuple[str, str]:
    node = nodes[source_name(output)]
    while node.op == "Identity":
        node = nodes[source_name(node.input[0])]
    found = _SCOPE.search(node.name)
    return (found[1], node.name[: found.start()]) if found else ("", "")


def _describe(tensors: Collection[SentTensor]) -> str:
    types = [tensor.type_signature.compact_representation() for tensor in tensors]
    shown = [f"{types.count(one)} of {one}" for one in dict.fromkeys(types)]
    return ", ".join(shown[:5]) + (", ..." if len(shown) > 5 else "")
