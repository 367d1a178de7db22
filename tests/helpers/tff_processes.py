"""Processes from TFF's own builders, each built once, and how results of two runtimes are compared."""

import functools

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff
from helpers import tiny

from fedlab import runtime
from fedlab.learning import leave_out_metrics
from fedlab.models import build_functional_model, build_model_fn

NUM_CLIENTS = 3

learning, algorithms = tff.learning, tff.learning.algorithms

sgd = functools.partial(learning.optimizers.build_sgdm, 0.1)

add = functools.partial(learning.optimizers.build_sgdm, 1.0)

FUNCTIONAL = build_functional_model(tiny.create_model)

VARIABLE = build_model_fn(tiny.create_model)


@functools.cache
def fed_avg(model=FUNCTIONAL, client=sgd, server=add, aggregator=None, **options):
    options["model_aggregator"] = aggregator and aggregator()
    return algorithms.build_weighted_fed_avg(model, client(), server(), **options)


@functools.cache
def unweighted(aggregator=None, **options):
    aggregator = aggregator and aggregator()
    return algorithms.build_unweighted_fed_avg(
        FUNCTIONAL, sgd(), add(), model_aggregator=aggregator, **options
    )


def fed_prox():
    return algorithms.build_weighted_fed_prox(
        FUNCTIONAL, proximal_strength=0.1, client_optimizer_fn=sgd(), server_optimizer_fn=add()
    )


def without_noise(name, **options):
    build_fn = getattr(tff.aggregators.DifferentiallyPrivateFactory, name)
    return lambda: build_fn(noise_multiplier=0.0, clients_per_round=NUM_CLIENTS, **options)


def describe(structure):
    return [
        (type(leaf), np.asarray(leaf).dtype, np.shape(leaf)) for leaf in tf.nest.flatten(structure)
    ]


def assert_same_kind(ours, theirs):
    """The same containers, types, dtypes and shapes."""
    tf.nest.assert_same_structure(ours, theirs)
    assert describe(ours) == describe(theirs)


def assert_close(ours, theirs, tolerance=1e-6):
    for our, their in zip(tf.nest.flatten(ours), tf.nest.flatten(theirs), strict=True):
        if np.asarray(our).dtype.kind in "SO":  # DP's record of what has been done
            assert np.array_equal(our, their)
        else:
            np.testing.assert_allclose(our, their, rtol=tolerance, atol=tolerance)


@functools.cache
def distributed_dp():
    with runtime.oversize_messages():
        return unweighted(build_distributed_dp_aggregator, metrics_aggregator=leave_out_metrics)


def build_distributed_dp_aggregator():
    return learning.ddp_secure_aggregator(noise_multiplier=1e-3, expected_clients_per_round=100)


@functools.cache
def build_two_phases():
    """As SCAFFOLD or FedDANE have it: clients are asked twice, so there are two forms, not one."""
    process = fed_avg()

    @tff.federated_computation(process.next.type_signature.parameter)
    def next_fn(state, client_data):
        first = process.next(state, client_data)
        second = process.next(first.state, client_data)
        return learning.templates.LearningProcessOutput(second.state, second.metrics)

    weights = process.get_model_weights, process.set_model_weights
    return learning.templates.LearningProcess(process.initialize, next_fn, *weights)
