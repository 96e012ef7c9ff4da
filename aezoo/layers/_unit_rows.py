"""Layers before and after a large sparse code that only use the weight rows of the active units."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from aezoo._numerics import as_float32
from aezoo._typing import DType, Shape, Tensor
from aezoo.layers.dense_transpose import SharedDense


def gains_from_rows(units: int, k: float) -> bool:
    """Return whether steps by the rows of k active units of a code are faster than products with the whole code."""
    return units >= max(4096, 256 * k)


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
        rows = self.rows(_rows(self.kernel, indices, self.compute_dtype))
        return self.activation(
            tf.linalg.matvec(rows, values, transpose_a=True) + ops.cast(self.bias, self.compute_dtype)
        )

    def rows(self, kernel: Tensor) -> Tensor:
        """Return the rows that the layer multiplies by, (..., units): the rows of the kernel, unchanged."""
        return kernel


@keras.saving.register_keras_serializable("aezoo")
class UnitNormRows(keras.constraints.Constraint):
    """Constraint that divides the rows of a matrix by their norms.

    `aezoo.optimizers.LazyAdam` applies it to the rows that an update changes, other optimizers to all rows.

    Example:
        >>> UnitNormRows()(ops.array([[3.0, 4.0]])).numpy().round(5)
        array([[0.6, 0.8]], dtype=float32)
    """

    of_rows = True  # so that LazyAdam may apply it to some rows

    def __call__(self, w: Tensor) -> Tensor:
        return unit_rows(w)


@keras.saving.register_keras_serializable("aezoo")
class UnitNormDecoder(RowDecoder):
    """Dense layer x' = Ŵᵀz + b' whose rows ŵ = w / ‖w‖ have norm 1: the dictionary of a sparse code.

    The gradient with respect to a row w is orthogonal to w, (I - ŵŵᵀ) g / ‖w‖, where g is the gradient with respect to
    ŵ. Each update would therefore make w longer, and the following updates would turn it less: optimizers divide the
    rows by their norms after each update. Rows start at random directions, the same as the rows of a `RowEncoder` with
    the initializer `UnitRows` of the same seed, so that W' = Wᵀ at first.

    Args:
        units: Number of outputs.
        activation: σ, a Keras activation.
        kernel_initializer: Initializer of the kernel, (inputs, units).
        tied_to: As in `aezoo.layers.SharedDense`.
        **kwargs: `name` and `dtype` of `keras.layers.Layer`.

    Example:
        >>> decode = UnitNormDecoder(8)
        >>> x = decode(ops.array([[0.0, 2.0, 0.0]]))
        >>> round(float(ops.norm(x)), 5)
        2.0

    Reference:
        Gao et al., "Scaling and evaluating sparse autoencoders", 2024, arXiv:2406.04093: decoder columns of norm 1,
        whose gradient is projected.
    """

    kernel_constraint = UnitNormRows()

    def rows(self, kernel: Tensor) -> Tensor:
        return unit_rows(kernel)

    def call(self, x: Tensor) -> Tensor:
        return self.activation(tf.matmul(x, self.rows(self.kernel)) + self.bias)

    def prefixes(self, x: Tensor, sizes: Sequence[int]) -> list[Any]:
        """Decode the first units of a code, for several numbers of units, at the cost of decoding the whole code once.

        Args:
            x: Codes, (batch, inputs).
            sizes: Increasing numbers of units; the last one is the number of inputs.

        Returns:
            One output per size, (batch, units) each.
        """
        rows = self.rows(ops.cast(self.kernel.value, self.compute_dtype))
        total, start, outputs = ops.cast(self.bias.value, self.compute_dtype), 0, []
        for end in sizes:
            total = total + tf.matmul(x[:, start:end], rows[start:end])
            outputs.append(self.activation(total))
            start = end
        return outputs


@keras.saving.register_keras_serializable("aezoo")
class UnitRows(keras.initializers.Initializer):
    """Initializer of a matrix whose rows have random directions and norm 1.

    Args:
        seed: Seed; equal seeds and shapes give equal matrices. None draws a seed.

    Example:
        >>> rows = UnitRows(seed=0)((3, 4))
        >>> ops.norm(rows, axis=1).numpy().round(5)
        array([1., 1., 1.], dtype=float32)
    """

    def __init__(self, seed: int | None = None):
        self.seed = random.randint(1, 10**9) if seed is None else seed  # as Keras' initializers

    def __call__(self, shape: Shape, dtype: DType | None = None) -> Tensor:
        rows = unit_rows(keras.random.normal(shape, dtype="float32", seed=self.seed))
        return ops.cast(rows, dtype or keras.config.floatx())

    def get_config(self) -> dict[str, Any]:
        """Return every constructor argument."""
        return {"seed": self.seed}


def unit_rows(kernel: Tensor) -> Tensor:
    """Divide the rows of a matrix, or of a batch of matrices, by their norms; rows of norm 0 stay 0."""
    squares = ops.sum(ops.square(as_float32(kernel)), axis=-1, keepdims=True)
    return kernel * ops.cast(ops.rsqrt(ops.maximum(squares, 1e-12)), kernel.dtype)


def _rows(parameter: Tensor, indices: Tensor, dtype: str) -> Tensor:
    """Return rows of a variable, cast to the dtype of a layer; other rows are not converted."""
    return ops.cast(tf.gather(parameter.value, indices), dtype)
