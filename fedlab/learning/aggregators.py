"""Aggregators: how the server makes one change of the model out of the clients' changes.

A change is what a client sends: its weights after training less the weights that it received. All
aggregators here are TFF's own or stand on TFF's pieces, and have a `MapReduceForm`, so they run on
the local runtime. Give one to a builder of `fedlab.learning` as `aggregator`:

    build_fed_avg(model, weighted=False, aggregator=aggregators.median())

A builder and its aggregator must agree on `weighted`: with True a client counts by its number of
examples, with False every client counts once. `median` and `trimmed_mean` count every client once.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlab import _tensorflow as _tensorflow
from fedlab.checks import check_count, check_flag, check_number

Weighted: TypeAlias = tff.aggregators.WeightedAggregationFactory
Unweighted: TypeAlias = tff.aggregators.UnweightedAggregationFactory
Aggregator: TypeAlias = Weighted | Unweighted


def mean(*, weighted: bool = True) -> Aggregator:
    """Returns the mean of the clients' changes (McMahan et al. 2017).

    Args:
        weighted: Whether a client counts by its number of examples, or once.

    Returns:
        An aggregation factory of TFF.
    """
    if check_flag("weighted", weighted):
        return tff.aggregators.MeanFactory()
    return tff.aggregators.UnweightedMeanFactory()


def clipping(norm: float, *, weighted: bool = True) -> Aggregator:
    """Returns an aggregator that shortens long changes, then takes the mean.

    A change whose L2 norm over all its arrays is above `norm` is scaled down to that norm. So one
    client can move the model only so far. Where honest changes are longer, the mean gets a bias.

    Args:
        norm: Largest L2 norm of a change, above 0.
        weighted: Whether a client counts by its number of examples, or once.

    Returns:
        An aggregation factory of TFF.

    Raises:
        TypeError: `norm` is not a number.
        ValueError: `norm` is out of range.
    """
    return tff.aggregators.clipping_factory(
        check_number("norm", norm, above=0), mean(weighted=weighted)
    )


def adaptive_clipping(
    *,
    initial_norm: float = 1.0,
    quantile: float = 0.8,
    learning_rate: float = 0.2,
    weighted: bool = True,
) -> Aggregator:
    """Returns `clipping` with a norm that follows a quantile of the clients' norms.

    After each round the norm is multiplied by `exp(learning_rate * (quantile - fraction))`, where
    `fraction` is the fraction of the cohort whose change was not longer than the norm (Andrew et
    al. 2021, algorithm 1). The defaults are those of TFF's `robust_aggregator`.

    Args:
        initial_norm: Largest L2 norm of a change in the first round, above 0.
        quantile: Fraction of the clients whose change is to be left as it is, in [0, 1].
        learning_rate: How fast the norm moves, above 0.
        weighted: Whether a client counts by its number of examples, or once.

    Returns:
        An aggregation factory of TFF.

    Raises:
        TypeError: An argument is not a number.
        ValueError: A number is out of range.
    """
    norm = tff.aggregators.PrivateQuantileEstimationProcess.no_noise(
        initial_estimate=check_number("initial_norm", initial_norm, above=0),
        target_quantile=check_number("quantile", quantile, at_least=0, at_most=1),
        learning_rate=check_number("learning_rate", learning_rate, above=0),
    )
    return tff.aggregators.clipping_factory(norm, mean(weighted=weighted))


def robust(*, weighted: bool = True) -> Aggregator:
    """Returns TFF's `robust_aggregator`, against clients that are broken or very different.

    It sets a change to 0 if one of its coordinates is far larger than those seen so far (more than
    twice the 98% quantile of the clients' largest coordinates, plus 1), then does what
    `adaptive_clipping` does. A client whose change is set to 0 still counts in the mean.

    Args:
        weighted: Whether a client counts by its number of examples, or once.

    Returns:
        An aggregation factory of TFF.
    """
    return tff.learning.robust_aggregator(weighted=check_flag("weighted", weighted))


def compression(*, weighted: bool = True) -> Aggregator:
    """Returns TFF's `compression_aggregator`: `robust`, with 8 bits a number in large arrays.

    It rounds to the nearest of 256 levels rather than at random, so that a run can be repeated.

    Args:
        weighted: Whether a client counts by its number of examples, or once.

    Returns:
        An aggregation factory of TFF.
    """
    weighted = check_flag("weighted", weighted)
    return tff.learning.compression_aggregator(weighted=weighted, stochastic=False)


def quantization(num_bits: int = 8, *, min_size: int = 20_000, weighted: bool = True) -> Aggregator:
    """Returns an aggregator that rounds every number to few levels, then takes the mean.

    The `2 ** num_bits` levels lie evenly between an array's smallest and largest number. Suresh et
    al. 2017 round at random, which has no bias; this rounds to the nearest level, so that a run can
    be repeated. The values are packed as they would be sent, but `bytes_up` in the records of a run
    does not count the packed form.

    Args:
        num_bits: Bits that are sent for each number, from 1 to 16.
        min_size: Arrays of at most this many numbers are sent without rounding; at least 0.
        weighted: Whether a client counts by its number of examples, or once.

    Returns:
        An aggregation factory of TFF.

    Raises:
        TypeError: An argument is not a whole number.
        ValueError: A number is out of range.
    """
    rounded_sum = tff.aggregators.EncodedSumFactory.quantize_above_threshold(
        check_count("num_bits", num_bits, at_most=16),
        check_count("min_size", min_size, at_least=0),
        stochastic=False,
    )
    if check_flag("weighted", weighted):
        return tff.aggregators.MeanFactory(rounded_sum)
    return tff.aggregators.UnweightedMeanFactory(rounded_sum)


def median() -> Unweighted:
    """Returns the median of each coordinate over the clients (Yin et al. 2018, option I).

    The result stays between the honest clients' values as long as fewer than half of the clients
    are malicious. It is not their mean: where honest clients have different data, a coordinate that
    only a minority of them changes does not change.

    Returns:
        An aggregation factory that counts every client once.
    """
    return _reduce_at_server(_median)


def trimmed_mean(fraction: float) -> Unweighted:
    """Returns each coordinate's mean without its extreme values (Yin et al. 2018, option II).

    Args:
        fraction: Fraction of the clients that is left out at EACH end, rounded down to whole
            clients, in [0, 0.5). 0 gives the mean.

    Returns:
        An aggregation factory that counts every client once.

    Raises:
        TypeError: `fraction` is not a number.
        ValueError: `fraction` is out of range.
    """
    fraction = check_number("fraction", fraction, at_least=0, below=0.5)

    def reduce_fn(changes: tf.Tensor) -> tf.Tensor:
        product = fraction * tf.cast(tf.shape(changes)[0], tf.float64)
        # 0.29 * 100 is 28.999... in floating point, and 29 clients are meant.
        return _trim_and_average(changes, tf.cast(product + 1e-9, tf.int32))

    return _reduce_at_server(reduce_fn)


class _ReduceAtServer(Unweighted):
    """Collects all clients' changes at the server and reduces them to one.

    The server sees every single change, which secure aggregation would not allow, and holds all of
    them in memory at the same time.

    Args:
        reduce_fn: A function from the changes, float32 (num_clients, size), to float32 (size,).
    """

    def __init__(self, reduce_fn: Callable[[tf.Tensor], tf.Tensor]):
        self._reduce_fn = reduce_fn

    def create(self, value_type: tff.TensorType) -> tff.templates.AggregationProcess:
        """Returns the aggregation process for vectors of a type, as TFF's builders demand."""
        changes_type = tff.TensorType(np.float32, (None, *value_type.shape))
        zero = tff.tensorflow.computation(lambda: tf.zeros((0, *value_type.shape)))
        accumulate = tff.tensorflow.computation(
            lambda changes, value: tf.concat([changes, value[tf.newaxis]], axis=0),
            (changes_type, value_type),
        )
        merge = tff.tensorflow.computation(
            lambda changes, more: tf.concat([changes, more], axis=0), (changes_type, changes_type)
        )
        report = tff.tensorflow.computation(self._reduce_fn, changes_type)

        @tff.federated_computation
        def init_fn():
            return tff.federated_value((), tff.SERVER)

        @tff.federated_computation(
            init_fn.type_signature.result, tff.FederatedType(value_type, tff.CLIENTS)
        )
        def next_fn(state, values):
            result = tff.federated_aggregate(values, zero(), accumulate, merge, report)
            measurements = tff.federated_value((), tff.SERVER)
            return tff.templates.MeasuredProcessOutput(state, result, measurements)

        return tff.templates.AggregationProcess(init_fn, next_fn)


def _reduce_at_server(reduce_fn: Callable[[tf.Tensor], tf.Tensor]) -> Unweighted:
    # `concat_factory` makes one vector of all arrays of the model.
    return tff.aggregators.concat_factory(_ReduceAtServer(reduce_fn))


def _trim_and_average(changes: tf.Tensor, num_trimmed: tf.Tensor) -> tf.Tensor:
    """Returns each column's mean without its `num_trimmed` smallest and largest values."""
    ranked = tf.sort(changes, axis=0)
    return tf.reduce_mean(ranked[num_trimmed : tf.shape(changes)[0] - num_trimmed], axis=0)


def _median(changes: tf.Tensor) -> tf.Tensor:
    return _trim_and_average(changes, (tf.shape(changes)[0] - 1) // 2)
