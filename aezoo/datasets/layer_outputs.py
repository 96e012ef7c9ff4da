"""Activations of a layer of any Keras model, as data to train on."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from aezoo import _keras
from aezoo._typing import Data, Tensor


def activations(
    model: keras.Model,
    layer: str | keras.layers.Layer,
    data: Data,
    *,
    batch_size: int = 256,
    flatten: bool = False,
) -> tf.data.Dataset:
    """Return the activations of a layer, computed batch by batch while they are read.

    `fit(activations(...))` trains a model on them; two calls, zipped, train a transcoder from one layer to another:
    `fit(tf.data.Dataset.zip((of_one, of_another)))`. Add `.cache()` if the activations fit into memory, to compute them
    once and not in every epoch.

    Args:
        model: Any built Keras model. It runs as at inference.
        layer: The layer, or the name of a layer, also inside of a nested model. If the model runs it several times, its
            last output counts.
        data: Inputs of the model: an array, (n, ...), or a `tf.data.Dataset` of batches, whose targets are ignored.
        batch_size: Number of samples per batch of an array.
        flatten: Whether the places of an output with several axes become samples: (batch, h, w, channels) becomes
            (batch · h · w, channels), so that a code describes one place.

    Returns:
        A data set of batches, (batch, ...) float32, in the order of the data.

    Raises:
        ValueError: If the model is not built, has no such layer, or does not run it; or if several layers have this
            name.

    Example:
        >>> inputs = keras.Input((8, 8, 1))
        >>> h = keras.layers.Conv2D(5, 3, activation="relu", name="features")(inputs)
        >>> cnn = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(h))
        >>> x = np.zeros((20, 8, 8, 1), "float32")
        >>> activations(cnn, "features", x, batch_size=10, flatten=True).element_spec.shape
        TensorShape([None, 5])
        >>> [len(batch) for batch in activations(cnn, "features", x, batch_size=10, flatten=True)]
        [360, 360]
    """
    if not model.built:
        raise ValueError(f"{model.name!r} has not been built: call it on a batch first.")
    found = _find(model, layer)
    if isinstance(data, tf.data.Dataset):
        batches = data.map(lambda *element: element[0])
    else:
        batches = tf.data.Dataset.from_tensor_slices(np.asarray(data)).batch(batch_size)

    @tf.autograph.experimental.do_not_convert
    def output(x: Tensor) -> Tensor:
        outputs: list[Any] = []
        call = found.call

        def recording(*args: Any, **kwargs: Any) -> Any:
            outputs.append(call(*args, **kwargs))
            return outputs[-1]

        _keras.replace_call(found, recording)
        try:
            model(x, training=False)
        finally:
            _keras.replace_call(found, call)
        if not outputs:
            raise ValueError(f"{model.name!r} does not run its layer {found.name!r}.")
        if not tf.is_tensor(outputs[-1]):
            raise ValueError(f"{found.name!r} has several outputs: choose a layer with one.")
        h = tf.cast(outputs[-1], "float32")
        return tf.reshape(h, (-1, h.shape[-1])) if flatten and len(h.shape) > 2 else h

    return batches.map(output).prefetch(tf.data.AUTOTUNE)


def _find(model: keras.Model, layer: str | keras.layers.Layer) -> keras.layers.Layer:
    layers = [each for each in _keras.all_layers(model) if each is not model]
    found = [each for each in layers if each is layer or each.name == layer]
    if len(found) != 1:
        names = ", ".join(repr(each.name) for each in layers[:20])
        count = "no layer" if not found else f"{len(found)} layers"
        raise ValueError(f"{model.name!r} has {count} {layer!r}: give a layer, or one of the names {names}.")
    return found[0]
