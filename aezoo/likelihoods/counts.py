"""Distributions of counts that vary more than a Poisson distribution allows."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from aezoo._numerics import as_float32
from aezoo._typing import Shape, Tensor
from aezoo.layers.bounded import bounded
from aezoo.layers.log1p import Log1p
from aezoo.likelihoods.base import NAMED, TINY, Likelihood, stateless_seed

# Bounds of log μ and log r. Within them every intermediate result of `negative_binomial` is finite in float32.
LOG_MEAN = -20.0, 20.0
_LOG_INVERSE_DISPERSION = -10.0, 15.0
# Bounds of r where it starts: estimates from the moments of few samples can be arbitrarily large or small.
_START = 0.01, 1000.0
_HALF_LOG_2_PI = 0.5 * math.log(2.0 * math.pi)
# Below the first, differences of gamma functions are exact enough in float32; above it, series of 1/z are.
_LARGE, _SMALL_RATIO = 10.0, 0.1


def negative_binomial(y: Tensor, log_mean: Tensor, log_inverse_dispersion: Tensor) -> Tensor:
    """Return -log p(y) of a negative binomial distribution with mean μ and variance μ + μ²/r, elementwise.

    The formula is Loader's saddle-point expansion: differences of log-gamma functions would lose all digits of float32
    for large counts or large r. The gradient is computed from closed forms, which stay finite where the gradients of
    single summands do not.

    Args:
        y: Counts, at least 0, of any shape, float32.
        log_mean: log μ, of a shape that broadcasts to y.
        log_inverse_dispersion: log r, of a shape that broadcasts to y.

    Returns:
        A float32 tensor of the shape of y.

    Example:
        >>> negative_binomial([0.0, 2.0], 0.0, 0.0).numpy().round(4)  # μ = r = 1: p(y) = 2^(-1 - y)
        array([0.6931, 2.0794], dtype=float32)

    Reference:
        Loader, "Fast and accurate computation of binomial probabilities", 2000.
    """
    y = as_float32(y)
    log_mean = bounded(tf.broadcast_to(as_float32(log_mean), tf.shape(y)), *LOG_MEAN)
    log_r = bounded(tf.broadcast_to(as_float32(log_inverse_dispersion), tf.shape(y)), *_LOG_INVERSE_DISPERSION)
    return _negative_binomial(y, log_mean, log_r)


@tf.custom_gradient
def _negative_binomial(y: Tensor, log_mean: Tensor, log_r: Tensor) -> Tensor:
    mean, r = tf.exp(log_mean), tf.exp(log_r)
    ratio = log_mean - log_r
    zero = y <= 0.0
    x = tf.where(zero, tf.ones_like(y), y)
    n = x + r
    # x - nμ/(r + μ), the distance of x from the mean of a binomial distribution of n trials.
    excess = (x - mean) * tf.sigmoid(-ratio)
    of_x = _deviance(x, tf.math.log(x / n) + tf.math.softplus(-ratio), (x / mean - 1.0) * (r / n), excess)
    of_r = _deviance(r, _log_ratio(mean, r, x), (mean - x) / n, -excess)
    stirling = _stirling_error(r) + _stirling_error(x) - _stirling_error(n)
    several = tf.math.log(n) - log_r + stirling + _HALF_LOG_2_PI + 0.5 * (tf.math.log(x / n) + log_r) + of_x + of_r
    none = r * tf.math.softplus(ratio)

    def gradient(upstream: Tensor) -> tuple[Any, Any, Any]:
        n = y + r
        excess = (y - mean) * tf.sigmoid(-ratio)
        v = (mean - y) / n
        small = tf.where(tf.abs(v) < _SMALL_RATIO, v, 0.0)
        series = small**2 * tf.math.polyval([-6 / 7, 5 / 6, -4 / 5, 3 / 4, -2 / 3, 1 / 2], small)
        apart = r * _log_ratio(mean, r, y) + excess
        rest = tf.where(tf.abs(v) < _SMALL_RATIO, r * series, apart)
        large = rest + r * (_digamma_error(r) - _digamma_error(n))
        few = r * (tf.math.digamma(r) - tf.math.digamma(n)) + r * tf.math.softplus(ratio) + excess
        of_y = tf.math.digamma(y + 1.0) - tf.math.digamma(n) + tf.math.softplus(-ratio)
        return upstream * of_y, -upstream * excess, upstream * tf.where(r < _LARGE, few, large)

    return tf.where(zero, none, several), gradient


def _log_ratio(mean: Tensor, r: Tensor, x: Tensor) -> Tensor:
    """Return log((r + μ) / (r + x))."""
    v = (mean - x) / (r + x)
    return tf.where(v > -0.5, tf.math.log1p(tf.maximum(v, -0.5)), tf.math.log((r + mean) / (r + x)))


def log_inverse_dispersion_of(x: np.ndarray, shared: bool = False) -> np.ndarray:
    """Estimate log r of features from their moments: the variance is μ + μ²/r.

    Args:
        x: Samples, (n, ...).
        shared: Whether all features share one r.

    Returns:
        log r, (...), or a scalar if it is shared.

    Example:
        >>> log_inverse_dispersion_of(np.array([[0.0], [4.0]])).round(4)  # mean 2, variance 4: r = 2
        array([0.6931])
    """
    mean = x.mean(axis=0)
    square, excess = mean**2, x.var(axis=0) - mean
    if shared:
        square, excess = square.sum(), excess.sum()
    return np.log(np.clip(square / np.maximum(excess, TINY), *_START))


def _deviance(x: Tensor, log_ratio: Tensor, u: Tensor, excess: Tensor) -> Tensor:
    """Return x log(x/m) - (x - m), given log(x/m), u = x/m - 1 and x - m, without cancellation where x is near m."""
    near = tf.abs(u) < _SMALL_RATIO
    small = tf.where(near, u, 0.0)
    series = excess * small * tf.math.polyval([-1 / 42, 1 / 30, -1 / 20, 1 / 12, -1 / 6, 1 / 2], small)
    return tf.where(near, series, x * log_ratio - excess)


def _stirling_error(z: Tensor) -> Tensor:
    """Return log Γ(z + 1) minus Stirling's formula (z + ½) log z - z + ½ log 2π."""
    few, many = tf.minimum(z, _LARGE), tf.maximum(z, _LARGE)
    exact = tf.math.lgamma(few + 1.0) - (few + 0.5) * tf.math.log(few) + few - _HALF_LOG_2_PI
    return tf.where(z < _LARGE, exact, (1 / 12 - 1 / (360 * many**2)) / many)


