"""Detection of filters that are noise."""

from __future__ import annotations

import numpy as np

from aezoo._typing import ArrayLike

#: A filter is noise if the correlation of its neighboring weights is below this value, ...
AUTOCORRELATION = 0.3
#: ... and if this share of its weights, the largest ones, has less than this share of its energy.
LARGEST, CONCENTRATION = 0.05, 0.5
#: Filters with fewer weights are too small to decide.
SMALLEST = 49


def noise_units(filters: ArrayLike) -> np.ndarray:
    """Return which filters are noise: neither smooth nor concentrated anywhere.

    A filter is noise if two conditions hold. The correlation of neighboring weights, Σ wᵢwⱼ / ‖w‖² over the neighbors
    below and to the right, without subtracting the mean, is below 0.3: it is 0 for independent weights and near 1 for
    strokes and blobs. And the largest 5 % of the weights have less than half of the energy Σw²: they have 28 % of it
    for Gaussian weights and nearly all of it for a dot, which has no neighbors that agree. Both numbers do not depend
    on the size or the sign of a filter. The limits were chosen by looking at the first layers of the presets.

    Args:
        filters: (units, height, width) or (units, height, width, channels). Filters of fewer than 7 × 7 weights are too
            small to tell, and not noise.

    Returns:
        (units,) bool. A filter of zeros is not noise: it is dead.

    Raises:
        ValueError: If the filters have another number of axes or are not finite.

    Example:
        >>> rng, bar = np.random.default_rng(0), np.zeros((28, 28))
        >>> bar[4:24, 13:15] = 1
        >>> noise_units([bar, rng.normal(size=(28, 28)), np.zeros((28, 28))]).tolist()
        [False, True, False]
    """
    w = np.asarray(filters, "float64")
    if w.ndim not in (3, 4) or not np.isfinite(w).all():
        raise ValueError(f"Filters of shape {w.shape}: expected finite numbers, (units, height, width[, channels]).")
    w = w.reshape(*w.shape[:3], -1)
    if w.shape[1] * w.shape[2] < SMALLEST:
        return np.zeros(len(w), bool)
    energy = np.sum(w**2, axis=(1, 2, 3))
    scale = np.where(energy > 0, energy, 1)
    below = np.sum(w[:, 1:] * w[:, :-1], axis=(1, 2, 3))
    beside = np.sum(w[:, :, 1:] * w[:, :, :-1], axis=(1, 2, 3))
    squares = np.sort(np.sum(w**2, axis=3).reshape(len(w), -1), axis=1)
    largest = squares[:, -round(LARGEST * squares.shape[1]) :].sum(axis=1)
    is_rough = (below + beside) / (2 * scale) < AUTOCORRELATION
    return is_rough & (largest / scale < CONCENTRATION) & (energy > 0)
