"""Comparison of generated samples with data, in the features of a probe network."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import pairwise_distances_chunked


def frechet_distance(features: ArrayLike, other: ArrayLike) -> float:
    """Compute the Fréchet distance between Gaussians that are fitted to the features of two sets of samples.

    It is ‖μ - μ'‖² + tr(Σ + Σ' - 2 (Σ Σ')^½). With features of an Inception network it is known as FID; a network of
    your own gives another number, which compares only with numbers of the same network. Fewer samples give greater
    distances: compare sets of equal size, of many more samples than features.

    Args:
        features: Features of one set of samples, (n, features), such as the last hidden layer of a classifier.
        other: Features of another set, (m, features), from the same network.

    Returns:
        The squared distance, at least 0.

    Raises:
        ValueError: If the features are not finite matrices of the same width, with at least two rows.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(1000, 3))
        >>> round(frechet_distance(x, x + [2, 0, 0]), 6)
        4.0

    Reference:
        Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", NeurIPS
        2017, arXiv:1706.08500.
    """
    a, b = _matrices(features, other, 2)
    difference = a.mean(axis=0) - b.mean(axis=0)
    first, second = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    # Σ Σ' has the same eigenvalues as Σ^½ Σ' Σ^½, which is symmetric.
    values, vectors = np.linalg.eigh(first)
    root = vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T
    shared = np.sqrt(np.clip(np.linalg.eigvalsh(root @ second @ root), 0, None)).sum()
    return float(max(difference @ difference + np.trace(first) + np.trace(second) - 2 * shared, 0.0))


def precision_recall(real: ArrayLike, generated: ArrayLike, *, k: int = 3) -> tuple[float, float]:
    """Compute the precision and the recall of generated samples.

    Each sample covers a ball around it that reaches its k-th nearest neighbor in its own set.
    Precision is the share of generated samples within the balls of the real ones: whether samples look like data.
    Recall is the share of real samples within the balls of the generated ones: whether all kinds of data are generated.

    Args:
        real: Features of data, (n, features), such as the last hidden layer of a classifier.
        generated: Features of generated samples, (m, features), from the same network.
        k: Which nearest neighbor sets the radius.

    Returns:
        Precision and recall, each between 0 and 1.

    Raises:
        ValueError: If the features are not finite matrices of the same width, or have at most k rows.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(500, 2))
        >>> half = x[x[:, 0] > 0]  # as real as all others, but none on the left
        >>> precision, recall = precision_recall(x, half)
        >>> precision, 0.4 < recall < 0.6
        (1.0, True)

    Reference:
        Kynkäänniemi et al., "Improved precision and recall metric for assessing generative models", NeurIPS 2019,
        arXiv:1904.06991.
    """
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ValueError(f"k={k!r}: expected an integer >= 1.")
    a, b = _matrices(real, generated, k + 1)
    return _covered(a, b, k), _covered(b, a, k)


def _covered(x: np.ndarray, points: np.ndarray, k: int) -> float:
    """Return the share of points within the balls around the rows of x."""
    own = pairwise_distances_chunked(x, reduce_func=lambda d, _: np.partition(d, k, axis=1)[:, k])  # row 0 is itself
    radii = np.concatenate(list(own))
    found = pairwise_distances_chunked(points, x, reduce_func=lambda d, _: (d <= radii).any(axis=1))
    return float(np.concatenate(list(found)).mean())


def _matrices(features: ArrayLike, other: ArrayLike, least: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = (np.asarray(x, "float64") for x in (features, other))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < least:
        raise ValueError(
            f"The features have shapes {a.shape} and {b.shape}: give two matrices of the same width, of at least "
            f"{least} rows."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("The features contain NaN or infinite values.")
    return a, b