def _digamma_error(z: Tensor) -> Tensor:
    """Return ψ(z) - log z for z of at least 10."""
    z = tf.maximum(z, _LARGE)
    return -(0.5 + (1 / 12 - 1 / (120 * z**2)) / z) / z


@keras.saving.register_keras_serializable("aezoo")
class NegativeBinomial(Likelihood):
    """Negative binomial distribution of counts x with mean μ and variance μ + μ²/r.

    The smaller the inverse dispersion r > 0 is, the more counts vary; for large r, the distribution is a Poisson
    distribution. The decoder computes log μ, and `decode` returns μ. With `library_size="observed"` the mean is a share
    of the sample's total count, μ = Σx · softmax(...), as for cells that were sequenced to different depths:
    `reconstruct` returns it, while `decode` and `sample`, which see no sample, return means for the median total of the
    training samples.

    Args:
        inverse_dispersion: r > 0; None learns one value for all features, "per_feature" one per feature. With
            "predicted" the decoder computes log r for each feature of each sample: along its last axis, the values of
            log μ come first and as many values of log r follow. Learned values start at the estimate from the mean and
            the variance of the training data.
        library_size: "observed" to scale the mean by the sum of each sample, which must be a vector of counts; or None.
        log_input: Whether the encoder that a model builds sees log(1 + x) instead of x.

    Raises:
        ValueError: If an argument is unknown or not positive; on build, if "per_feature" is used and samples have no
            fixed size, or a library size is used and samples are not vectors.

    Example:
        >>> likelihood = NegativeBinomial(inverse_dispersion=1.0)
        >>> likelihood.negative_log_likelihood([[0.0, 2.0]], [[0.0, 0.0]]).numpy().round(4)  # log 2 and 3 log 2
        array([[0.6931, 2.0794]], dtype=float32)
        >>> likelihood.mean(ops.array([[0.0, 1.0]])).numpy().round(4)
        array([[1.    , 2.7183]], dtype=float32)

    Reference:
        Lopez et al., "Deep generative modeling for single-cell transcriptomics", Nature Methods 15 (2018).
    """

    bounds = (0.0, math.inf)
    learns = True
    _extra_parameters = 0  # values per feature that the decoder computes besides log μ and log r

    def __init__(
        self,
        inverse_dispersion: float | Literal["per_feature", "predicted"] | None = "per_feature",
        library_size: Literal["observed"] | None = None,
        log_input: bool = True,
    ):
        value: Any = inverse_dispersion
        self._fixed = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if not (0 < value < math.inf if self._fixed else value in (None, "per_feature", "predicted")):
            raise ValueError(
                "inverse_dispersion must be inside (0, inf), None, 'per_feature' or 'predicted', but it is "
                f"{inverse_dispersion!r}."
            )
        if library_size not in (None, "observed"):
            raise ValueError(f"library_size must be 'observed' or None, but it is {library_size!r}.")
        self.inverse_dispersion = inverse_dispersion
        self.library_size = library_size
        self.log_input = bool(log_input)
        self._log_r: Any = None
        self._typical: Any = None

    @property
    def _predicts(self) -> bool:
        return self.inverse_dispersion == "predicted"

    @property
    def typical_library_size(self) -> Tensor:
        """The median sum of the training samples with a count, which `decode` assumes; 1 before the first `fit`."""
        return 1.0 if self._typical is None else ops.convert_to_tensor(self._typical)

    def build(self, add_weight: Callable[..., Any], x_shape: Shape) -> None:
        if self.inverse_dispersion in (None, "per_feature"):
            shape = x_shape if self.inverse_dispersion == "per_feature" else ()
            if None in shape:
                raise ValueError(
                    f"An inverse dispersion per feature needs samples of a fixed size, but they have shape {x_shape}."
                )
            self._log_r = add_weight(shape=shape, initializer="zeros", dtype="float32", name="log_inverse_dispersion")
        if self.library_size is None:
            return
        if len(x_shape) != 1:
            raise ValueError(
                f"A library size is the sum of a vector of counts, but samples have shape {x_shape}: flatten them, or "
                "leave out library_size."
            )
        self._typical = add_weight(
            shape=(),
            initializer="ones",
            dtype="float32",
            trainable=False,
            name="typical_library_size",
            aggregation="only_first_replica",
        )

    def decoder_shape(self, x_shape: Shape) -> Shape:
        return (*x_shape[:-1], self._parameters * x_shape[-1])

    @property
    def _parameters(self) -> int:
        return 1 + self._predicts + self._extra_parameters

    def _split(self, y_pred: Tensor) -> list[Tensor]:
        """Return log μ, or the logits of the shares of a sample; log r if it is predicted; and further parameters."""
        size = y_pred.shape[-1] // self._parameters
        return [y_pred[..., i * size : (i + 1) * size] for i in range(self._parameters)]

    def _log_mean(self, logits: Tensor, library_size: Tensor) -> Tensor:
        if self.library_size is None:
            return logits
        return ops.log_softmax(logits, axis=-1) + ops.log(ops.maximum(library_size, TINY))

    def _log_inverse_dispersion(self, parts: list[Tensor]) -> Any:
        if self._fixed:
            return math.log(self.inverse_dispersion)  # type: ignore[arg-type]  # it is a number
        if self._predicts:
            return parts[1]
        return 0.0 if self._log_r is None else ops.convert_to_tensor(self._log_r)

    def negative_log_likelihood(self, y: Tensor, y_pred: Tensor) -> Tensor:
        y, parts = as_float32(y), self._split(as_float32(y_pred))
        log_mean = self._log_mean(parts[0], ops.sum(y, axis=-1, keepdims=True))
        return negative_binomial(y, log_mean, self._log_inverse_dispersion(parts))

    def mean(self, y_pred: Tensor) -> Tensor:
        log_mean = self._log_mean(self._split(y_pred)[0], self.typical_library_size)
        return ops.exp(ops.clip(log_mean, *LOG_MEAN))

    def rescaled(self, mean: Tensor, x: Tensor) -> Tensor:
        if self.library_size is None:
            return mean
        return mean * (ops.sum(as_float32(x), axis=-1, keepdims=True) / self.typical_library_size)

    def sample(self, y_pred: Tensor, seed: int | Tensor) -> Tensor:
        parts, seed = self._split(as_float32(y_pred)), stateless_seed(seed)
        log_mean = ops.clip(self._log_mean(parts[0], self.typical_library_size), *LOG_MEAN)
        log_r = ops.clip(as_float32(self._log_inverse_dispersion(parts)), *_LOG_INVERSE_DISPERSION)
        of_rate, of_count = (tf.random.experimental.stateless_fold_in(seed, i) for i in range(2))
        r = tf.broadcast_to(ops.exp(log_r), tf.shape(log_mean))
        rate = tf.random.stateless_gamma(tf.shape(log_mean), of_rate, alpha=r) * ops.exp(log_mean - log_r)
        return tf.random.stateless_poisson(tf.shape(log_mean), of_count, rate, "float32")

    def initialize_from(self, x: Tensor) -> None:
        """Set the typical library size, and learned inverse dispersions to the estimate from mean and variance."""
        x = np.asarray(x, "float64")
        if self._typical is not None:
            totals = x.sum(axis=-1, keepdims=True)
            typical = float(np.median(totals[totals > 0])) if np.any(totals > 0) else 1.0
            if float(self._typical.numpy()) == 1:
                self._typical.assign(typical)
            x = x * typical / np.maximum(totals, 1.0)
        if self._log_r is not None and not np.any(self._log_r.numpy()):
            self._log_r.assign(log_inverse_dispersion_of(x, shared=self.inverse_dispersion is None))

    def encoder_layer(self) -> keras.layers.Layer | None:
        return Log1p() if self.log_input else None

    def get_config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("inverse_dispersion", "library_size", "log_input")}


