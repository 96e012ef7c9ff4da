"""Sparsity of codes.

There are two families of metrics. `l0` and `dead_units` count units that are not 0, which suits codes with exact zeros
(ReLU, top-k). `population_sparsity` and `lifetime_sparsity` compare the mean of a code with its spread: they need no
threshold, and also suit codes that are never 0 (sigmoid) or mix a few large values with many small ones (linear).

A code of several axes, such as (batch, height, width, channels), has one unit per entry of a sample, as in `TopK`.

The functions take all codes at once; `CodeStatistics` takes them chunk by chunk. `active_units` is for variational
autoencoders and uses the variance of a unit.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from aezoo.metrics import ActiveUnits

__all__ = ["CodeStatistics", "active_units", "dead_units", "l0", "lifetime_sparsity", "population_sparsity"]


def active_units(z: ArrayLike, *, threshold: float = 0.01) -> int:
    """Count the active units of a variational code, where Var(μ) > threshold over the data.

    A `VAE` reports the same number as `active_units` while it trains. Units that the divergence has switched off have
    μ = 0 for every sample.

    Args:
        z: Posterior means μ, `model.encode(x)`: (batch, units), or (batch, ...) for a spatial code.
        threshold: The largest variance of an inactive unit, at least 0.

    Returns:
        The count, between 0 and the number of units.

    Raises:
        TypeError: If `z` is a model.
        ValueError: If `z` has no batch axis, is empty or has values that are not finite, or `threshold` is negative.

    Example:
        >>> active_units([[0.0, 1.0], [1.0, 1.0]])  # variances 0.25 and 0
        1

    Reference:
        Burda et al. 2016, "Importance weighted autoencoders", ICLR, arXiv:1509.00519, section 5.
    """
    if not threshold >= 0:
        raise ValueError(f"threshold={threshold}: expected a number >= 0.")
    shape = np.shape(_no_model(z))
    means = _codes(np.reshape(z, (shape[0], math.prod(shape[1:]))) if len(shape) > 2 else z)
    metric = ActiveUnits(means.shape[1:], threshold)
    metric.update_state(means)
    return int(metric.result())


def l0(z: ArrayLike, tol: float = 0.0) -> float:
    """Compute the mean number of active units per sample, the "L0" of a code.

    A unit is active if |z| > tol. `tol=0` is the definition for ReLU and top-k codes. With it, all units of a sigmoid
    or linear code are active: give a `tol` in units of the code, such as 0.1 for a sigmoid, and report it with the
    result. For a VAE, use `active_units`, which depends on the variance of a unit over the data.

    Args:
        z: Codes, (batch, units).
        tol: The largest absolute value of an inactive unit, at least 0.

    Returns:
        The mean count, between 0 and `units`.

    Raises:
        TypeError: If `z` is a model.
        ValueError: If `z` has fewer than 2 axes, is empty or has values that are not finite, or `tol` is negative.

    Example:
        >>> l0([[0.0, 2.0, -1.0], [0.0, 0.0, 3.0]])
        1.5

    Reference:
        Gao et al. 2024, "Scaling and evaluating sparse autoencoders", arXiv:2406.04093 (L0).
    """
    _no_model(z)
    return CodeStatistics(tol).update(z).l0()


def dead_units(z: ArrayLike, tol: float = 0.0) -> int:
    """Count the units that are not active in any sample.

    The count depends on the samples: a rare feature looks dead in a small batch, so use as many samples as the
    published result to compare with. Choose `tol` as for `l0`. A sigmoid unit stuck at 1, or a linear unit stuck at a
    constant, carries no information either but does not count as dead: its `lifetime_sparsity` is 0.

    Args:
        z: Codes, (batch, units).
        tol: A unit is dead if |z| <= tol in every sample; at least 0.

    Returns:
        The count, between 0 and `units`.

    Raises:
        TypeError: If `z` is a model.
        ValueError: If `z` has fewer than 2 axes, is empty or has values that are not finite, or `tol` is negative.

    Example:
        >>> dead_units([[0.0, 2.0, -1.0], [0.0, 0.0, 3.0]])
        1

    Reference:
        Gao et al. 2024, "Scaling and evaluating sparse autoencoders", arXiv:2406.04093: latents that "stop
        activating entirely", there over 10 million tokens.
    """
    _no_model(z)
    return CodeStatistics(tol).update(z).dead_units()


def population_sparsity(z: ArrayLike) -> float:
    """Compute the mean population sparsity, which measures how few units share the activity in one sample.

    For the activities r = |z| of the m units in a sample

        S = (1 - mean(r)² / mean(r²)) / (1 - 1/m)

    is 0 if all units are equally active and 1 if exactly one is active. Its part mean(r)² / mean(r²) is the sparseness
    of Treves and Rolls. A sample without an active unit has no S and is left out.

    Args:
        z: Codes, (batch, units), units >= 2. A signed code enters as |z|, since firing rates have no sign.

    Returns:
        The mean of S over the samples with an active unit, in [0, 1]; NaN if there is no such sample.

    Raises:
        TypeError: If `z` is a model.
        ValueError: If `z` has fewer than 2 axes or 2 units, is empty, or has values that are not finite.

    Example:
        >>> round(population_sparsity([[0.0, 0.0, 5.0], [1.0, 1.0, 1.0]]), 6)  # (1 + 0) / 2
        0.5

    Reference:
        Treves & Rolls 1991, "What determines the capacity of autoassociative memories in the brain?", Network
        2:371; Vinje & Gallant 2000, "Sparse coding and decorrelation in primary visual cortex during natural
        vision", Science 287:1273, doi:10.1126/science.287.5456.1273; Willmore & Tolhurst 2001,
        "Characterizing the sparseness of neural codes", Network 12:255 (population and lifetime).
    """
    return CodeStatistics().update(z).population_sparsity()


def lifetime_sparsity(z: ArrayLike) -> np.ndarray:
    """Compute the lifetime sparsity of each unit, which measures how few samples activate it.

    It is the formula of `population_sparsity` along the other axis: for the activities r = |z| of a unit in n samples

        S = (1 - mean(r)² / mean(r²)) / (1 - 1/n)

    is 0 for a unit that responds equally to every sample and 1 for a unit that responds to a single sample.

    Args:
        z: Codes, (batch, units), batch >= 2. A signed code enters as |z|, since firing rates have no sign.

    Returns:
        S, (units,), in [0, 1]; NaN for a dead unit, which is 0 in every sample. `np.nanmean` ignores dead units.

    Raises:
        TypeError: If `z` is a model.
        ValueError: If `z` has fewer than 2 axes or 2 samples, is empty, or has values that are not finite.

    Example:
        >>> lifetime_sparsity([[1.0, 0.0], [1.0, 4.0]])
        array([0., 1.])

    Reference:
        Vinje & Gallant 2000, "Sparse coding and decorrelation in primary visual cortex during natural
        vision", Science 287:1273, doi:10.1126/science.287.5456.1273.
    """
    return CodeStatistics().update(z).lifetime_sparsity()


class CodeStatistics:
    """Accumulator of this module's metrics over codes that come in chunks; it stores sums, not codes.

    Args:
        tol: The largest absolute value of an inactive unit, at least 0.

    Raises:
        ValueError: If `tol` is negative.

    Example:
        >>> statistics = CodeStatistics()
        >>> for z in ([[0.0, 2.0, -1.0]], [[0.0, 0.0, 3.0]]):
        ...     statistics = statistics.update(z)
        >>> statistics.l0(), statistics.dead_units()
        (1.5, 1)
    """

    def __init__(self, tol: float = 0.0):
        if not tol >= 0:
            raise ValueError(f"tol={tol}: expected a number >= 0.")
        self.tol = tol
        self.samples = 0
        self._active: Any = 0
        self._populations: Any = 0  # samples with an active unit
        self._population_sum = 0.0
        self._ever_active: Any = False
        self._magnitudes: Any = 0.0
        self._squares: Any = 0.0

    def update(self, z: ArrayLike) -> "CodeStatistics":
        """Add codes.

        Args:
            z: Codes, (batch, units), at least one, with the same number of units in every call.

        Returns:
            This object.

        Raises:
            TypeError: If `z` is a model.
            ValueError: If `z` has fewer than 2 axes, is empty, or has values that are not finite.
        """
        z = _codes(z)
        magnitudes = np.abs(z)
        active = magnitudes > self.tol
        self.samples += len(z)
        self._active += np.count_nonzero(active)
        self._ever_active = self._ever_active | active.any(axis=0)
        self._magnitudes = self._magnitudes + magnitudes.sum(axis=0, dtype="float64")
        self._squares = self._squares + np.einsum("ij,ij->j", z, z, dtype="float64")
        if z.shape[1] > 1:
            squares = np.einsum("ij,ij->i", z, z, dtype="float64")
            sparsity = _vinje_gallant(magnitudes.sum(axis=1, dtype="float64"), squares, z.shape[1])
            self._populations += np.count_nonzero(~np.isnan(sparsity))
            self._population_sum += np.nansum(sparsity)
        return self

    def l0(self) -> float:
        """Return `aezoo.evaluation.l0` of all codes."""
        return float(self._active / self.samples)

    def dead_units(self) -> int:
        """Return `aezoo.evaluation.dead_units` of all codes."""
        return int(np.count_nonzero(~self._ever_active))

    def population_sparsity(self) -> float:
        """Return `aezoo.evaluation.population_sparsity` of all codes."""
        shape = (self.samples, len(self._magnitudes))
        if shape[1] < 2:
            raise ValueError(f"z has shape {shape}: population sparsity needs at least 2 units.")
        return float(self._population_sum / self._populations) if self._populations else math.nan

    def lifetime_sparsity(self) -> np.ndarray:
        """Return `aezoo.evaluation.lifetime_sparsity` of all codes."""
        shape = (self.samples, len(self._magnitudes))
        if shape[0] < 2:
            raise ValueError(f"z has shape {shape}: lifetime sparsity needs at least 2 samples.")
        return _vinje_gallant(self._magnitudes, self._squares, self.samples)


def _vinje_gallant(magnitudes: np.ndarray, squares: np.ndarray, n: int) -> np.ndarray:
    """Compute S of n > 1 activities r from Σ r and Σ r²; NaN if all are 0."""
    ratio = np.full_like(magnitudes, np.nan)
    np.divide(magnitudes**2 / n, squares, out=ratio, where=squares > 0)
    # Rounding moves S of a uniform code one last bit below 0, and S of a one-hot code one above 1.
    return np.clip((1 - ratio) / (1 - 1 / n), 0, 1)


def _no_model(z: ArrayLike) -> ArrayLike:
    if hasattr(z, "encode") or hasattr(z, "predict"):
        raise TypeError(f"z must be codes, (batch, units), but it is a {type(z).__name__}: give model.encode(x).")
    return z


def _codes(z: ArrayLike) -> np.ndarray:
    z = np.asarray(_no_model(z))
    if z.ndim < 2 or z.size == 0:
        raise ValueError(f"z has shape {z.shape}: expected codes of shape (batch, units), at least 1 of each.")
    z = z.reshape(len(z), -1)
    if z.dtype.kind not in "f":
        z = z.astype("float64")  # as an integer, the absolute value of the smallest one overflows
    if not np.isfinite(z).all():
        raise ValueError("z has values that are not finite (NaN or inf).")
    return z
