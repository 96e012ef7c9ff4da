"""A residual block of two convolutions."""

from __future__ import annotations

from typing import Any, Literal

import keras

from aezoo._typing import Activation, DType, Shape, Tensor
from aezoo.layers.batch_normalization import BatchNormalization


def normalization_layer(kind: str, dtype: DType | None = None) -> keras.layers.Layer:
    """Create a normalization layer from its name.

    Args:
        kind: "batch" or "layer".
        dtype: Keras dtype policy.

    Example:
        >>> type(normalization_layer("layer")).__name__
        'LayerNormalization'
    """
    return (BatchNormalization if kind == "batch" else keras.layers.LayerNormalization)(dtype=dtype)


@keras.saving.register_keras_serializable("aezoo")
class ResidualBlock(keras.layers.Layer):
    """Residual block y = σ(x + F(x)), where F is a convolution, σ, and a second convolution.

    Args:
        kernel_size: Size of both kernels.
        activation: σ.
        normalization: "batch" or "layer" to normalize after each convolution, or None.
        seed: Seed of the initial weights.
        **kwargs: `name` and `dtype` of `keras.layers.Layer`.

    Raises:
        ValueError: On build, if the input does not have 1 to 3 spatial axes and channels last.

    Example:
        >>> ResidualBlock()(keras.ops.ones((5, 8, 8, 4))).shape
        TensorShape([5, 8, 8, 4])

    Reference:
        He et al., "Deep residual learning for image recognition", CVPR 2016, arXiv:1512.03385.
    """

    part_name = "residual block"  # in `aezoo.plots.network`

    def __init__(
        self,
        kernel_size: int = 3,
        activation: Activation | None = "relu",
        normalization: Literal["batch", "layer"] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.kernel_size = kernel_size
        self.activation = keras.activations.get(activation)
        self.normalization = normalization
        self.seed = seed

    def build(self, input_shape: Shape) -> None:
        """Create two convolutions that keep the shape (batch, ..., channels)."""
        kind = convolution(len(input_shape) - 2)
        self.parts = []
        for i, function in enumerate((self.activation, None)):
            seed = None if self.seed is None else self.seed + i
            self.parts.append(
                kind(
                    input_shape[-1],
                    self.kernel_size,
                    padding="same",
                    use_bias=self.normalization != "batch",
                    kernel_initializer=keras.initializers.GlorotUniform(seed),
                    dtype=self.dtype_policy,
                )
            )
            if self.normalization:
                self.parts.append(normalization_layer(self.normalization, self.dtype_policy))
            if function is not None:
                self.parts.append(keras.layers.Activation(function, dtype=self.dtype_policy))
        for layer in self.parts:
            layer.build(input_shape)

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        y = x
        for layer in self.parts:
            y = layer(y, training=training)
        return self.activation(x + y)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "activation": keras.activations.serialize(self.activation),
            "normalization": self.normalization,
            "seed": self.seed,
        }


def convolution(rank: int, transpose: bool = False) -> type[Any]:
    """Return the Keras class of a convolution with `rank` spatial axes.

    Args:
        rank: Number of spatial axes, 1 to 3.
        transpose: Whether to return the transposed convolution.

    Raises:
        ValueError: If the rank is not 1, 2 or 3.

    Example:
        >>> convolution(2, transpose=True).__name__
        'Conv2DTranspose'
    """
    if rank not in (1, 2, 3):
        raise ValueError(
            f"A convolutional network needs inputs with 1 to 3 spatial axes and channels last, but these have {rank} "
            "spatial axes: leave `filters` empty, or give an encoder and a decoder of your own."
        )
    return getattr(keras.layers, f"Conv{rank}D{'Transpose' if transpose else ''}")
