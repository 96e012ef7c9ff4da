"""A decoder that mirrors an encoder, layer by layer."""

from __future__ import annotations

from typing import Any

import keras

from aezoo._typing import Activation, DType, Shape
from aezoo.layers import networks
from aezoo.layers.batch_normalization import BatchNormalization
from aezoo.layers.dense_transpose import SharedDense
from aezoo.layers.networks import Initializers
from aezoo.layers.repeat import Repeat
from aezoo.layers.residual_block import convolution

L = keras.layers

_CONVOLUTIONS: dict[type[Any], int] = {L.Conv1D: 1, L.Conv2D: 2, L.Conv3D: 3}
_POOLS: dict[type[Any], int] = {
    **{L.MaxPooling1D: 1, L.MaxPooling2D: 2, L.MaxPooling3D: 3},
    **{L.AveragePooling1D: 1, L.AveragePooling2D: 2, L.AveragePooling3D: 3},
}
_GLOBAL_POOLS: dict[type[Any], int] = {
    **{L.GlobalMaxPooling1D: 1, L.GlobalMaxPooling2D: 2, L.GlobalMaxPooling3D: 3},
    **{L.GlobalAveragePooling1D: 1, L.GlobalAveragePooling2D: 2, L.GlobalAveragePooling3D: 3},
}
# Layers that act on single features; the decoder repeats them.
_ELEMENTWISE = (
    *(L.Activation, L.ReLU, L.LeakyReLU, L.ELU, L.PReLU, L.Softmax),
    *(L.BatchNormalization, BatchNormalization, L.LayerNormalization, L.GroupNormalization),
)
# Layers without a counterpart in the decoder: noise and scaling.
_SKIPPED = (
    *(L.Dropout, L.SpatialDropout1D, L.SpatialDropout2D, L.SpatialDropout3D, L.AlphaDropout),
    *(L.GaussianNoise, L.GaussianDropout, L.ActivityRegularization, L.Identity, L.Rescaling, L.Normalization),
)


def mirror(
    encoder: keras.layers.Layer,
    input_shape: Shape,
    output_activation: Activation = "sigmoid",
    seed: int | None = None,
    dtype: DType | None = None,
) -> keras.Sequential:
    """Build a decoder that mirrors an encoder: its layers in reverse, each from its output's shape to its input's.

    - `Dense` is mirrored by `Dense`, a convolution by a transposed convolution of equal kernel size and strides.
    - Pooling is mirrored by upsampling, `Flatten` and `Reshape` by `Reshape`, padding by cropping.
    - An activation or a normalization between two layers is repeated between their mirror images.
    - Noise, such as `Dropout`, and everything after the last kernel, such as the activation of the code, is omitted.

    Args:
        encoder: A built Keras model or layer that is a chain of such layers.
        input_shape: Shape of a sample.
        output_activation: Activation of the reconstruction.
        seed: Seed of the initial weights.
        dtype: Keras dtype policy.

    Returns:
        A built Keras model, from a code to the encoder's input shape.

    Raises:
        ValueError: If the encoder has a layer that cannot be mirrored; the message names it.

    Example:
        >>> convolution = keras.layers.Conv2D(4, 3, strides=2)
        >>> layers = [keras.Input((9, 9, 1)), convolution, keras.layers.Flatten(), keras.layers.Dense(2)]
        >>> [type(layer).__name__ for layer in mirror(keras.Sequential(layers), (9, 9, 1)).layers]
        ['Dense', 'Reshape', 'Conv2DTranspose', 'Activation']
    """
    builder = _Mirror(encoder, seed, dtype)
    layers = [*networks.path(encoder)][::-1]
    shapes = [tuple(input_shape)]
    for layer in layers:
        if not isinstance(layer, L.Layer) or isinstance(layer, keras.Model):
            raise builder.refusal(layer)
        try:
            shapes.append(tuple(layer.compute_output_shape((None, *shapes[-1]))[1:]))
        except Exception as error:  # several inputs, or a layer that cannot compute its output shape
            raise builder.refusal(layer) from error
    for layer, shape, made in zip(layers[::-1], shapes[-2::-1], shapes[:0:-1], strict=True):
        builder.add(layer, shape, made)
    output = L.Activation(output_activation, dtype="float32", name="output")
    return keras.Sequential([L.Input(shapes[-1]), *builder.stack, output], name="decoder")


