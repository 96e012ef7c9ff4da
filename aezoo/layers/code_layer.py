"""The base class of layers at the end of an encoder."""

from __future__ import annotations

import keras

from aezoo._typing import Shape


class CodeLayer(keras.layers.Layer):
    """Base class of layers that transform a code, keep its shape and declare its properties to the rest of the library.

    Decoders that mirror an encoder skip such layers. The properties tell reports whether the code has a Jacobian, and
    a stack which values the next model must be able to reconstruct.

    It takes the arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Example:
        A code that is rounded to multiples of 1/4 and therefore reports no Jacobian:

        >>> import aezoo
        >>> class Quarters(CodeLayer):
        ...     differentiable = False
        ...
        ...     def call(self, z):
        ...         return keras.ops.round(4 * z) / 4
        >>> class QuarterAE(aezoo.Autoencoder):
        ...     def code_layers(self):
        ...         return [Quarters()]
        >>> model = QuarterAE(latent_dim=3, tied=True)
        >>> model(keras.ops.ones((5, 8))).shape
        TensorShape([5, 8])
    """

    transposable: bool = True
    """True if a decoder that transposes or mirrors the encoder can skip this layer."""
    differentiable: bool = True
    """True if small changes of the input cause small changes of the output; False for rounded or quantized codes."""
    bounds: tuple[float, float] | None = None
    """The smallest and largest value of the output; None if the output has the range of the input."""
    selects: bool = False
    """True if the layer sets some units to 0 and keeps the others, which its method `mask(z)` marks with 1."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape
