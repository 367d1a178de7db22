"""How the clients' changes become one: TFF's aggregators by name, and medians on TFF's pieces.

All have a `MapReduceForm`, so they run on the local runtime. Give one to a builder as
`aggregator=`. Those with `weighted` are made for the builder's own `weighted`; the medians count
every client once, so they want `weighted=False` there.
"""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlab import _tensorflow as _tensorflow

Weighted = tff.aggregators.WeightedAggregationFactory
Unweighted = tff.aggregators.UnweightedAggregationFactory
Aggregator = Weighted | Unweighted
_quantile = tff.aggregators.PrivateQuantileEstimationProcess.no_noise


def mean(*, weighted: bool = True) -> Aggregator:
    """Returns the mean: by number of examples (McMahan et al. 2017), or of clients."""
    return tff.aggregators.MeanFactory() if weighted else tff.aggregators.UnweightedMeanFactory()


def clipping(norm: float, *, weighted: bool = True) -> Aggregator:
    """Shortens every change to an L2 norm of at most `norm`, over all its arrays; then the mean.

    Bounds what one client can do to the model, at the cost of a bias where honest changes are
    longer.

    Raises:
        ValueError: `norm` is not a number above 0.
    """
    _check_above_0("norm", norm)
    return tff.aggregators.clipping_factory(float(norm), mean(weighted=weighted))


def adaptive_clipping(
    *,
    initial_norm: float = 1.0,
    quantile: float = 0.8,
    learning_rate: float = 0.2,
    weighted: bool = True,
) -> Aggregator:
    """Clips at a norm that follows a quantile of the clients' norms (Andrew et al. 2021).

    After each round the norm is multiplied by `exp(learning_rate * (quantile - share))`, where
    `share` of the cohort was at or below it. The defaults are those of TFF's `robust_aggregator`.

    Args:
        initial_norm: Of the first round, above 0.
        quantile: Share of the clients to leave whole, in [0, 1].
        learning_rate: How fast the norm moves, above 0.
        weighted: See the module.

    Raises:
        ValueError: A number is out of range.
    """
    _check_above_0("initial_norm", initial_norm)
    _check_above_0("learning_rate", learning_rate)
    _check_quantile(quantile)
    norm = _quantile(
        initial_estimate=initial_norm, target_quantile=quantile, learning_rate=learning_rate
    )
    return tff.aggregators.clipping_factory(norm, mean(weighted=weighted))


def adaptive_zeroing(
    *,
    initial_norm: float = 10.0,
    quantile: float = 0.98,
    multiplier: float = 2.0,
    weighted: bool = True,
) -> Aggregator:
    """Sets to 0 every change with a coordinate that is far larger than those seen so far.

    The bound is `multiplier` times a quantile of the clients' largest coordinates (their infinity
    norm), plus 1; it follows as in `adaptive_clipping`, by a factor of up to 10 a round, and its
    defaults are TFF's. Against broken clients, not clever ones. A zeroed client still counts in the
    mean, with a change of 0.

    Args:
        initial_norm: First estimate of the quantile, above 0.
        quantile: In [0, 1].
        multiplier: Above 0.
        weighted: See the module.

    Raises:
        ValueError: A number is out of range.
    """
    _check_above_0("initial_norm", initial_norm)
    _check_above_0("multiplier", multiplier)
    _check_quantile(quantile)
    norm = _quantile(
        initial_estimate=initial_norm,
        target_quantile=quantile,
        learning_rate=math.log(10.0),
        multiplier=multiplier,
        increment=1.0,
    )
    return tff.aggregators.zeroing_factory(norm, mean(weighted=weighted))


def robust(*, weighted: bool = True) -> Aggregator:
    """Returns TFF's `robust_aggregator`: adaptive zeroing, then adaptive clipping, then the mean."""
    return tff.learning.robust_aggregator(weighted=weighted)


def compression(*, weighted: bool = True) -> Aggregator:
    """Returns TFF's `compression_aggregator`: `robust`, and 8 bits a number for large arrays.

    Rounds to the nearest of 256 levels rather than at random, so that a run can be repeated.
    """
    return tff.learning.compression_aggregator(weighted=weighted, stochastic=False)


def quantization(num_bits: int = 8, *, min_size: int = 20_000, weighted: bool = True) -> Aggregator:
    """Rounds every number to one of `2 ** num_bits` levels; then the mean (Suresh et al. 2017).

    The levels lie evenly between an array's smallest and largest number. Rounds to the nearest,
    so that a run can be repeated; the paper rounds at random, which has no bias. The values are
    packed as they would be sent; the records' `bytes_up` do not show it.

    Args:
        num_bits: Between 1 and 16.
        min_size: Arrays of at most this many numbers are sent whole, at least 0.
        weighted: See the module.

    Raises:
        ValueError: A number is out of range.
    """
    if not 1 <= num_bits <= 16:
        raise ValueError(f"num_bits must be between 1 and 16. Found {num_bits}.")
    if min_size < 0:
        raise ValueError(f"min_size must be at least 0. Found {min_size}.")
    rounded = tff.aggregators.EncodedSumFactory.quantize_above_threshold(
        num_bits, min_size, stochastic=False
    )
    kinds = tff.aggregators
    return kinds.MeanFactory(rounded) if weighted else kinds.UnweightedMeanFactory(rounded)