@keras.saving.register_keras_serializable("aezoo")
class ZeroInflatedNegativeBinomial(NegativeBinomial):
    """Zero-inflated negative binomial distribution of counts: 0 with probability π, else negative binomial.

    Use it if a feature has more zeros than its other values explain, such as genes that a measurement misses. The
    decoder also computes the logit of π for each feature of each sample, as the last part of its last axis. The mean of
    x is (1 - π) μ.

    Args:
        inverse_dispersion: As in `NegativeBinomial`.
        library_size: As in `NegativeBinomial`.
        log_input: As in `NegativeBinomial`.

    Raises:
        ValueError: As `NegativeBinomial`.

    Example:
        >>> likelihood = ZeroInflatedNegativeBinomial(inverse_dispersion=1.0)
        >>> y_pred = ops.array([[0.0, 0.0]])  # μ = r = 1 and π = ½: p(0) = ½ + ½ · ½
        >>> round(float(likelihood.negative_log_likelihood([[0.0]], y_pred)[0, 0]), 4)  # log 4/3
        0.2877

    Reference:
        Lopez et al., "Deep generative modeling for single-cell transcriptomics", Nature Methods 15 (2018).
    """

    _extra_parameters = 1

    def negative_log_likelihood(self, y: Tensor, y_pred: Tensor) -> Tensor:
        y, logits = as_float32(y), self._split(as_float32(y_pred))[-1]
        counted = super().negative_log_likelihood(y, y_pred)
        return tf.math.softplus(logits) + ops.where(y <= 0.0, -ops.logaddexp(logits, -counted), counted)

    def mean(self, y_pred: Tensor) -> Tensor:
        return super().mean(y_pred) * ops.sigmoid(-self._split(y_pred)[-1])

    def sample(self, y_pred: Tensor, seed: int | Tensor) -> Tensor:
        counts, p = super().sample(y_pred, seed), ops.sigmoid(self._split(as_float32(y_pred))[-1])
        of_zeros = tf.random.experimental.stateless_fold_in(stateless_seed(seed), 2)
        return tf.where(tf.random.stateless_uniform(tf.shape(p), of_zeros, alg="philox") < p, 0.0, counts)


NAMED.update(negative_binomial=NegativeBinomial, zero_inflated_negative_binomial=ZeroInflatedNegativeBinomial)
