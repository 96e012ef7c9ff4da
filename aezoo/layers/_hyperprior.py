"""Networks, rounding and rate of a code whose scales, and optionally means, are predicted from side information."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from aezoo._typing import Shape, Tensor
from aezoo.codec import IntegerLayer, IntegerNetwork
from aezoo.codec.hyper import SCALES
from aezoo.layers.bounded import lower_bounded
from aezoo.layers.code_layer import CodeLayer
from aezoo.layers.quantizer import Quantizer

_LOWEST, _HIGHEST = math.log(SCALES[0]), math.log(SCALES[-1])
# Where the series of log Φ takes over: the density of a normal variable underflows far below.
_FAR = -8.0


class HyperNetworks(keras.layers.Layer):
    """Hyper-analysis h_a, from y to the side information, and hyper-synthesis h_s, from it to log σ, or μ and log σ.

    h_a is a convolution of 3 x 3 and one of 5 x 5 with stride 2 per entry of `filters`; h_s mirrors it. All hidden
    layers are ReLUs. Both compute in float32 under every dtype policy.

    Args:
        channels: Channels M of y.
        filters: Channels of the convolutions that halve y; the side information has as many channels as the last one.
        mean_scale: Whether h_s predicts means, too.
        seed: Seed of the initial weights.
    """

    def __init__(self, channels: int, filters: tuple[int, ...], mean_scale: bool, seed: int | None):
        super().__init__(dtype="float32", name="hyper_networks")
        self.channels, self.filters, self.mean_scale = channels, filters, mean_scale
        seeds = iter(range(2 * len(filters) + 2))

        def layer(kind: type[Any], units: int, size: int, stride: int, activation: str | None) -> keras.layers.Layer:
            initializer = keras.initializers.GlorotUniform(None if seed is None else seed + 2_000 + next(seeds))
            arguments = {"padding": "same", "activation": activation, "kernel_initializer": initializer}
            return kind(units, size, strides=stride, dtype="float32", **arguments)

        conv, transposed = keras.layers.Conv2D, keras.layers.Conv2DTranspose
        down = [layer(conv, filters[0], 3, 1, "relu"), *[layer(conv, n, 5, 2, "relu") for n in filters[:-1]]]
        down.append(layer(conv, filters[-1], 5, 2, None))
        up = [layer(transposed, n, 5, 2, "relu") for n in reversed(filters)]
        up.append(layer(conv, channels * (1 + mean_scale), 3, 1, None))
        self.analysis = keras.Sequential([keras.Input((None, None, channels)), *down], name="hyper_encoder")
        self.synthesis = keras.Sequential([keras.Input((None, None, filters[-1])), *up], name="hyper_decoder")
        self.built = True

    @property
    def block(self) -> int:
        """The number of positions of y per position of the side information, along each axis."""
        return 2 ** len(self.filters)

    def side_information(self, y: Tensor) -> Tensor:
        """Return h_a(abs(y)) without means, h_a(y) with means: (batch, h / block, w / block, filters[-1])."""
        return self.analysis(y if self.mean_scale else ops.abs(y))

    def log_scale(self, side: Tensor) -> Tensor:
        """Return log σ of y, (batch, h, w, M), between the logarithms of the smallest and largest of `SCALES`."""
        log_scale = self.synthesis(side)[..., : self.channels]
        return -lower_bounded(-lower_bounded(log_scale, _LOWEST), -_HIGHEST)

    def integer_log_scale(self) -> IntegerNetwork:
        """Return the network of `log_scale` in fixed point, for the current weights."""
        made = []
        for layer in self.synthesis.layers:
            kernel, bias = np.asarray(layer.kernel), np.asarray(layer.bias)
            doubles = isinstance(layer, keras.layers.Conv2DTranspose)
            made.append((kernel.swapaxes(2, 3) if doubles else kernel, bias, doubles))
        kernel, bias, doubles = made.pop()
        made.append((kernel[..., : self.channels], bias[: self.channels], doubles))
        return IntegerNetwork(tuple(IntegerLayer.of(*each) for each in made))

    def mean(self, side: Tensor) -> Tensor | float:
        """Return μ of y, (batch, h, w, M), or 0 without means."""
        return self.synthesis(side)[..., self.channels :] if self.mean_scale else 0.0

    def pack(self, y: Tensor, side: Tensor) -> Tensor:
        """Return a map that has the values of y of a block as channels, followed by the side information."""
        return ops.concatenate([tf.nn.space_to_depth(y, self.block), side], axis=-1)

    def unpack(self, code: Tensor) -> tuple[Any, Any]:
        """Return the two arguments of `pack`."""
        of_y = self.block**2 * self.channels
        return tf.nn.depth_to_space(code[..., :of_y], self.block), code[..., of_y:]

    def packed_shape(self, shape: Shape) -> Shape:
        """Return the shape of a code for the shape (h, w, M) of y."""
        sizes = [None if size is None else size // self.block for size in shape[:-1]]
        return (*sizes, self.block**2 * self.channels + self.filters[-1])


class HyperCode(CodeLayer):
    """Layer from y to its code: ẑ = round(h_a(y)) and s = round(y - μ(ẑ)), packed; in training with noise.

    Args:
        networks: The hyper-networks.
        quantizer: Layer that rounds, or adds noise in training.
    """

    differentiable = False

    def __init__(self, networks: HyperNetworks, quantizer: Quantizer):
        super().__init__(dtype="float32", name="hyper_code")
        self.networks, self.quantizer = networks, quantizer

    def build(self, input_shape: Shape) -> None:
        """Create nothing: the networks are built."""

    def call(self, y: Tensor, training: bool = False) -> Tensor:
        side = self.quantizer(self.networks.side_information(y), training=training)
        return self.networks.pack(self.quantizer(y - self.networks.mean(side), training=training), side)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], *self.networks.packed_shape(tuple(input_shape[1:])))


class HyperDecode(keras.layers.Layer):
    """Layer from a code to ŷ = s + μ(ẑ), the input of the decoder.

    Args:
        networks: The hyper-networks.
    """

    def __init__(self, networks: HyperNetworks):
        super().__init__(dtype="float32", name="hyper_decode")
        self.networks = networks

    def build(self, input_shape: Shape) -> None:
        """Create nothing: the networks are built."""

    def call(self, code: Tensor) -> Tensor:
        rounded, side = self.networks.unpack(code)
        return rounded + self.networks.mean(side)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        sizes = [None if size is None else size * self.networks.block for size in input_shape[1:-1]]
        return (input_shape[0], *sizes, self.networks.channels)


def gaussian_bits(y: Tensor, log_scale: Tensor) -> Tensor:
    """Return -log₂ P(y - ½ < Y < y + ½) of Y ~ N(0, σ²), element by element, finite for every y and σ > 0.

    Args:
        y: Values, float32 of any shape.
        log_scale: log σ, of the same shape.

    Example:
        >>> gaussian_bits(keras.ops.array([0.0, 1.0, 20.0]), keras.ops.zeros(3)).numpy().round(1)
        array([  1.4,   2. , 279.9], dtype=float32)
    """
    distance, scale = ops.abs(y), ops.exp(log_scale)
    above, below = _log_cdf((0.5 - distance) / scale), _log_cdf((-0.5 - distance) / scale)
    # log(Φ(a) - Φ(b)) = log Φ(a) + log(1 - Φ(b) / Φ(a)), which does not underflow.
    gap = ops.maximum(above - below, 1e-30)
    return (above + ops.log(-ops.expm1(-gap))) / -math.log(2)


def _log_cdf(x: Tensor) -> Tensor:
    """Return log Φ(x), from its asymptotic series where Φ(x) underflows; see Abramowitz & Stegun, 26.2.12."""
    near, far = ops.maximum(x, _FAR), ops.minimum(x, _FAR)
    r = 1 / ops.square(far)
    series = ops.log1p(r * (-1 + r * (3 + r * (-15 + r * 105))))
    log_far = -ops.square(far) / 2 - ops.log(-far) - 0.5 * math.log(2 * math.pi) + series
    return ops.where(x > _FAR, ops.log(tf.math.erfc(-near / math.sqrt(2)) / 2), log_far)
