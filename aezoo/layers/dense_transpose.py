"""A dense layer that decodes with the transposed kernel of a dense layer that encodes."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("aezoo")
class DenseTranspose(keras.layers.Layer):
    """x' = σ'(Wᵀz + b'), where W is the kernel of another layer: W' = Wᵀ shares one variable.

    Args:
        units: Number of outputs: the number of inputs of the tied layer.
        activation: A Keras activation.
        tied_to: The built `keras.layers.Dense` whose kernel, (units, inputs), is used. Without it (as when a decoder
            was saved by itself) the layer has a kernel of its own.
    """

    def __init__(self, units: int, activation: Any = None, tied_to: keras.layers.Dense | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = units
        self.activation = keras.activations.get(activation)
        self._source = None if tied_to is None else (lambda: tied_to.kernel)

    def build(self, input_shape: Any) -> None:
        """Takes the tied kernel and makes the bias, (units,)."""
        if self._source is None:
            self.kernel = self.add_weight(
                shape=(self.units, input_shape[-1]), initializer="glorot_uniform", name="kernel"
            )
        else:
            self.kernel = self._source()
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def call(self, z: Any) -> Any:
        return self.activation(tf.matmul(z, self.kernel, transpose_b=True) + self.bias)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
        }
