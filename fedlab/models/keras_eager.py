"""Keeps Keras models that a learner made beforehand working after TFF has made models in a graph."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from fedlab import _tensorflow as _tensorflow


@contextlib.contextmanager
def keep_keras_eager() -> Iterator[None]:
    """Lets Keras models that were made before still work after what is done inside.

    Keras 2 has two versions of its base classes, for eager use and for graphs, and whoever makes a
    model in a graph, as TFF's builders do, exchanges them for every layer and model of the same
    kind: one that was made before then fails with "Your Layer or Model is in an invalid state".
    `fedlab`'s builders are protected; put this around TFF's own where you call them directly.
    """
    bases = _layer_bases() | _EAGER_BASES
    try:
        yield
    finally:
        for kind, kept in bases.items():
            if kind.__bases__ != kept:
                kind.__bases__ = kept


def _layer_bases() -> dict[type, tuple[type, ...]]:
    kinds = [tf.keras.layers.Layer]
    for kind in kinds:  # grows while it is walked
        kinds.extend(kind.__subclasses__())
    return {kind: kind.__bases__ for kind in kinds}


_EAGER_BASES = _layer_bases()  # nobody has made a model yet
