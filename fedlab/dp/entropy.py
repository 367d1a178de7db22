"""Random bits from the operating system inside a TensorFlow graph."""

import tensorflow as tf

from fedlab import _tensorflow as _tensorflow

_SOURCE = "/dev/urandom"
_NUM_BYTES = 4096  # read at a time
_NUM_LINES = 8  # lines of random bytes, 256 bytes each on average


def draw_os_seed() -> tf.Tensor:
    """Returns new random bits each time the graph runs.

    A computation of TFF is a serialized graph that another process may run, so the bits cannot be
    drawn in Python, and a seed stored in the state could be read by everybody who sees the state.
    TensorFlow has no operation that asks the operating system for random bits. But the operating
    system offers them as the file /dev/urandom, which TensorFlow can read: here as lines of text,
    which are then hashed into two numbers.

    Returns:
        int64 (2,), each in [0, 2**63 - 1): a seed for TensorFlow's stateless generators.
    """
    lines = tf.data.TextLineDataset(_SOURCE, buffer_size=_NUM_BYTES).take(_NUM_LINES)
    drawn = tf.strings.reduce_join(lines.batch(_NUM_LINES).get_single_element())
    halves = [tf.strings.to_hash_bucket_strong(drawn, 2**63 - 1, key=[half, 0]) for half in (0, 1)]
    return tf.stack(halves)
