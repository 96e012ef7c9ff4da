"""Compression of codes whose scales are predicted from a part of the code, in whole-number arithmetic."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from aezoo._typing import ArrayLike
from aezoo.codec.codec import Codec, Decoder
from aezoo.codec.table import Table

#: Scales of the Gaussian tables, as in Ballé et al. 2018: 64 from 0.11 to 256, at equal ratios.
SCALES = tuple(math.exp(math.log(0.11) + level * math.log(256 / 0.11) / 63) for level in range(64))
# Binary places of the activations, and bounds with which no sum of 2¹⁶ products leaves 64 bits.
_PLACES = 12
_ACTIVATION = 2**30
_WEIGHT_BITS = 15
_SUMMANDS = 2**16
_BIAS = 2**60
# Scales between two of SCALES take the nearer one, by their logarithms.
_EDGES = np.array([round((math.log(a) + math.log(b)) / 2 * 2**_PLACES) for a, b in itertools.pairwise(SCALES)], "int64")


@functools.cache
def gaussian_tables() -> tuple[Table, ...]:
    """Return the table of the integers of N(0, σ²) for each σ of `SCALES`.

    Example:
        >>> len(gaussian_tables()), gaussian_tables()[0].bits()[:-1].round(1)
        (64, array([22. , 22. , 18.4,  0. , 18.4, 22. , 22. ]))
    """
    return tuple(Table.of(*probabilities(scale)) for scale in SCALES)


def probabilities(scale: float) -> tuple[np.ndarray, int]:
    """Return the probabilities of the integers within about 4.25 σ of N(0, σ²), and the first of these integers.

    Args:
        scale: σ > 0.
    """
    high = math.ceil(4.25 * scale) + 2
    upper = [math.erfc((k - 0.5) / (scale * math.sqrt(2))) / 2 for k in range(high + 2)]
    half = -np.diff(upper)
    half[0] = 1 - 2 * upper[1]
    return np.concatenate([half[:0:-1], half]), -high


@dataclasses.dataclass(frozen=True, eq=False)
class IntegerLayer:
    """A convolution in fixed point: kernel and bias are whole numbers.

    Attributes:
        kernel: (size, size, inputs, outputs) int64, within ±2¹⁵.
        bias: (outputs,) int64, within ±2⁶⁰.
        shift: Binary places of the kernel.
        doubles: Whether this is a transposed convolution of stride 2, which doubles the image.

    Raises:
        ValueError: If kernel or bias are not of this form.

    Example:
        >>> layer = IntegerLayer.of(np.full((1, 1, 1, 1), 0.75), np.array([0.5]), doubles=False)
        >>> layer(np.full((1, 1, 1), 2 * 2**12)) / 2**12  # 2 · 0.75 + 0.5
        array([[[2.]]])
    """

    kernel: np.ndarray
    bias: np.ndarray
    shift: int
    doubles: bool

    def __post_init__(self) -> None:
        kernel, bias = self.kernel, self.bias
        whole = kernel.dtype == bias.dtype == np.dtype("int64") and kernel.size and type(self.shift) is int
        if not whole or kernel.ndim != 4 or kernel.shape[0] != kernel.shape[1] or bias.shape != kernel.shape[3:]:
            raise ValueError(
                f"A layer needs a kernel (size, size, inputs, outputs) and a bias (outputs,) of int64, not "
                f"{kernel.shape} {kernel.dtype} and {bias.shape} {bias.dtype}."
            )
        if self.doubles and len(kernel) < 2:
            raise ValueError("The kernel of a layer that doubles an image must be at least 2 x 2.")
        if not 1 <= self.shift <= 62 or type(self.doubles) is not bool or math.prod(kernel.shape[:3]) > _SUMMANDS:
            raise ValueError(f"A layer must have at most {_SUMMANDS} summands per output and a shift from 1 to 62.")
        if np.abs(kernel).max() > 2**_WEIGHT_BITS or np.abs(bias).max() > _BIAS:
            raise ValueError("The kernel of a layer must be within ±2¹⁵, and its bias within ±2⁶⁰.")

    @classmethod
    def of(cls, kernel: ArrayLike, bias: ArrayLike, doubles: bool) -> IntegerLayer:
        """Round the weights of a layer to fixed point.

        The scale is a power of two, so that rounding is the same on every machine.

        Args:
            kernel: (size, size, inputs, outputs) float32.
            bias: (outputs,) float32.
            doubles: As in `IntegerLayer`.

        Raises:
            ValueError: If a weight is not finite.
        """
        kernel, bias = np.asarray(kernel, "float64"), np.asarray(bias, "float64")
        if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
            raise ValueError("A weight is not finite: the training diverged; train with a smaller learning rate.")
        _, exponent = math.frexp(float(np.abs(kernel).max()))
        shift = min(max(_WEIGHT_BITS - exponent, 1), 30)
        greatest = 2**_WEIGHT_BITS
        whole = np.rint(np.clip(kernel * 2.0**shift, -greatest, greatest)).astype("int64")
        places = np.rint(np.clip(bias * 2.0 ** (shift + _PLACES), -_BIAS, _BIAS)).astype("int64")
        return cls(whole, places, shift, doubles)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the output for x, (h, w, inputs) int64 with 12 binary places, before the activation."""
        (h, w), size = x.shape[:2], len(self.kernel)
        stride = 1 + self.doubles
        before = (size - stride) // 2
        # One product per entry of the kernel: in a transposed convolution it is added to every other position.
        padded = x if self.doubles else np.pad(x, [(before, size - 1 - before)] * 2 + [(0, 0)])
        shape = (stride * (h - 1) + size, stride * (w - 1) + size) if self.doubles else (h, w)
        y = np.zeros((*shape, len(self.bias)), "int64")
        for i, j in itertools.product(range(size), repeat=2):
            if self.doubles:
                y[i : i + 2 * h - 1 : 2, j : j + 2 * w - 1 : 2] += padded @ self.kernel[i, j]
            else:
                y += padded[i : i + h, j : j + w] @ self.kernel[i, j]
        if self.doubles:
            y = np.pad(y, [(0, 1), (0, 1), (0, 0)])[before : before + 2 * h, before : before + 2 * w]
        return np.clip(y + self.bias + (1 << self.shift - 1) >> self.shift, -_ACTIVATION, _ACTIVATION)


