"""Layers before and after a large sparse code that only use the weight rows of the active units."""

from __future__ import annotations

import keras
import tensorflow as tf
from keras import ops

from aezoo._typing import Tensor
from aezoo.layers.dense_transpose import SharedDense


@keras.saving.register_keras_serializable("aezoo")
class RowEncoder(SharedDense):
    """Dense layer z = σ(Wx + b) whose kernel has one row per code unit, (units, inputs).

    The arguments are those documented in `aezoo.layers.SharedDense`.

    Example:
        >>> encode, x = RowEncoder(6), ops.ones((1, 8))
        >>> z, units = encode(x), [[4, 1]]
        >>> bool(ops.all(encode.at(x, units) - tf.gather(z, units, axis=1, batch_dims=1) < 1e-5))
        True
    """

    transposed = True

    def at(self, x: Tensor, indices: Tensor) -> Tensor:
        """Return the code at some units, (batch, k). Gradients reach only the rows of these units.

        Args:
            x: Inputs, (batch, inputs).
            indices: Indices of the units of each sample, (batch, k) int32.

        Returns:
            Values of these units, (batch, k).
        """
        rows, bias = (_rows(parameter, indices, self.compute_dtype) for parameter in (self.kernel, self.bias))
        return self.activation(tf.linalg.matvec(rows, x) + bias)


@keras.saving.register_keras_serializable("aezoo")
class RowDecoder(SharedDense):
    """Dense layer x' = σ'(Wᵀz + b') whose kernel has one row per code unit, (inputs, units).

    The kernel may be shared with a `RowEncoder`. The arguments are those documented in `aezoo.layers.SharedDense`.

    Example:
        >>> decode = RowDecoder(8)
        >>> x = decode(ops.array([[0.0, 2.0, 0.0, 0.0, 3.0, 0.0]]))  # two of six units are active
        >>> bool(ops.all(ops.abs(decode.of([[2.0, 3.0]], [[1, 4]]) - x) < 1e-5))
        True
    """

    def of(self, values: Tensor, indices: Tensor) -> Tensor:
        """Decode a code given by its active units, (batch, units).

        Args:
            values: Values of the active units, (batch, k).
            indices: Indices of the active units, (batch, k) int32.
        """
        rows = _rows(self.kernel, indices, self.compute_dtype)
        return self.activation(
            tf.linalg.matvec(rows, values, transpose_a=True) + ops.cast(self.bias, self.compute_dtype)
        )


def _rows(parameter: Tensor, indices: Tensor, dtype: str) -> Tensor:
    """Return rows of a variable, cast to the dtype of a layer; other rows are not converted."""
    return ops.cast(tf.gather(parameter.value, indices), dtype)
