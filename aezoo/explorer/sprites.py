"""Sprites: pictures of one size in one PNG, and samples in 8 bits per value."""

from __future__ import annotations

import dataclasses
import math
import struct
import zlib

import numpy as np


@dataclasses.dataclass(frozen=True)
class Levels:
    """Map from bytes to values: low + (high - low) · byte / levels.

    Attributes:
        low: Value of byte 0.
        high: Value of the byte `levels`.
        levels: Largest byte.
        exact: Whether every value of the samples equals the value of a byte.
    """

    low: float
    high: float
    levels: int
    exact: bool

    def values(self, pixels: np.ndarray) -> np.ndarray:
        """Return the values of bytes, float32."""
        return (self.low + (self.high - self.low) * (pixels.astype("float64") / self.levels)).astype("float32")


def quantized(x: np.ndarray) -> tuple[np.ndarray, Levels]:
    """Return values as bytes, and the map back, which is exact for values in [0, 1] that are multiples of 1/k, k < 256.

    Args:
        x: Finite floating-point values.

    Example:
        >>> pixels, levels = quantized(np.array([0, 3 / 16, 1]))
        >>> pixels.tolist(), levels.levels, levels.exact
        ([0, 45, 240], 240, True)
    """
    low, high = min(0.0, float(x.min(initial=0))), max(1.0, float(x.max(initial=1)))
    if low == 0.0 and high == 1.0:
        for count in range(255, 0, -1):
            pixels = np.rint(x * np.float32(count))
            if np.abs(x * np.float32(count) - pixels).max(initial=0) < 1e-4:
                return pixels.astype("uint8"), Levels(0.0, 1.0, count, True)
    pixels = np.rint((x - low) * (255 / (high - low))).astype("uint8")
    levels = Levels(low, high, 255, False)
    return pixels, dataclasses.replace(levels, exact=bool(np.abs(levels.values(pixels) - x).max(initial=0) < 1e-6))


def png(tiles: np.ndarray) -> bytes:
    """Return pictures as one PNG: tile i is in row i // columns of a grid of ⌈√n⌉ columns, without gaps.

    Args:
        tiles: (n, height, width, 1 or 3) uint8.

    Example:
        >>> png(np.zeros((5, 2, 2, 1), "uint8"))[1:4]
        b'PNG'
    """
    n, height, width, channels = tiles.shape
    columns = max(1, math.ceil(math.sqrt(n)))
    rows = math.ceil(n / columns)
    filled = np.zeros((rows * columns, *tiles.shape[1:]), "uint8")
    filled[:n] = tiles
    grid = filled.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    lines = grid.reshape(rows * height, columns * width * channels)
    # Each line starts with 0, for no filter. The page parses the PNG because a browser with protection against
    # fingerprinting alters the pixels that scripts read from a canvas.
    raw = np.concatenate([np.zeros((len(lines), 1), "uint8"), lines], axis=1).tobytes()
    header = struct.pack(">IIBBBBB", columns * width, rows * height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