def median() -> Unweighted:
    """Returns the median of each coordinate (Yin et al. 2018, option I); each client counts once.

    Holds as long as fewer than half of the clients are bad. Between honest clients with different
    data it is not the mean: a coordinate that only a minority changes, stays.
    """
    return _collect(_median)


def trimmed_mean(fraction: float) -> Unweighted:
    """Returns each coordinate's mean without its smallest and largest (Yin et al. 2018, option II).

    Args:
        fraction: Share of the clients left out at EITHER end, rounded down to whole clients, in
            [0, 0.5); 0 is the mean.

    Raises:
        ValueError: `fraction` is out of range.
    """
    if not 0 <= fraction < 0.5:
        raise ValueError(f"fraction must lie in [0, 0.5). Found {fraction}.")

    def reduce_fn(rows: tf.Tensor) -> tf.Tensor:
        share = fraction * tf.cast(tf.shape(rows)[0], tf.float64)
        return _mean_of_middle(rows, tf.cast(share + 1e-9, tf.int32))  # 0.29 * 100 = 28.999…

    return _collect(reduce_fn)


def geometric_median(*, num_iterations: int = 10, epsilon: float = 1e-6) -> Unweighted:
    """Returns the point with the smallest sum of distances to the changes (Pillutla et al. 2022).

    By the paper's smoothed Weiszfeld steps, here from `median`: each is a mean in which a change counts
    by one over its distance, or `epsilon` if it is nearer. The paper's clients weigh themselves in
    several secure sums a round; here the server has collected the changes and does it alone.

    Args:
        num_iterations: At least 1.
        epsilon: Above 0.

    Raises:
        ValueError: A number is out of range.
    """
    if num_iterations < 1:
        raise ValueError(f"num_iterations must be at least 1. Found {num_iterations}.")
    _check_above_0("epsilon", epsilon)
    return _collect(lambda rows: _weiszfeld(rows, num_iterations, epsilon))


class _Collecting(Unweighted):
    """Collects all clients' changes at the server, whole, and makes one of them there.

    What a median needs, and what secure aggregation rules out: the server sees every change. It
    also holds them all at once.

    Args:
        reduce_fn: From float32 (num_clients, size) to float32 (size,).
    """

    def __init__(self, reduce_fn: Callable[[tf.Tensor], tf.Tensor]):
        self._reduce_fn = reduce_fn

    def create(self, value_type: tff.TensorType) -> tff.templates.AggregationProcess:
        """Returns the process, as TFF's builders ask for it; of vectors."""
        rows_type = tff.TensorType(np.float32, (None, *value_type.shape))
        zero = tff.tensorflow.computation(lambda: tf.zeros((0, *value_type.shape)))
        accumulate = tff.tensorflow.computation(
            lambda rows, value: tf.concat([rows, value[tf.newaxis]], axis=0),
            (rows_type, value_type),
        )
        merge = tff.tensorflow.computation(
            lambda rows, more: tf.concat([rows, more], axis=0), (rows_type, rows_type)
        )
        report = tff.tensorflow.computation(self._reduce_fn, rows_type)

        @tff.federated_computation
        def init_fn():
            return tff.federated_value((), tff.SERVER)

        @tff.federated_computation(
            init_fn.type_signature.result, tff.FederatedType(value_type, tff.CLIENTS)
        )
        def next_fn(state, values):
            result = tff.federated_aggregate(values, zero(), accumulate, merge, report)
            nothing = tff.federated_value((), tff.SERVER)
            return tff.templates.MeasuredProcessOutput(state, result, nothing)

        return tff.templates.AggregationProcess(init_fn, next_fn)


def _collect(reduce_fn: Callable[[tf.Tensor], tf.Tensor]) -> Unweighted:
    return tff.aggregators.concat_factory(_Collecting(reduce_fn))  # all arrays as one vector


def _mean_of_middle(rows: tf.Tensor, num_left_out) -> tf.Tensor:
    """Each column's mean without as many of its smallest and of its largest."""
    ranked = tf.sort(rows, axis=0)
    return tf.reduce_mean(ranked[num_left_out : tf.shape(rows)[0] - num_left_out], axis=0)


def _median(rows: tf.Tensor) -> tf.Tensor:
    return _mean_of_middle(rows, (tf.shape(rows)[0] - 1) // 2)


def _weiszfeld(rows: tf.Tensor, num_iterations: int, epsilon: float) -> tf.Tensor:
    center = _median(rows)
    for _ in range(num_iterations):
        weights = 1 / tf.maximum(tf.norm(rows - center, axis=1), epsilon)
        center = tf.linalg.matvec(rows, weights / tf.reduce_sum(weights), transpose_a=True)
    return center


def _check_above_0(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be a number above 0. Found {value}.")


def _check_quantile(value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"quantile must lie in [0, 1]. Found {value}.")
