"""Sparse codes with few active units, computed through the whole code or through the rows of the active units only."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from aezoo._typing import Tensor
from aezoo.layers._unit_rows import RowDecoder, RowEncoder
from aezoo.layers.top_k import top_k_mask


class DenseSelection:
    """Sparse codes as dense tensors, in which all units but the chosen ones are 0.

    Args:
        x: A batch, (batch, *input_shape).
        encoder: A Keras model from x to the whole code.
        decoder: A Keras model from a code to x'.
        training: Whether this is a training step.

    Attributes:
        z: The whole code, (batch, *code_shape).
    """

    def __init__(self, x: Tensor, encoder: keras.Model, decoder: keras.Model, training: bool):
        self.z = encoder(x, training=training)
        self.decoder, self.training = decoder, training

    def largest(self, candidates: Tensor, k: Tensor, k_max: int) -> Tensor:
        """Return the code with only the k largest candidates active.

        Args:
            candidates: z, in which units that must not be chosen hold the smallest number of its dtype.
            k: Number of units, an int or an int32 scalar.
            k_max: The largest k that will be used.
        """
        chosen = top_k_mask(candidates, k, k_max) * ops.cast(candidates > candidates.dtype.min, self.z.dtype)
        return self.z * ops.stop_gradient(chosen)

    def decode(self, code: Tensor) -> Tensor:
        """Decode such a code to x'. Of all passes of a step, only this one changes the decoder's state."""
        return self.decoder(code, training=self.training)

    def addition(self, code: Tensor) -> Tensor:
        """Return what a code adds to the decoder's output, computed as at inference.

        A pass with `training=True` would update the statistics of a BatchNormalization with a constant output for
        zeros, whose variance is 0, and dropout would draw different units in the two passes.
        """
        return self.decoder(code, training=False) - self.decoder(ops.zeros_like(code[:1]), training=False)

    def uses(self, code: Tensor, counts: Tensor) -> Tensor:
        """Return the number of samples that use each unit, (*code_shape,) float32.

        Args:
            code: The code of a batch.
            counts: 1 for samples that count and 0 for others, (batch,) float32.
        """
        return ops.tensordot(counts, ops.cast(code != 0, "float32"), axes=1)


class RowSelection:
    """Sparse codes as values and indices: gradient and decoder use only the rows of the chosen units.

    Args:
        x: A batch, (batch, *input_shape).
        encoder: A `keras.Sequential` whose last layer is a `RowEncoder`.
        decoder: A `keras.Sequential` whose first layer is a `RowDecoder`.
        training: Whether this is a training step.
    """

    def __init__(self, x: Tensor, encoder: keras.Sequential, decoder: keras.Sequential, training: bool):
        *below, self.last = encoder.layers
        self.first, *self.above = decoder.layers
        assert isinstance(self.last, RowEncoder) and isinstance(self.first, RowDecoder)
        self.training = training
        self.h = _through(below, x, training)
        self.z = ops.stop_gradient(self.last(self.h))

    def largest(self, candidates: Tensor, k: Tensor, k_max: int) -> tuple[Any, Any]:
        found = tf.math.top_k(candidates, k=k_max)  # equal values are ordered by index
        chosen = (tf.range(k_max) < ops.cast(k, "int32")) & (found.values > candidates.dtype.min)
        return self.last.at(self.h, found.indices) * ops.cast(chosen, self.z.dtype), found.indices

    def decode(self, code: tuple[Any, Any]) -> Tensor:
        return self._decoded(code, self.training)

    def _decoded(self, code: tuple[Any, Any], training: bool) -> Tensor:
        return _through(self.above, self.first.of(*code), training)

    def addition(self, code: tuple[Any, Any]) -> Tensor:
        values, indices = code
        zeros = ops.zeros_like(values[:1, :1]), indices[:1, :1]
        return self._decoded(code, training=False) - self._decoded(zeros, training=False)

    def uses(self, code: tuple[Any, Any], counts: Tensor) -> Tensor:
        values, indices = code
        used = ops.cast(values != 0, "float32") * counts[:, None]
        return tf.math.unsorted_segment_sum(used, indices, self.last.units)


def _through(layers: list[keras.layers.Layer], x: Tensor, training: bool) -> Tensor:
    for layer in layers:
        x = layer(x, training=training)
    return x
