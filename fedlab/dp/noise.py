"""Gaussian noise at the server, fresh in every round, around TensorFlow Privacy's queries.

TensorFlow Privacy draws its own from TensorFlow's stream, of which a process has one, begun with 32
bits of the operating system's: few enough to try them all; its tree begins with the time of day.
Here each round has a seed of its own from `/dev/urandom`, of 126 bits, which is nowhere kept: nobody
who reads the state, or a checkpoint, can take the noise away again. What makes numbers of the seed
(Philox) is no cipher, and the numbers are floats, with gaps that can tell (Mironov 2012): good for
a course, not for a deployment.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import dp_accounting
import tensorflow as tf
import tensorflow_federated as tff
import tensorflow_privacy as tfp

from fedlab import _tensorflow as _tensorflow

# State of the query inside, number of leaves -> standard deviation of the noise of each.
StddevsFn = Callable[[Any, int], Sequence[float]]
_SOURCE = "/dev/urandom"
_NUM_BYTES = 4096  # what is read of it at a time
_NUM_LINES = 8  # of random bytes, 256 each on average


def draw_seed(insecure_seed: int | None, counter: tf.Tensor) -> tf.Tensor:
    """Returns the seed of one draw, inside a TensorFlow graph.

    Args:
        insecure_seed: Makes it a function of this number and the counter. Default: new bits of the
            operating system's generator whenever the graph runs, in every runtime of TFF.
        counter: int64 (), how many draws there were before.

    Returns:
        int64 (2,), for TensorFlow's stateless generators.
    """
    if insecure_seed is not None:
        return tf.stack([tf.constant(insecure_seed, tf.int64), counter])
    # TensorFlow has no operation for it; but a generator that is a file can be read as one.
    lines = tf.data.TextLineDataset(_SOURCE, buffer_size=_NUM_BYTES).take(_NUM_LINES)
    drawn = tf.strings.reduce_join(lines.batch(_NUM_LINES).get_single_element())
    halves = [tf.strings.to_hash_bucket_strong(drawn, 2**63 - 1, key=[half, 0]) for half in (0, 1)]
    return tf.stack(halves)


def draw_noise(seed: tf.Tensor, shapes: Sequence[Any]) -> list[tf.Tensor]:
    """Returns standard Gaussian noise, float32, of each of the shapes."""
    seeds = tf.random.experimental.stateless_split(seed, len(shapes))
    return [
        tf.random.stateless_normal(shape, seeds[leaf], alg="philox")
        for leaf, shape in enumerate(shapes)
    ]


class NoisySumQuery(tfp.SumAggregationDPQuery):
    """Puts the noise onto the sum of the clipped updates, and hands it to a query that adds none.

    Args:
        query: Clips and sums. Its own noise must be zero.
        stddevs_fn: How much noise each leaf of the sum gets, from the state that it was clipped with.
        noise_multiplier: What all of this noise amounts to; TFF keeps it in the state.
        insecure_seed: See `draw_seed`.
    """

    class State(NamedTuple):
        """The query's own, and how many rounds there were."""

        query_state: Any
        num_rounds: tf.Tensor

    def __init__(
        self,
        query: tfp.SumAggregationDPQuery,
        stddevs_fn: StddevsFn,
        noise_multiplier: float,
        insecure_seed: int | None,
    ):
        self._query = query
        self._stddevs_fn = stddevs_fn
        self._noise_multiplier = noise_multiplier
        self._insecure_seed = insecure_seed

    def initial_global_state(self):
        """Returns the state before the first round."""
        return self.State(self._query.initial_global_state(), tf.constant(0, tf.int64))

    def derive_sample_params(self, global_state):
        """Returns what the clients are told: the clip."""
        return self._query.derive_sample_params(global_state.query_state)

    def initial_sample_state(self, template):
        """Returns the sum of nobody."""
        return self._query.initial_sample_state(template)

    def preprocess_record(self, params, record):
        """Returns what a client sends: its update, clipped."""
        return self._query.preprocess_record(params, record)

    def get_noised_result(self, sample_state, global_state):
        """Returns the sum with the noise, the next state, and the event to account for."""
        seed = draw_seed(self._insecure_seed, global_state.num_rounds)
        leaves = tf.nest.flatten(sample_state)
        stddevs = self._stddevs_fn(global_state.query_state, len(leaves))
        noise = draw_noise(seed, [tf.shape(leaf) for leaf in leaves])
        noisy = [
            leaf + tf.cast(stddev * unit, leaf.dtype)
            for leaf, stddev, unit in zip(leaves, stddevs, noise, strict=True)
        ]
        noisy = tf.nest.pack_sequence_as(sample_state, noisy)
        result, state, _ = self._query.get_noised_result(noisy, global_state.query_state)
        event = dp_accounting.GaussianDpEvent(tf.constant(self._noise_multiplier, tf.float32))
        return result, self.State(state, global_state.num_rounds + 1), event

    def derive_metrics(self, global_state):
        """Returns what the server tells of a round: an adaptive query's clip."""
        return self._query.derive_metrics(global_state.query_state)


class TreeFactory(tff.aggregators.UnweightedAggregationFactory):
    """Clips, sums, adds a tree's noise, divides. See `mechanisms.tree_aggregation`.

    Args:
        stddev: Of the noise of a node of the tree.
        clip: Largest L2 norm of an update.
        num_clients: What the noisy sum is divided by.
        rounds_per_epoch: After how many rounds a new tree begins.
        insecure_seed: See `draw_seed`.
    """

    def __init__(
        self,
        stddev: float,
        clip: float,
        num_clients: float,
        rounds_per_epoch: int,
        insecure_seed: int | None,
    ):
        self._stddev = stddev
        self._clip = clip
        self._num_clients = num_clients
        self._rounds_per_epoch = rounds_per_epoch
        self._insecure_seed = insecure_seed

    def create(self, value_type: tff.Type) -> tff.templates.AggregationProcess:
        """Returns the aggregation of updates of a type."""
        specs = tff.types.type_to_tf_tensor_specs(value_type)
        tree = tfp.TreeResidualSumQuery(
            record_specs=specs,
            noise_generator=_NodeNoise(specs, self._stddev, self._insecure_seed),
            clip_fn=lambda record, clip: tf.clip_by_global_norm(record, clip)[0],
            clip_value=float(self._clip),
        )
        restart = tfp.restart_query.PeriodicRoundRestartIndicator(self._rounds_per_epoch)
        mean = tfp.NormalizedQuery(
            tfp.RestartQuery(tree, restart), denominator=float(self._num_clients)
        )
        return tff.aggregators.DifferentiallyPrivateFactory(mean).create(value_type)


class _NodeNoise(tfp.tree_aggregation.ValueGenerator):
    """The noise of one node after the other; the state counts them."""

    def __init__(self, specs: Collection[tf.TensorSpec], stddev: float, insecure_seed: int | None):
        self._specs = specs
        self._stddev = stddev
        self._insecure_seed = insecure_seed

    def initialize(self):
        return tf.constant(0, tf.int64)

    def next(self, state):
        shapes = [spec.shape for spec in tf.nest.flatten(self._specs)]
        noise = draw_noise(draw_seed(self._insecure_seed, state), shapes)
        scaled = [self._stddev * unit for unit in noise]
        return tf.nest.pack_sequence_as(self._specs, scaled), state + 1
