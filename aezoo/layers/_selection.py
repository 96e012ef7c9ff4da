"""Encoding with a few units of a code, and decoding them: through the whole code, or through their rows alone."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from aezoo._typing import Tensor
from aezoo.layers._unit_rows import RowDecoder, RowEncoder
from aezoo.layers.top_k import top_k_mask


class DenseSelection:
    """The code with all other units set to 0.

    Args:
        x: A batch, (batch, *input_shape).
        encoder: A Keras model, from x to the whole code.
        decoder: A Keras model, from a code to x'.
        training: Whether this is a training step.

    Attributes:
        z: The whole code, (batch, *code_shape).
    """

    def __init__(self, x: Tensor, encoder: keras.Model, decoder: keras.Model, training: bool):
        self.z = encoder(x, training=training)
        self.decoder, self.training = decoder, training

    def largest(self, candidates: Tensor, k: Tensor, k_max: int) -> Tensor:
        """Returns the code of the k largest candidates.

        Args:
            candidates: z, with the least number of its dtype in place of units that must not be chosen.
            k: Number of units, an int or an int32 scalar.
            k_max: The largest k that will be asked for.
        """
        chosen = top_k_mask(candidates, k, k_max) * ops.cast(candidates > candidates.dtype.min, self.z.dtype)
        return self.z * ops.stop_gradient(chosen)

    def decode(self, code: Tensor) -> Tensor:
        """Returns x' of such a code: the step's one pass through the decoder that changes its state."""
        return self.decoder(code, training=self.training)

    def addition(self, code: Tensor) -> Tensor:
        """Returns what a code adds to the decoder's output, as the decoder is at inference.

        A pass with `training=True` would move the statistics of a BatchNormalization, here to those of the output for
        zeros, which has no variance at all; and dropout would draw other units for each of the two.
        """
        return self.decoder(code, training=False) - self.decoder(ops.zeros_like(code), training=False)

    def uses(self, code: Tensor, counts: Tensor) -> Tensor:
        """Returns how many samples use each unit, (*code_shape,) float32.

        Args:
            code: The code of a batch.
            counts: 1 for each sample that counts, 0 for others, (batch,) float32.
        """
        return ops.tensordot(counts, ops.cast(code != 0, "float32"), axes=1)


class RowSelection:
    """The same by values and indices: the gradient and the decoder go through the rows of the chosen units.

    Args:
        x: A batch, (batch, *input_shape).
        encoder: A `keras.Sequential` of which the last layer is a `RowEncoder`.
        decoder: One of which the first layer is a `RowDecoder`.
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
        found = tf.math.top_k(candidates, k=k_max)  # of equal values the first by index comes first
        chosen = (tf.range(k_max) < ops.cast(k, "int32")) & (found.values > candidates.dtype.min)
        return self.last.at(self.h, found.indices) * ops.cast(chosen, self.z.dtype), found.indices

    def decode(self, code: tuple[Any, Any]) -> Tensor:
        return self._decoded(code, self.training)

    def _decoded(self, code: tuple[Any, Any], training: bool) -> Tensor:
        return _through(self.above, self.first.of(*code), training)

    def addition(self, code: tuple[Any, Any]) -> Tensor:
        values, indices = code
        zeros = ops.zeros_like(values[:, :1]), indices[:, :1]
        return self._decoded(code, training=False) - self._decoded(zeros, training=False)

    def uses(self, code: tuple[Any, Any], counts: Tensor) -> Tensor:
        values, indices = code
        used = ops.cast(values != 0, "float32") * counts[:, None]
        return tf.math.unsorted_segment_sum(used, indices, self.last.units)


def _through(layers: list[keras.layers.Layer], x: Tensor, training: bool) -> Tensor:
    for layer in layers:
        x = layer(x, training=training)
    return x