class _Mirror:
    def __init__(self, encoder: keras.layers.Layer, seed: int | None, dtype: DType | None):
        self.encoder = encoder
        self.initializer = Initializers(None if seed is None else seed + 1_000)
        self.dtype = dtype
        self.stack: list[keras.layers.Layer] = []
        self.elementwise: list[keras.layers.Layer] = []  # from the output to the next layer of another kind
        self.has_kernel = False

    def refusal(self, layer: keras.layers.Layer) -> ValueError:
        return ValueError(
            f"The encoder {self.encoder.name!r} has a layer that no decoder can mirror, {layer.name!r} "
            f"({type(layer).__name__}): give a decoder of your own."
        )

    def add(self, layer: keras.layers.Layer, shape: Shape, made: Shape) -> None:
        """Append layers that mirror a layer, from its output's shape `made` to its input's `shape`."""
        if type(layer) in _ELEMENTWISE:
            self.elementwise.append(layer)
            return
        if isinstance(layer, _SKIPPED) or networks.is_transposable(layer):
            return
        function = getattr(layer, "activation", None)
        if function is not None and function is not keras.activations.linear:
            self.elementwise.append(L.Activation(function))
        if type(layer) is L.Dense or isinstance(layer, SharedDense):
            self._append(self._kernel(L.Dense, shape[-1]))
        elif type(layer) in _CONVOLUTIONS:
            self._append(*self._convolution(layer, shape, made))
        elif type(layer) in _POOLS:
            self._append(*self._pool(layer, shape, made))
        elif type(layer) in _GLOBAL_POOLS and None not in shape:
            rank = _GLOBAL_POOLS[type(layer)]
            self._append(L.Reshape((*[1] * rank, shape[-1])), Repeat(shape[:-1], dtype=self.dtype))
        elif isinstance(layer, (L.Flatten, L.Reshape)) and None not in shape:
            self._append(L.Reshape(shape, dtype=self.dtype))
        elif isinstance(layer, (L.ZeroPadding1D, L.ZeroPadding2D, L.ZeroPadding3D)):
            rank = len(shape) - 1
            self._append(getattr(L, f"Cropping{rank}D")(layer.padding, dtype=self.dtype))
        else:
            raise self.refusal(layer)

    def _append(self, *layers: keras.layers.Layer) -> None:
        """Append layers, preceded by the collected layers that act on single features of their input."""
        if not self.has_kernel:
            self.elementwise.clear()  # the activation of the code is not mirrored
        for layer in reversed(self.elementwise):
            last = self.stack[-1]
            if isinstance(layer, L.Activation) and getattr(last, "activation", None) is keras.activations.linear:
                last.activation = layer.activation
            else:
                self.stack.append(type(layer).from_config({**layer.get_config(), "name": None, "dtype": self.dtype}))
        self.elementwise.clear()
        self.stack += layers
        self.has_kernel |= any(hasattr(layer, "kernel_initializer") for layer in layers)

    def _kernel(self, kind: type[Any], units: int, *arguments: Any, **named: Any) -> keras.layers.Layer:
        return kind(units, *arguments, kernel_initializer=self.initializer(), dtype=self.dtype, **named)

    def _convolution(self, layer: keras.layers.Layer, shape: Shape, made: Shape) -> list[keras.layers.Layer]:
        rank = _CONVOLUTIONS[type(layer)]
        plain = layer.groups == 1 and set(layer.dilation_rate) == {1} and layer.padding in ("same", "valid")
        if not plain or layer.data_format != "channels_last":
            raise self.refusal(layer)
        named = {"strides": layer.strides, "padding": layer.padding}
        if layer.padding == "valid" and None not in shape:  # entries at the end that no kernel covers
            sizes = zip(shape[:-1], layer.kernel_size, layer.strides, strict=True)
            named["output_padding"] = tuple((n - k) % s for n, k, s in sizes)
        kind = convolution(rank, transpose=True)
        stack = [self._kernel(kind, shape[-1], layer.kernel_size, **named)]
        if layer.padding == "same":
            stack += self._resized([n and n * s for n, s in zip(made[:-1], layer.strides, strict=True)], shape[:-1])
        return stack

    def _pool(self, layer: keras.layers.Layer, shape: Shape, made: Shape) -> list[keras.layers.Layer]:
        if layer.data_format != "channels_last":
            raise self.refusal(layer)
        sizes = [n and n * s for n, s in zip(made[:-1], layer.strides, strict=True)]
        return [Repeat(layer.strides, dtype=self.dtype), *self._resized(sizes, shape[:-1])]

    def _resized(self, sizes: list[int | None], wanted: Shape) -> list[keras.layers.Layer]:
        """Crop or pad the end of each axis to its wanted size; leave axes of unknown size unchanged."""
        rank = len(wanted)
        stack = []
        for kind, sign in (("Cropping", 1), ("ZeroPadding", -1)):
            by = [max(0, sign * (n - size)) if n and size else 0 for n, size in zip(sizes, wanted, strict=True)]
            if any(by):
                ends = [(0, n) for n in by]
                stack.append(getattr(L, f"{kind}{rank}D")(ends if rank > 1 else ends[0], dtype=self.dtype))
        return stack
