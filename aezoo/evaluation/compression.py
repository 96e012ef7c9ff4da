"""Rate and quality of compressed images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike
from scipy.interpolate import PchipInterpolator

from aezoo import _validation


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


def ms_ssim(x: ArrayLike, reconstruction: ArrayLike, peak: float = 1.0) -> np.ndarray:
    """Compute the multi-scale structural similarity of each image, with five scales and the weights of the paper.

    Args:
        x: The images, (batch, height, width, channels), with sides of at least 176 pixels.
        reconstruction: Their reconstructions, of the same shape.
        peak: The greatest possible value of a pixel: 1 for images in [0, 1], 255 for images of bytes.

    Returns:
        (batch,) float32; 1 for equal images.

    Raises:
        ValueError: If the shapes differ, there are no images or too small ones for five scales, or peak is not
            positive.

    Example:
        >>> images = np.random.default_rng(0).random((2, 176, 176, 1))
        >>> ms_ssim(images, images).tolist()
        [1.0, 1.0]

    Reference:
        Wang et al., "Multi-scale structural similarity for image quality assessment", Asilomar 2003.
    """
    x, reconstruction = np.asarray(x, "float32"), np.asarray(reconstruction, "float32")
    if x.shape != reconstruction.shape or x.ndim != 4 or not len(x) or min(x.shape[1:3]) < 176:
        raise ValueError(
            f"x has shape {x.shape} and its reconstruction {reconstruction.shape}: give images (batch, height, width, "
            "channels) of the same shape, at least one, with sides of at least 176 pixels, which five scales need."
        )
    if not peak > 0:
        raise ValueError(f"peak={peak}: expected a number > 0.")
    found = [tf.image.ssim_multiscale(a[None], b[None], peak) for a, b in zip(x, reconstruction, strict=True)]
    return np.concatenate([np.asarray(each) for each in found])


def bd_rate(
    reference: Sequence[tuple[float, float]],
    points: Sequence[tuple[float, float]],
    method: Literal["cubic", "pchip"] = "cubic",
) -> float:
    """Compute the Bjøntegaard delta rate: the mean difference in rate at equal quality, in percent of the reference.

    The logarithm of the rate is a function of the quality, a polynomial of degree 3 fitted to the points. Its mean is
    taken over the qualities that both compressors reach.

    Args:
        reference: (rate, quality) of the reference, such as bits per pixel and PSNR, at least 4 points of different
            quality in any order.
        points: (rate, quality) of the compressor to compare, likewise.
        method: "cubic" fits the polynomial; "pchip" interpolates with monotone piecewise cubics, which follow curves of
            many or irregular points more closely.

    Returns:
        Percent; -10 means that the compressor takes 10 % fewer bits than the reference.

    Raises:
        ValueError: If a curve has too few points, a rate is not positive and finite, or no quality is common to both.

    Example:
        >>> reference = [(0.2, 28.0), (0.4, 31.0), (0.8, 34.0), (1.6, 37.0)]
        >>> half = [(rate / 2, quality) for rate, quality in reference]
        >>> round(bd_rate(reference, half), 6)
        -50.0

    Reference:
        Bjøntegaard, "Calculation of average PSNR differences between RD-curves", ITU-T VCEG-M33, 2001.
    """
    _validation.check_choice("method", method, ("cubic", "pchip"))
    curves = []
    for name, curve in (("reference", reference), ("points", points)):
        rate, quality = np.asarray(sorted(curve, key=lambda point: point[1]), "float64").reshape(-1, 2).T
        different = len(set(quality.tolist())) == len(quality) >= 4
        if not different or not (rate > 0).all() or not np.isfinite([rate, quality]).all():
            raise ValueError(
                f"{name} must have at least 4 points of different, finite qualities with finite rates > 0, but it is "
                f"{list(curve)}."
            )
        curves.append((quality, np.log(rate)))
    low, high = max(quality[0] for quality, _ in curves), min(quality[-1] for quality, _ in curves)
    if low >= high:
        raise ValueError("The two curves have no quality in common: give points whose ranges of quality overlap.")
    areas = []
    for quality, log_rate in curves:
        if method == "pchip":
            areas.append(PchipInterpolator(quality, log_rate).integrate(low, high))
        else:
            whole = np.polynomial.Polynomial.fit(quality, log_rate, 3).integ()
            areas.append(whole(high) - whole(low))
    return float(100 * math.expm1((areas[1] - areas[0]) / (high - low)))
