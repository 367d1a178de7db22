"""The private aggregators on updates written down by hand: what their tests share."""

import functools

import numpy as np
import pytest
import tensorflow_federated as tff

from fedlab.dp import mechanisms
from fedlab.runtime.context import LocalContext

NUM_CLIENTS, CLIP, NOISE, HUGE = 4, 0.5, 2.0, 1e6
# An update: two arrays, 8,000 numbers.
VALUE_TYPE = tff.to_type([(np.float32, (3000,)), (np.float32, (50, 100))])
SIZE = 8000
LOCAL = LocalContext()


def fixed(noise=NOISE, clip=CLIP, **options):
    return mechanisms.gaussian_fixed(noise, clip, NUM_CLIENTS, **options)


def adaptive(noise=NOISE, clip=CLIP, **options):
    return mechanisms.gaussian_adaptive(noise, clip, 10 * NUM_CLIENTS, **options)


def tree(noise=NOISE, clip=CLIP, **options):
    return mechanisms.tree_aggregation(noise, clip, NUM_CLIENTS, rounds_per_epoch=4, **options)


DENOMINATORS = {fixed: NUM_CLIENTS, adaptive: 10 * NUM_CLIENTS, tree: NUM_CLIENTS}
ALL = pytest.mark.parametrize("build_fn", DENOMINATORS, ids=lambda one: one.__name__)


def build(factory):
    """Returns what makes the first state, and what makes of updates a state and a result."""
    process = factory.create(VALUE_TYPE)
    clients_type = tff.FederatedType(VALUE_TYPE, tff.CLIENTS)

    @tff.federated_computation(process.state_type, clients_type)
    def next_fn(state, updates):
        output = process.next(state, updates)
        return output.state, tff.federated_zip((output.result, output.measurements))

    return process.initialize, next_fn


@functools.cache
def create(build_fn, noise=NOISE, clip=CLIP, insecure_seed=None):
    return build(build_fn(noise, clip, insecure_seed=insecure_seed))


def run(process, num_rounds, updates=(), context=LOCAL):
    """Returns each round's result, float32 (num_rounds, 8000), the last state and measurements."""
    initialize, next_fn = process
    with tff.framework.get_context_stack().install(context):
        state, results = initialize(), []
        for _ in range(num_rounds):
            values = [to_value(update) for update in updates]
            state, (result, measurements) = next_fn(state, values)
            results.append(np.concatenate([np.ravel(leaf) for leaf in result]))
    return np.stack(results), state, measurements


def to_value(update):
    return [update[:3000], update[3000:].reshape(50, 100)]


def create_update(length, seed=0):
    direction = np.random.default_rng(seed).normal(size=SIZE)
    return (direction * length / np.linalg.norm(direction)).astype(np.float32)


SHORT = [create_update(0.1, seed) for seed in range(3)]  # not the number that is expected
