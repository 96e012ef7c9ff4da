"""The layers before and behind a large sparse code: of their weights only the rows of the units in use are touched."""

from __future__ import annotations

import keras
import tensorflow as tf
from keras import ops

from aezoo._typing import Tensor
from aezoo.layers.dense_transpose import SharedDense


@keras.saving.register_keras_serializable("aezoo")
class RowEncoder(SharedDense):
    """z = σ(Wx + b), as `keras.layers.Dense`, but with a row of W for each code unit, (units, inputs).

    It takes the arguments of `aezoo.layers.SharedDense`.

    Example:
        >>> encode, x = RowEncoder(6), ops.ones((1, 8))
        >>> z, units = encode(x), [[4, 1]]
        >>> bool(ops.all(encode.at(x, units) - tf.gather(z, units, axis=1, batch_dims=1) < 1e-5))
        True
    """

    transposed = True

    def at(self, x: Tensor, indices: Tensor) -> Tensor:
        """Returns the code at some units, (batch, k): the gradient reaches the rows of these units and no others.

        Args:
            x: (batch, inputs).
            indices: The units of each sample, (batch, k) int32.

        Returns:
            (batch, k).
        """
        rows, bias = (_rows(parameter, indices, self.compute_dtype) for parameter in (self.kernel, self.bias))
        return self.activation(tf.linalg.matvec(rows, x) + bias)


@keras.saving.register_keras_serializable("aezoo")
class RowDecoder(SharedDense):
    """x' = σ'(Wᵀz + b') with a row of W for each code unit, (inputs, units): its own, or that of a `RowEncoder`.

    It takes the arguments of `aezoo.layers.SharedDense`.

    Example:
        >>> decode = RowDecoder(8)
        >>> x = decode(ops.array([[0.0, 2.0, 0.0, 0.0, 3.0, 0.0]]))  # of six units two are used
        >>> bool(ops.all(ops.abs(decode.of([[2.0, 3.0]], [[1, 4]]) - x) < 1e-5))
        True
    """

    def of(self, values: Tensor, indices: Tensor) -> Tensor:
        """Returns what a code of a few units decodes to, (batch, units).

        Args:
            values: The code of these units, (batch, k).
            indices: Which they are, (batch, k) int32.
        """
        rows = _rows(self.kernel, indices, self.compute_dtype)
        return self.activation(
            tf.linalg.matvec(rows, values, transpose_a=True) + ops.cast(self.bias, self.compute_dtype)
        )


def _rows(parameter: Tensor, indices: Tensor, dtype: str) -> Tensor:
    """Rows of a variable in the dtype of a layer; only these are converted."""
    return ops.cast(tf.gather(parameter.value, indices), dtype)