@dataclasses.dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """Convolutions with ReLUs between them, from whole numbers to logarithms of scales, in 64-bit whole numbers.

    Sums of whole numbers do not depend on their order, so that every machine computes the same result.

    Args:
        layers: The layers, at least one.

    Raises:
        ValueError: If a layer does not take what the one before returns.

    Example:
        >>> layer = IntegerLayer.of(np.full((3, 3, 1, 2), 0.1), np.zeros(2), doubles=False)
        >>> levels = IntegerNetwork((layer,)).levels(np.full((1, 4, 4, 1), 3))
        >>> levels.shape, round(SCALES[levels[0, 1, 1, 0]], 1)  # next to exp(9 · 0.1 · 3) = 14.9
        ((1, 4, 4, 2), 15.1)
    """

    layers: tuple[IntegerLayer, ...]

    def __post_init__(self) -> None:
        pairs = itertools.pairwise(self.layers)
        if not self.layers or any(a.kernel.shape[3] != b.kernel.shape[2] for a, b in pairs):
            raise ValueError("Each layer of an integer network must take the channels that the one before returns.")

    @property
    def block(self) -> int:
        """The size of the output per position of the input, along each axis."""
        return 2 ** sum(layer.doubles for layer in self.layers)

    @property
    def channels(self) -> int:
        """The number of channels of the output."""
        return len(self.layers[-1].bias)

    def levels(self, side: np.ndarray) -> np.ndarray:
        """Return the index of the scale in `SCALES` of each code unit.

        Args:
            side: Side information, whole numbers, (n, h, w, inputs).

        Returns:
            (n, h · block, w · block, channels) uint8.
        """
        return np.stack([np.searchsorted(_EDGES, self.log_scales(each), "right").astype("uint8") for each in side])

    def log_scales(self, side: np.ndarray) -> np.ndarray:
        """Return the logarithms of the scales of one sample, (h, w, inputs), with 12 binary places."""
        x = np.clip(side.astype("int64"), -_ACTIVATION >> _PLACES, _ACTIVATION >> _PLACES) << _PLACES
        for layer in self.layers[:-1]:
            x = np.maximum(layer(x), 0)
        return self.layers[-1](x)


