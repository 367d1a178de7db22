"""Keeps a learner's Keras models usable after TFF has made Keras models inside a graph.

Keras 2 has two versions of its base classes `Layer` and `Model`: one for eager use and one, called
"v1", for graphs. Whenever a model is made, Keras writes the version that it needs into
`__bases__` of the model's classes, for all their objects. TFF's builders make models inside a
graph, so a `Sequential` or `Dense` that was made eagerly before fails from then on with "Your Layer
or Model is in an invalid state". The remedy is to write the eager version back.
"""

from collections.abc import Iterator

import tensorflow as tf
from keras.src.engine import base_layer_v1, training_v1

from fedlab import _tensorflow as _tensorflow

# Keras has no public name for the v1 classes.
_EAGER_BASES = {base_layer_v1.Layer: tf.keras.layers.Layer, training_v1.Model: tf.keras.Model}
# Classes of these modules stand on a v1 class by their own definition.
_V1_MODULES = ("keras.src.engine.training_v1", "keras.src.legacy_tf_layers.base")


def restore_eager_keras() -> None:
    """Makes Keras models that were made eagerly work again after a model was made in a graph.

    `fedlab.runtime.compile` and the builders of `fedlab.learning` call it. Call it yourself only
    where you use TFF's own builder, and then your Keras model before `compile`:

        model = create_cnn()
        process = tff.learning.algorithms.build_fed_eval(model_fn)
        restore_eager_keras()
        logits = model(images)

    It looks at all Keras classes that exist at the time of the call, including those that a learner
    has defined, and changes only those that were left in the graph version. Do not call it while a
    model is being made or called inside a graph.
    """
    for cls in set(_subclasses(tf.keras.layers.Layer)):
        if cls.__module__ in _V1_MODULES or cls in _EAGER_BASES:
            continue
        bases = tuple(_EAGER_BASES.get(base, base) for base in cls.__bases__)
        if bases != cls.__bases__:
            cls.__bases__ = bases


def _subclasses(cls: type[object]) -> Iterator[type[object]]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
