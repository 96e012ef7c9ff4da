"""Rate and quality of compressed images."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike


def bits_per_pixel(data: bytes, x: ArrayLike) -> float:
    """Compute the bits per pixel of compressed images.

    Args:
        data: The compressed images, all headers included.
        x: The original images, (batch, height, width) or (batch, height, width, channels), where all channels of a
            position count as one pixel; or vectors, (batch, features), where each feature counts as one pixel.

    Returns:
        Bits per pixel.

    Raises:
        ValueError: If x has no pixels or another shape.

    Example:
        >>> bits_per_pixel(bytes(98), np.zeros((10, 28, 28, 1)))
        0.1
    """
    shape = np.shape(x)
    if len(shape) not in (2, 3, 4) or 0 in shape:
        raise ValueError(f"x has shape {shape}: expected images (batch, height, width[, channels]), at least one.")
    return 8 * len(data) / math.prod(shape[:3])


def psnr(x: ArrayLike, reconstruction: ArrayLike, peak: float = 1.0) -> float:
    """Compute the peak signal-to-noise ratio, 10 log₁₀ (peak² / MSE), with the MSE over all values of all images.

    Args:
        x: The images, of any shape.
        reconstruction: Their reconstructions, of the same shape.
        peak: The greatest possible value of a pixel: 1 for images in [0, 1], 255 for images of bytes.

    Returns:
        Decibels; infinity if the images are equal.

    Raises:
        ValueError: If the shapes differ, there are no values, or the peak is not positive.

    Example:
        >>> round(psnr(np.zeros((2, 4, 4)), np.full((2, 4, 4), 0.1)), 6)
        20.0
    """
    x, reconstruction = np.asarray(x), np.asarray(reconstruction)
    if x.shape != reconstruction.shape or not x.size:
        raise ValueError(
            f"x has shape {x.shape} and its reconstruction {reconstruction.shape}: give images of the same shape, at "
            "least one."
        )
    if not peak > 0:
        raise ValueError(f"peak={peak}: expected a number > 0.")
    error = np.mean(np.square(x.astype("float64") - reconstruction))
    return math.inf if error == 0 else float(10 * np.log10(peak**2 / error))
