"""How sparse a code is.

Two families of measures. `l0` and `dead_units` count units that are not 0, and so fit codes with
exact zeros (ReLU, top-k). `population_sparsity` and `lifetime_sparsity` compare the mean of a code with its
spread: they need no threshold and also fit codes that are never 0 (sigmoid), or differ between a few large
and many small values (linear).

The units of a code of several axes, (batch, height, width, channels) say, are all entries that a sample has, as `TopK`
counts them.

The functions take all codes at once; `CodeStatistics` takes them chunk by chunk. `active_units` is a measure of
variational autoencoders, by the variance of a unit.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from aezoo.metrics import ActiveUnits

__all__ = ["CodeStatistics", "active_units", "dead_units", "l0", "lifetime_sparsity", "population_sparsity"]


def active_units(z: ArrayLike, *, threshold: float = 0.01) -> int:
    """Count the units of a variational code that are active: Var(μ) > threshold over the data.

    It is what a `VAE` reports as `active_units` while it trains. Units that the divergence has switched off have
    μ = 0 for every sample.

    Args:
        z: posterior means μ, (batch, units) or of a spatial code (batch, ...): `model.encode(x)`.
        threshold: the largest variance of a unit that is not active.

    Returns:
        The count, between 0 and the number of units.

    Raises:
        TypeError: `z` is a model.
        ValueError: `z` has no batch axis, is empty, has values that are not finite, or `threshold` is negative.

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
    """The mean number of units that are active in a sample, the "L0" of a code.

    A unit is active when |z| > tol. With `tol=0`, the definition for ReLU and top-k codes, all units of a
    sigmoid or linear code count: give a `tol` in units of the code (0.1 of a sigmoid, say), and report it
    with the number. The count of active units of a VAE, which is about the variance of a unit over the data, is
    `active_units`.

    Args:
        z: codes, (batch, units).
        tol: the largest absolute value of a unit that is not active.

    Returns:
        The mean count, between 0 and `units`.

    Raises:
        TypeError: `z` is a model.
        ValueError: `z` has fewer than 2 axes, is empty, has values that are not finite, or `tol` is negative.

    Example:
        >>> l0([[0.0, 2.0, -1.0], [0.0, 0.0, 3.0]])
        1.5

    Reference:
        Gao et al. 2024, "Scaling and evaluating sparse autoencoders", arXiv:2406.04093 (L0).
    """
    _no_model(z)
    return CodeStatistics(tol).update(z).l0()


def dead_units(z: ArrayLike, tol: float = 0.0) -> int:
    """The number of units that are active in no sample.

    The count is about the samples given: a rare feature looks dead in a small batch, so pass as many samples
    as the published number that it is compared with. About `tol` the same holds as for `l0`. A
    sigmoid unit stuck at 1, or a linear unit stuck at a constant, carries no information either but is not
    dead in this sense: `lifetime_sparsity` shows such a unit as 0.

    Args:
        z: codes, (batch, units).
        tol: a unit is dead when |z| <= tol in every sample.

    Returns:
        The count, between 0 and `units`.

    Raises:
        TypeError: `z` is a model.
        ValueError: `z` has fewer than 2 axes, is empty, has values that are not finite, or `tol` is negative.

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
    """How few units share the activity in one sample, averaged over the samples.

    For the activities r = |z| of the m units in a sample

        S = (1 - mean(r)² / mean(r²)) / (1 - 1/m)

    is 0 when all units are equally active and 1 when exactly one is. Its first part, mean(r)² / mean(r²), is
    the sparseness of Treves and Rolls. A sample in which no unit is active has no S and is left out.

    Args:
        z: codes, (batch, units), units >= 2. Firing rates have no sign: of a signed code |z| is taken.

    Returns:
        The mean of S over the samples with an active unit, in [0, 1]; NaN when there is none.

    Raises:
        ValueError: `z` has fewer than 2 axes, is empty, has less than 2 units or values that are not finite.

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
    """How few samples a unit answers to, for each unit.

    The formula of `population_sparsity` along the other axis: for the activities r = |z| of a unit in n
    samples

        S = (1 - mean(r)² / mean(r²)) / (1 - 1/n)

    is 0 for a unit that answers equally to every sample and 1 for one that answers to a single sample.

    Args:
        z: codes, (batch, units), batch >= 2. Firing rates have no sign: of a signed code |z| is taken.

    Returns:
        S, (units,), in [0, 1]; NaN for a unit that is 0 in every sample (a dead one): `np.nanmean` leaves it
        out.

    Raises:
        ValueError: `z` has fewer than 2 axes, is empty, has less than 2 samples or values that are not
            finite.

    Example:
        >>> lifetime_sparsity([[1.0, 0.0], [1.0, 4.0]])
        array([0., 1.])

    Reference:
        Vinje & Gallant 2000, "Sparse coding and decorrelation in primary visual cortex during natural
        vision", Science 287:1273, doi:10.1126/science.287.5456.1273.
    """
    return CodeStatistics().update(z).lifetime_sparsity()


class CodeStatistics:
    """The measures of this module over codes that come in chunks: memory holds sums, and no chunk.

    Args:
        tol: the largest absolute value of a unit that is not active.

    Raises:
        ValueError: `tol` is negative.

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
        """Adds codes, (batch, units).

        Args:
            z: codes, at least one, with as many units as those before.

        Returns:
            This object.

        Raises:
            ValueError: `z` has fewer than 2 axes, is empty, or has values that are not finite.
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
        """As `aezoo.evaluation.l0`."""
        return float(self._active / self.samples)

    def dead_units(self) -> int:
        """As `aezoo.evaluation.dead_units`."""
        return int(np.count_nonzero(~self._ever_active))

    def population_sparsity(self) -> float:
        """As `aezoo.evaluation.population_sparsity`."""
        shape = (self.samples, len(self._magnitudes))
        if shape[1] < 2:
            raise ValueError(f"z has shape {shape}: the sparsity over a population needs at least 2 units.")
        return float(self._population_sum / self._populations) if self._populations else math.nan

    def lifetime_sparsity(self) -> np.ndarray:
        """As `aezoo.evaluation.lifetime_sparsity`."""
        shape = (self.samples, len(self._magnitudes))
        if shape[0] < 2:
            raise ValueError(f"z has shape {shape}: the sparsity over a lifetime needs at least 2 samples.")
        return _vinje_gallant(self._magnitudes, self._squares, self.samples)


def _vinje_gallant(magnitudes: np.ndarray, squares: np.ndarray, n: int) -> np.ndarray:
    """S of activities r, n > 1 of them, given Σ r and Σ r²; NaN where all are 0."""
    ratio = np.full_like(magnitudes, np.nan)
    np.divide(magnitudes**2 / n, squares, out=ratio, where=squares > 0)
    # Rounding takes an even code a last bit below 0, a one-hot code one above 1.
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
        z = z.astype("float64")  # the absolute value of the smallest integer overflows
    if not np.isfinite(z).all():
        raise ValueError("z has values that are not finite (NaN or inf).")
    return z
