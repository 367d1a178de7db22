"""Gaussian noise at the server, fresh in every round, around TensorFlow Privacy's queries.

TensorFlow Privacy's own noise comes from TensorFlow's global generator, which each process starts with
only 32 random bits, so few that all starts can be tried. The seed of its tree is the time of day. Here
each round gets a new seed of 126 bits from the operating system, which is stored nowhere: whoever reads
the state or a checkpoint cannot remove the noise. The generator that expands the seed (Philox) is not
cryptographic, and noise in floating point has gaps that can reveal what was added to it (Mironov 2012).
So this is good enough for a course and not for a deployment.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import dp_accounting
import tensorflow as tf
import tensorflow_federated as tff
import tensorflow_privacy as tfp

from fedlab import _tensorflow as _tensorflow
from fedlab.dp.entropy import draw_os_seed
from fedlab.runtime.privacy import mechanism_scope

# (state of the wrapped query, number of leaves) -> standard deviation of the noise of each leaf.
StddevsFn = Callable[[Any, int], Sequence[float]]


def draw_seed(insecure_seed: int | None, counter: tf.Tensor) -> tf.Tensor:
    """Returns the seed of one draw of noise, inside a TensorFlow graph.

    Args:
        insecure_seed: Makes the result a function of this number and the counter. Default: new bits
            from the operating system each time the graph runs, in every runtime of TFF.
        counter: int64 (), the number of earlier draws.

    Returns:
        int64 (2,), for TensorFlow's stateless generators.
    """
    if insecure_seed is None:
        return draw_os_seed()
    return tf.stack([tf.constant(insecure_seed, tf.int64), counter])


def draw_noise(seed: tf.Tensor, shapes: Sequence[Any]) -> list[tf.Tensor]:
    """Returns independent standard Gaussian noise, one float32 tensor for each shape.

    Args:
        seed: int64 (2,), from `draw_seed`.
        shapes: The shapes.
    """
    seeds = tf.random.experimental.stateless_split(seed, len(shapes))
    return [
        tf.random.stateless_normal(shape, seeds[leaf], alg="philox")
        for leaf, shape in enumerate(shapes)
    ]


def split_noise(noise_multiplier: float, count_stddev: float) -> float:
    """Returns the noise multiplier of the updates; the count, of sensitivity 1/2, gets the rest.

    Args:
        noise_multiplier: Noise multiplier of both together, at least 0.
        count_stddev: Standard deviation of the noise of the count.

    Raises:
        ValueError: The noise of the count alone exceeds the noise multiplier.
    """
    if noise_multiplier == 0:
        return 0.0
    if noise_multiplier >= 2 * count_stddev:
        raise ValueError(
            "expected_num_clients must be above 10 times the noise_multiplier, or the noise of the "
            f"count alone exceeds the noise_multiplier. Found a noise_multiplier of {noise_multiplier} and "
            f"{20 * count_stddev:g} clients."
        )
    return (noise_multiplier**-2 - (2 * count_stddev) ** -2) ** -0.5


class NoisySumQuery(tfp.SumAggregationDPQuery):
    """Adds noise to the sum of the clipped updates, and passes it to a query that adds none.

    Args:
        query: Clips and sums the updates. Its own noise must be zero.
        stddevs_fn: Standard deviation of the noise of each leaf of the sum, as a function of the state
            with which the sum was clipped and of the number of leaves.
        noise_multiplier: Noise multiplier of all this noise together, for TFF's record of the run.
        insecure_seed: Seed of the noise, as in `draw_seed`.
    """

    class State(NamedTuple):
        """The state of the query.

        Attributes:
            query_state: The state of the wrapped query.
            num_rounds: int64 (), the number of rounds so far.
        """

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

    def initial_global_state(self) -> State:
        """Returns the state before the first round."""
        return self.State(self._query.initial_global_state(), tf.constant(0, tf.int64))

    def derive_sample_params(self, global_state: State) -> Any:
        """Returns the parameters that the clients receive: the clip."""
        return self._query.derive_sample_params(global_state.query_state)

    def initial_sample_state(self, template: Any) -> Any:
        """Returns the sum before the first client: zeros with the template's structure."""
        return self._query.initial_sample_state(template)

    def preprocess_record(self, params: Any, record: Any) -> Any:
        """Returns the update that a client sends: `record`, clipped."""
        return self._query.preprocess_record(params, record)

    def get_noised_result(self, sample_state: Any, global_state: State) -> tuple[Any, State, Any]:
        """Returns the noisy sum, the next state, and the event for the privacy accountant."""
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

    def derive_metrics(self, global_state: State) -> Any:
        """Returns the server's metrics of a round: the clip, if it is adaptive."""
        return self._query.derive_metrics(global_state.query_state)


