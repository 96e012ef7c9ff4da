"""The base of layers that may stand at the end of an encoder."""

from __future__ import annotations

import keras

from aezoo._typing import Shape


class CodeLayer(keras.layers.Layer):
    """Transform a code without changing its shape, and say what the rest of the library has to know about it.

    A decoder that mirrors an encoder skips such layers, reports know whether the code has a Jacobian, and a stack
    knows which values the next model has to reconstruct.

    It takes the arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Example:
        A code that is rounded to multiples of 1/4, of which no Jacobian is reported:

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
    """Whether it may stand behind an encoder that a decoder transposes or mirrors: the decoder skips it."""
    differentiable: bool = True
    """Whether a small change of its input changes its output a little. False for rounded and quantized codes."""
    bounds: tuple[float, float] | None = None
    """The least and the largest value of its output; None where it passes on the range of its input."""
    selects: bool = False
    """Whether it sets some units to 0 and passes on the others, which its method `mask(z)` marks with 1."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape
