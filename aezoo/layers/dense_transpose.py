"""Dense layers that may use the kernel of another layer: a decoder that shares the weights of its encoder."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class SharedDense(keras.layers.Layer):
    """σ(Kx + b), where the kernel K is the layer's own or that of another layer: what the next three are made of.

    Args:
        units: Number of outputs.
        activation: σ, a Keras activation.
        kernel_initializer: Of K, where it is the layer's own.
        tied_to: The built layer whose `kernel` is used. Without it, as when a decoder was saved by itself, K is the
            layer's own.
        **kwargs: `name` and `dtype` of `keras.layers.Layer`.

    Example:
        >>> first = SharedDense(2)
        >>> z = first(keras.ops.ones((5, 8)))
        >>> second = SharedDense(2, activation="relu", tied_to=first)
        >>> z = second(keras.ops.ones((5, 8)))
        >>> second.kernel is first.kernel
        True
    """

    transposed: bool = False
    """Whether the kernel is stored as (units, inputs), in place of (inputs, units) as in `keras.layers.Dense`."""

    def __init__(
        self,
        units: int,
        activation: Any = None,
        kernel_initializer: Any = "glorot_uniform",
        tied_to: keras.layers.Layer | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.units = units
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self._source = None if tied_to is None else (lambda: tied_to.kernel)

    def build(self, input_shape: Any) -> None:
        """Takes or makes the kernel, and makes the bias, (units,)."""
        shape = (input_shape[-1], self.units)
        if self._source is None:
            self.kernel = self.add_weight(
                shape=shape[::-1] if self.transposed else shape, initializer=self.kernel_initializer, name="kernel"
            )
        else:
            self.kernel = self._source()
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def call(self, x: Any) -> Any:
        return self.activation(tf.matmul(x, self.kernel, transpose_b=self.transposed) + self.bias)

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
class DenseTranspose(SharedDense):
    """x' = σ'(Wᵀz + b') with the kernel W (units, inputs) of the `keras.layers.Dense` that encodes: W' = Wᵀ.

    It takes the arguments of `aezoo.layers.SharedDense`.

    Example:
        >>> encode = keras.layers.Dense(2)
        >>> z = encode(keras.ops.ones((5, 8)))
        >>> DenseTranspose(8, tied_to=encode)(z).shape
        TensorShape([5, 8])
    """

    transposed = True