class NamedMean(tfp.NormalizedQuery):
    """Divides a query's noisy sum by a constant, and names what it lets a client send.

    `fedlab.runtime.privacy` finds the name in the graph that a client runs.

    Args:
        query: Clips and sums the updates and adds the noise.
        denominator: The constant by which the noisy sum is divided.
        name: The mechanism and its parameters: letters, digits, and `._-`.
    """

    def __init__(self, query: tfp.SumAggregationDPQuery, denominator: float, name: str):
        super().__init__(query, denominator)
        self._name = name

    def preprocess_record(self, params: Any, record: Any) -> Any:
        """Returns the update that a client sends: `record`, clipped."""
        with mechanism_scope(self._name):
            return super().preprocess_record(params, record)


class TreeFactory(tff.aggregators.UnweightedAggregationFactory):
    """Clips and sums updates, adds the noise of a binary tree, and divides by a constant.

    `fedlab.dp.mechanisms.tree_aggregation` explains the method and checks the parameters.

    Args:
        stddev: Standard deviation of the noise of one node of the tree.
        clip: Largest L2 norm of an update.
        num_clients: The constant by which the noisy sum is divided.
        rounds_per_epoch: Number of rounds after which a new tree begins.
        insecure_seed: Seed of the noise, as in `draw_seed`.
        name: Name of the mechanism, as in `NamedMean`.
    """

    def __init__(
        self,
        stddev: float,
        clip: float,
        num_clients: float,
        rounds_per_epoch: int,
        insecure_seed: int | None,
        name: str,
    ):
        self._stddev = stddev
        self._clip = clip
        self._num_clients = num_clients
        self._rounds_per_epoch = rounds_per_epoch
        self._insecure_seed = insecure_seed
        self._name = name

    def create(self, value_type: tff.Type) -> tff.templates.AggregationProcess:
        """Returns the aggregation process for updates of `value_type`."""
        specs = tff.types.type_to_tf_tensor_specs(value_type)
        tree = tfp.TreeResidualSumQuery(
            record_specs=specs,
            noise_generator=_NodeNoise(specs, self._stddev, self._insecure_seed),
            clip_fn=lambda record, clip: tf.clip_by_global_norm(record, clip)[0],
            clip_value=float(self._clip),
        )
        restart = tfp.restart_query.PeriodicRoundRestartIndicator(self._rounds_per_epoch)
        mean = NamedMean(tfp.RestartQuery(tree, restart), float(self._num_clients), self._name)
        return tff.aggregators.DifferentiallyPrivateFactory(mean).create(value_type)


class _NodeNoise(tfp.tree_aggregation.ValueGenerator):
    """Draws the noise of one node after the other. The state counts the nodes."""

    def __init__(self, specs: Collection[tf.TensorSpec], stddev: float, insecure_seed: int | None):
        self._specs = specs
        self._stddev = stddev
        self._insecure_seed = insecure_seed

    def initialize(self) -> tf.Tensor:
        return tf.constant(0, tf.int64)

    def next(self, state: tf.Tensor) -> tuple[Any, tf.Tensor]:
        shapes = [spec.shape for spec in tf.nest.flatten(self._specs)]
        noise = draw_noise(draw_seed(self._insecure_seed, state), shapes)
        scaled = [self._stddev * unit for unit in noise]
        return tf.nest.pack_sequence_as(self._specs, scaled), state + 1
