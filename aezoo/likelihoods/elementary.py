"""Distributions of one parameter or two: Bernoulli, Gaussian, Poisson, categorical."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from aezoo import losses
from aezoo._numerics import as_float32
from aezoo._typing import Shape, Tensor
from aezoo.layers.bounded import bounded
from aezoo.likelihoods.base import LOG_VARIANCE, NAMED, TINY, Likelihood, stateless_seed

# Bounds of a predicted log σ², σ >= e^-6 as in Rybkin et al., so that one outlying code cannot outweigh all others.
_PREDICTED = -12.0, 30.0
# Minimum initial variance of a feature, relative to the mean variance, so that constant features do not dominate.
_LEAST_SHARE = 1e-2


def log_variance_of(x: np.ndarray, shared: bool = False) -> np.ndarray:
    """Estimate log σ² of features from their variance around the mean; 0 if all features are constant.

    Args:
        x: Samples, (n, ...).
        shared: Whether all features share one σ².

    Returns:
        log σ², (...), or a scalar if it is shared.

    Example:
        >>> log_variance_of(np.array([[0.0, 0.0], [4.0, 2.0]])).round(4)  # variances 4 and 1
        array([1.3863, 0.    ])
    """
    variances = np.var(x, axis=0, dtype="float64")
    mean = np.mean(variances)
    variances = np.asarray(mean) if shared else np.maximum(variances, _LEAST_SHARE * mean)
    return np.clip(np.log(variances), *LOG_VARIANCE) if mean > 0 else np.zeros_like(variances)


@keras.saving.register_keras_serializable("aezoo")
class Bernoulli(Likelihood):
    """Bernoulli distribution: x is 1 with probability p, else 0; -log p is the cross-entropy, also for x in (0, 1).

    Example:
        >>> Bernoulli().negative_log_likelihood([[1.0, 0.0]], [[0.5, 0.5]]).numpy().round(4)  # log 2
        array([[0.6931, 0.6931]], dtype=float32)
    """

    output_activation = "sigmoid"
    bounds = (0.0, 1.0)

    def negative_log_likelihood(self, y: Tensor, y_pred: Tensor) -> Tensor:
        return losses.CrossEntropy().elementwise(as_float32(y), as_float32(y_pred))

    def sample(self, y_pred: Tensor, seed: int | Tensor) -> Tensor:
        return ops.cast(
            tf.random.stateless_uniform(tf.shape(y_pred), stateless_seed(seed), alg="philox") < y_pred, "float32"
        )

    @property
    def loss(self) -> keras.losses.Loss:
        return losses.CrossEntropy()


@keras.saving.register_keras_serializable("aezoo")
class Gaussian(Likelihood):
    """Gaussian distribution x ~ N(μ, σ²) with independent features.

    log σ² is clipped to [-30, 30], and to [-12, 30] if it is predicted. A learned variance starts at the variance of
    the data around their mean.

    Args:
        variance: σ² > 0; None learns one variance for all features, "per_feature" one per feature. With "predicted" the
            decoder computes log σ² for each feature of each sample: along its last axis, the means come first and as
            many values of log σ² follow.

    Raises:
        ValueError: If the variance is unknown or not positive; on build, if "per_feature" is used and samples have no
            fixed size.

    Example:
        >>> Gaussian(4.0).negative_log_likelihood([[0.0]], [[2.0]]).numpy().round(4)  # ½ (1 + log 8π)
        array([[2.1121]], dtype=float32)
        >>> Gaussian("predicted").mean(ops.array([[1.0, 2.0, 0.0, 0.0]])).numpy()
        array([[1., 2.]], dtype=float32)

    Reference:
        Rybkin, Daniilidis & Levine, "Simple and effective VAE training with calibrated decoders", ICML 2021,
        arXiv:2006.13202.
    """

    def __init__(self, variance: float | Literal["per_feature", "predicted"] | None = 1.0):
        value: Any = variance
        number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if not (0 < value < math.inf if number else value in (None, "per_feature", "predicted")):
            raise ValueError(
                f"variance must be inside (0, inf), None, 'per_feature' or 'predicted', but it is {variance!r}."
            )
        self.variance = variance
        self.learns = not number
        self.variable: Any = None

    @property
    def log_variance(self) -> Tensor:
        """The value of log σ², a scalar or one per feature; 0 before the weights are created."""
        if not self.learns:
            return math.log(self.variance)  # type: ignore[arg-type]  # it is a number
        return 0.0 if self.variable is None else bounded(self.variable, *LOG_VARIANCE)

    def build(self, add_weight: Callable[..., Any], x_shape: Shape) -> None:
        if self.variance not in (None, "per_feature"):
            return
        shape = x_shape if self.variance == "per_feature" else ()
        if None in shape:
            raise ValueError(f"A variance per feature needs samples of a fixed size, but they have shape {x_shape}.")
        self.variable = add_weight(shape=shape, initializer="zeros", dtype="float32", name="log_variance")

    def decoder_shape(self, x_shape: Shape) -> Shape:
        return (*x_shape[:-1], 2 * x_shape[-1]) if self.variance == "predicted" else x_shape

    def negative_log_likelihood(self, y: Tensor, y_pred: Tensor) -> Tensor:
        mean, log_variance = self._moments(as_float32(y_pred))
        return losses.GaussianNegativeLogLikelihood(log_variance).elementwise(as_float32(y), mean)

    def _moments(self, y_pred: Tensor) -> tuple[Any, Any]:
        if self.variance != "predicted":
            return y_pred, self.log_variance
        return self.mean(y_pred), bounded(y_pred[..., y_pred.shape[-1] // 2 :], *_PREDICTED)

    def mean(self, y_pred: Tensor) -> Tensor:
        return y_pred[..., : y_pred.shape[-1] // 2] if self.variance == "predicted" else y_pred

    def sample(self, y_pred: Tensor, seed: int | Tensor) -> Tensor:
        mean, log_variance = self._moments(as_float32(y_pred))
        noise = tf.random.stateless_normal(tf.shape(mean), stateless_seed(seed), alg="philox")
        return mean + ops.exp(0.5 * as_float32(log_variance)) * noise

    def initialize_from(self, x: Tensor) -> None:
        """Set a learned variance to the variance of the data around their mean, the optimum without a code.

        Adam, which changes log σ² by about 0.001 per step, would need thousands of steps to reach it.
        """
        if self.variable is not None and not np.any(self.variable.numpy()):
            self.variable.assign(log_variance_of(x, shared=self.variance is None))

    @property
    def loss(self) -> keras.losses.Loss:
        if self.variance in ("per_feature", "predicted"):
            return super().loss
        return losses.GaussianNegativeLogLikelihood(self.log_variance)

    def get_config(self) -> dict[str, Any]:
        return {"variance": self.variance}


@keras.saving.register_keras_serializable("aezoo")
class Poisson(Likelihood):
    """Poisson distribution of counts x with mean λ: p(x) = λˣ e^(-λ) / x!.

    Example:
        >>> Poisson().negative_log_likelihood([[3.0]], [[2.0]]).numpy().round(4)  # 2 - 3 log 2 + log 3!
        array([[1.7123]], dtype=float32)
    """

    output_activation = "softplus"
    bounds = (0.0, math.inf)

    def negative_log_likelihood(self, y: Tensor, y_pred: Tensor) -> Tensor:
        y, rate = as_float32(y), as_float32(y_pred)
        return rate - y * ops.log(ops.maximum(rate, TINY)) + tf.math.lgamma(y + 1.0)

    def sample(self, y_pred: Tensor, seed: int | Tensor) -> Tensor:
        return tf.random.stateless_poisson(tf.shape(y_pred), stateless_seed(seed), as_float32(y_pred), "float32")


@keras.saving.register_keras_serializable("aezoo")
class Categorical(Likelihood):
    """Categorical distribution: x is one-hot along its last axis, and the decoder's output is the probabilities.

    Args:
        num_classes: Number of classes, at least 2.

    Raises:
        ValueError: If `num_classes` is less than 2; on build, if the last axis of samples has another length.

    Example:
        >>> Categorical(2).negative_log_likelihood([[0.0, 1.0]], [[0.75, 0.25]]).numpy().round(4)  # log 4
        array([[0.    , 1.3863]], dtype=float32)
    """

    output_activation = "softmax"
    bounds = (0.0, 1.0)

    num_classes: int

    def __init__(self, num_classes: int):
        if isinstance(num_classes, bool) or not isinstance(num_classes, numbers.Integral) or num_classes < 2:
            raise ValueError(f"num_classes must be a whole number of at least 2, but it is {num_classes!r}.")
        self.num_classes = int(num_classes)

    def build(self, add_weight: Callable[..., Any], x_shape: Shape) -> None:
        if x_shape[-1] != self.num_classes:
            raise ValueError(
                f"Samples of {self.num_classes} classes are one-hot along their last axis, but they have shape "
                f"{x_shape}: encode them with keras.utils.to_categorical."
            )

    def negative_log_likelihood(self, y: Tensor, y_pred: Tensor) -> Tensor:
        logits = losses.class_logits_of(y_pred)
        if logits is None:
            log_p = ops.log(ops.maximum(as_float32(y_pred), keras.config.epsilon()))
        else:
            log_p = ops.log_softmax(as_float32(logits), axis=-1)
        return -as_float32(y) * log_p

    def sample(self, y_pred: Tensor, seed: int | Tensor) -> Tensor:
        log_p = ops.log(ops.maximum(as_float32(y_pred), TINY))
        rows = tf.reshape(log_p, (-1, self.num_classes))
        classes = tf.random.stateless_categorical(rows, 1, stateless_seed(seed))
        return tf.reshape(tf.one_hot(classes[:, 0], self.num_classes), tf.shape(y_pred))

    def get_config(self) -> dict[str, Any]:
        return {"num_classes": self.num_classes}


NAMED.update(bernoulli=Bernoulli, gaussian=Gaussian, poisson=Poisson)
