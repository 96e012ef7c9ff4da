"""The layers before and behind a large sparse code: of their weights only the rows of the units in use are touched."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops


@keras.saving.register_keras_serializable("aezoo")
class RowEncoder(keras.layers.Layer):
    """z = σ(Wx + b), as `keras.layers.Dense`, but with a row of W for each unit, (units, inputs).

    Args:
        units: Number of code units.
        activation: σ, a Keras activation of each unit by itself.
        kernel_initializer: Of W.
    """

    def __init__(self, units: int, activation: Any = None, kernel_initializer: Any = "glorot_uniform", **kwargs: Any):
        super().__init__(**kwargs)
        self.units = units
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: Any) -> None:
        """Makes W (units, inputs) and b (units,)."""
        self.kernel = self.add_weight(
            shape=(self.units, input_shape[-1]), initializer=self.kernel_initializer, name="kernel"
        )
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def call(self, x: Any) -> Any:
        return self.activation(tf.matmul(x, self.kernel, transpose_b=True) + self.bias)

    def at(self, x: Any, indices: Any) -> Any:
        """Returns the code at some units, (batch, k): the gradient reaches the rows of these units and no others.

        Args:
            x: (batch, inputs).
            indices: The units of each sample, (batch, k) int32.
        """
        rows, bias = (_rows(parameter, indices, self.compute_dtype) for parameter in (self.kernel, self.bias))
        return self.activation(tf.linalg.matvec(rows, x) + bias)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


@keras.saving.register_keras_serializable("aezoo")
class RowDecoder(keras.layers.Layer):
    """x' = σ'(Wᵀz + b'), with a row of W for each code unit, (inputs, units): its own, or that of a `RowEncoder`.

    Args:
        units: Number of outputs.
        activation: σ', a Keras activation.
        kernel_initializer: Of W, where it is the layer's own.
        tied_to: The built `RowEncoder` whose W is used.
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        kernel_initializer: Any = "glorot_uniform",
        tied_to: RowEncoder | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.units = units
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self._source = None if tied_to is None else (lambda: tied_to.kernel)

    def build(self, input_shape: Any) -> None:
        """Takes or makes W (inputs, units), and makes b' (units,)."""
        if self._source is None:
            self.kernel = self.add_weight(
                shape=(input_shape[-1], self.units), initializer=self.kernel_initializer, name="kernel"
            )
        else:
            self.kernel = self._source()
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def call(self, z: Any) -> Any:
        return self.activation(tf.matmul(z, self.kernel) + self.bias)

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

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


def _rows(parameter: Any, indices: Any, dtype: str) -> Any:
    """Rows of a variable in the dtype of a layer; only these are converted."""
    return ops.cast(tf.gather(parameter.value, indices), dtype)
