"""Standardization of features, which an estimator fits and an export contains."""

from __future__ import annotations

import warnings

import numpy as np

CHOICES = (None, "standard", "robust")


def fit(x: np.ndarray, how: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the center and the scale of each feature.

    A feature whose middle half is constant, such as a rare flag, has no interquartile range and is scaled by its
    standard deviation; a constant feature has the scale 1, so that it becomes 0.

    Args:
        x: Samples, (n, features); NaN is ignored.
        how: "standard" for mean and standard deviation, "robust" for median and interquartile range.

    Returns:
        Both (features,) float32.

    Example:
        >>> center, scale = fit(np.array([[1.0, 7.0], [2.0, 7.0], [3.0, 7.0], [100.0, 7.0]]), "robust")
        >>> center, scale
        (array([2.5, 7. ], dtype=float32), array([25.5,  1. ], dtype=float32))
    """
    x = np.asarray(x, "float64")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=RuntimeWarning)  # a feature without any value
        center, scale = np.nanmean(x, axis=0), np.nanstd(x, axis=0)
        if how == "robust":
            low, center, high = np.nanpercentile(x, (25, 50, 75), axis=0)
            scale = np.where(high > low, high - low, scale)
    # A constant may differ by a few roundings of single precision.
    constant = ~(scale > 4 * np.finfo("float32").eps * np.abs(center))
    return np.nan_to_num(center).astype("float32"), np.where(constant, 1.0, scale).astype("float32")
