"""The layers before and behind a large sparse code: of their weights only the rows of the units in use are touched."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from aezoo.layers.dense_transpose import SharedDense


@keras.saving.register_keras_serializable("aezoo")
class RowEncoder(SharedDense):
    """z = σ(Wx + b), as `keras.layers.Dense`, but with a row of W for each code unit, (units, inputs)."""

    transposed = True

    def at(self, x: Any, indices: Any) -> Any:
        """Returns the code at some units, (batch, k): the gradient reaches the rows of these units and no others.

        Args:
            x: (batch, inputs).
            indices: The units of each sample, (batch, k) int32.
        """
        rows, bias = (_rows(parameter, indices, self.compute_dtype) for parameter in (self.kernel, self.bias))
        return self.activation(tf.linalg.matvec(rows, x) + bias)


@keras.saving.register_keras_serializable("aezoo")
class RowDecoder(SharedDense):
    """x' = σ'(Wᵀz + b') with a row of W for each code unit, (inputs, units): its own, or that of a `RowEncoder`."""

    def of(self, values: Any, indices: Any) -> Any:
        """Returns what a code of a few units decodes to, (batch, units).

        Args:
            values: The code of these units, (batch, k).
            indices: Which they are, (batch, k) int32.
        """
        rows = _rows(self.kernel, indices, self.compute_dtype)
        return self.activation(
            tf.linalg.matvec(rows, values, transpose_a=True) + ops.cast(self.bias, self.compute_dtype)
        )


def _rows(parameter: Any, indices: Any, dtype: str) -> Any:
    """Rows of a variable in the dtype of a layer; only these are converted."""
    return ops.cast(tf.gather(parameter.value, indices), dtype)