@dataclasses.dataclass(frozen=True, eq=False)
class HyperCodec(Codec):
    """Lossless coder of the codes of a `HyperpriorAE`: side information, and integers with scales that it predicts.

    A code is a map, (h, w, channels): the integers of a block of positions, followed by the side information of the
    block. The side information is written first, with one table per channel. From it, a network of whole numbers
    computes the scale of each integer, which selects one of `gaussian_tables()`.

    Args:
        tables: The frequency table of each channel of the side information.
        code_shape: Shape of the code of a sample; None for a size that is not fixed.
        values: As in `Codec`.
        model: As in `Codec`.
        network: The network from side information to scales.

    Raises:
        ValueError: If tables, shape and network do not fit together.

    Example:
        >>> from aezoo.codec.table import from_counts
        >>> layer = IntegerLayer.of(np.full((3, 3, 1, 2), 0.1), np.zeros(2), doubles=False)
        >>> codes = np.random.default_rng(0).integers(-3, 4, (10, 4, 4, 3))
        >>> codec = HyperCodec(from_counts([codes[..., 2].ravel()]), (4, 4, 3), 16, network=IntegerNetwork((layer,)))
        >>> bool(np.all(codec.decode(codec.encode(codes))[0] == codes))
        True
    """

    network: IntegerNetwork = dataclasses.field(kw_only=True)

    kind: ClassVar[str] = "hyperprior"

    def __post_init__(self) -> None:
        network, side = self.network, len(self.tables)
        channels = network.block**2 * network.channels + side
        if side != network.layers[0].kernel.shape[2] or len(self.code_shape) != 3 or self.code_shape[-1] != channels:
            raise ValueError(
                f"Codes of shape {self.code_shape} do not fit {side} channels of side information and a network "
                f"from {network.layers[0].kernel.shape[2]} to {network.channels} channels, {network.block} times as "
                "high and wide."
            )

    def _identity(self) -> list[bytes]:
        """Return the parts of the fingerprint, which must be the same to decode."""
        parts = super()._identity()
        for layer in self.network.layers:
            parts += [repr((layer.kernel.shape, layer.shift, layer.doubles)).encode()]
            parts += [array.astype("<i8").tobytes() for array in (layer.kernel, layer.bias)]
        return [*parts, *(table.frequencies.astype("<i8").tobytes() for table in gaussian_tables()), _EDGES.tobytes()]

    def _columns(self, integers: np.ndarray) -> Iterator[tuple[Table, np.ndarray]]:
        n, h, w, channels = integers.shape
        block, split = self.network.block, channels - len(self.tables)
        side = integers[..., split:]
        yield from zip(self.tables, side.reshape(-1, len(self.tables)).T, strict=True)
        parts = integers[..., :split].reshape(n, h, w, block, block, -1).swapaxes(2, 3)
        levels = self.network.levels(side).ravel()
        values = parts.reshape(-1)
        for level in np.unique(levels):
            yield gaussian_tables()[level], values[levels == level]

    def _read(self, decoder: Decoder, shape: tuple[int, ...]) -> np.ndarray:
        n, h, w, _ = shape
        block = self.network.block
        codes = np.empty(shape, "int32")
        split = shape[-1] - len(self.tables)
        for channel, table in enumerate(self.tables, start=split):
            codes[..., channel] = decoder.read(table, n * h * w).reshape(n, h, w)
        levels = self.network.levels(codes[..., split:])
        values = np.empty(levels.shape, "int32")
        for level in np.unique(levels):
            chosen = levels == level
            values[chosen] = decoder.read(gaussian_tables()[level], int(chosen.sum()))
        parts = values.reshape(n, h, block, w, block, -1).swapaxes(2, 3)
        codes[..., :split] = parts.reshape(n, h, w, split)
        return codes

    def needed(self, positions: int, samples: int = 1) -> int:
        """Return the memory that decoding needs, in image values; see `Codec.needed`.

        Args:
            positions: Number of samples times number of positions in the code of a sample.
            samples: Number of samples, which the network takes one at a time.
        """
        widest = max(layer.kernel.shape[3] for layer in self.network.layers)
        # The widest activations in 64 bits: the sum, one product and the result.
        return max(super().needed(positions), -(-positions // max(samples, 1)) * self.network.block**2 * widest * 6)

    def _content(self) -> dict[str, Any]:
        layers = [
            {
                "kernel": layer.kernel.tolist(),
                "bias": layer.bias.tolist(),
                "shift": layer.shift,
                "doubles": layer.doubles,
            }
            for layer in self.network.layers
        ]
        return {**super()._content(), "kind": self.kind, "network": layers}

    @classmethod
    def _further(cls, content: dict[str, Any]) -> dict[str, Any]:
        layers = [
            IntegerLayer(np.array(each["kernel"]), np.array(each["bias"]), each["shift"], each["doubles"])
            for each in content["network"]
        ]
        return {"network": IntegerNetwork(tuple(layers))}
