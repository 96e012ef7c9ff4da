"""Likelihoods p(x given z): distributions of the data given the output of a decoder.

Pass one to `aezoo.VAE(likelihood=...)`. To define your own, subclass `Likelihood`.
"""

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

__all__ = ["Bernoulli", "Categorical", "Gaussian", "Likelihood", "NegativeLogLikelihood", "Poisson", "get"]


# Bounds of log σ² of data: float32 does not resolve smaller errors, and squares of larger ones soon overflow.
_LOG_VARIANCE = -30.0, 30.0
# Bounds of a predicted log σ², σ >= e^-6 as in Rybkin et al., so that one outlying code cannot outweigh all others.
_PREDICTED = -12.0, 30.0
_TINY = 1e-30  # its logarithm is finite in single precision
# Minimum initial variance of a feature, relative to the mean variance, so that constant features do not dominate.
_LEAST_SHARE = 1e-2


class Likelihood:
    """Base class of distributions of each feature of x, given the output of a decoder.

    A subclass must implement `negative_log_likelihood` and, if the decoder's output is not the mean, `mean`. Register
    it with `keras.saving.register_keras_serializable`, so that it is saved with a model.

    Example:
        >>> import aezoo
        >>> @keras.saving.register_keras_serializable("mine")
        ... class Laplace(Likelihood):
        ...     def negative_log_likelihood(self, y, y_pred):
        ...         return ops.abs(y - y_pred) + math.log(2.0)
        >>> model = aezoo.VAE(latent_dim=2, likelihood=Laplace())
        >>> model.default_loss.name
        'laplace_negative_log_likelihood'
    """

    output_activation: str = "linear"
    """The activation of the decoder's output."""
    bounds: tuple[float, float] | None = None
    """The smallest and largest value of data, or None if they are unbounded."""
    learns: bool = False
    """True if parameters besides the mean are learned, which another loss in `compile` would not train."""

    def build(self, add_weight: Callable[..., Any], x_shape: Shape) -> None:
        """Create the weights of the likelihood; by default there are none.

        Args:
            add_weight: The method `add_weight` of the model, which owns and saves the weights.
            x_shape: Shape of a sample.

        Raises:
            ValueError: If the likelihood does not support samples of this shape.
        """

    def decoder_shape(self, x_shape: Shape) -> Shape:
        """Return the shape of the decoder's output for samples of shape `x_shape`, by default the same shape."""
        return x_shape

    def negative_log_likelihood(self, y: Tensor, y_pred: Tensor) -> Tensor:
        """Return -log p of each feature, in nats, with the shape of y.

        Args:
            y: Data, (batch, *x_shape).
            y_pred: The decoder's output, (batch, *decoder_shape(x_shape)).

        Returns:
            A float32 tensor; its sum over the features is -log p of a sample.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement negative_log_likelihood(y, y_pred).")

    def mean(self, y_pred: Tensor) -> Tensor:
        """Return the mean of x, (batch, *x_shape), given the decoder's output; by default, return the output."""
        return y_pred

    def sample(self, y_pred: Tensor, seed: int | Tensor) -> Tensor:
        """Draw x, (batch, *x_shape) float32.

        Args:
            y_pred: The decoder's output.
            seed: An integer, or a seed of shape (2,) from `RandomState.draw_seed`; equal seeds draw equal samples.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement sample(y_pred, seed).")

    def initialize_from(self, x: Tensor) -> None:
        """Initialize the weights from training samples, (n, *x_shape); by default do nothing."""

    @property
    def loss(self) -> keras.losses.Loss:
        """-log p as a Keras loss, summed over features and averaged over the batch."""
        return NegativeLogLikelihood(self)

    def get_config(self) -> dict[str, Any]:
        """Return every constructor argument."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Likelihood:
        """Create a likelihood from the result of `get_config`."""
        return cls(**config)


@keras.saving.register_keras_serializable("aezoo")
class NegativeLogLikelihood(losses.SummedLoss):
    """Loss -log p(x given z) of each sample, in nats, averaged over the batch.

    Args:
        likelihood: A `Likelihood`.
        name: Name of the loss; None derives it from the likelihood's class.
        **kwargs: `reduction` and `dtype` of `keras.losses.Loss`.

    Example:
        >>> round(float(NegativeLogLikelihood(Poisson())([[0.0, 1.0]], [[2.0, 1.0]])), 4)  # 2 + 1
        3.0
    """

    def __init__(self, likelihood: Likelihood, name: str | None = None, **kwargs: Any):
        super().__init__(name=name or f"{type(likelihood).__name__.lower()}_negative_log_likelihood", **kwargs)
        self.likelihood = likelihood

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The smallest and largest value of data, or None if they are unbounded."""
        return self.likelihood.bounds

    def elementwise(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return self.likelihood.negative_log_likelihood(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "likelihood": keras.saving.serialize_keras_object(self.likelihood)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> NegativeLogLikelihood:
        """Create a loss from the result of `get_config`."""
        return cls(**{**config, "likelihood": get(config["likelihood"])})


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
        return ops.cast(tf.random.stateless_uniform(tf.shape(y_pred), _seed(seed), alg="philox") < y_pred, "float32")

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
        return 0.0 if self.variable is None else bounded(self.variable, *_LOG_VARIANCE)

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
        noise = tf.random.stateless_normal(tf.shape(mean), _seed(seed), alg="philox")
        return mean + ops.exp(0.5 * as_float32(log_variance)) * noise

    def initialize_from(self, x: Tensor) -> None:
        """Set a learned variance to the variance of the data around their mean, the optimum without a code.

        Adam, which changes log σ² by about 0.001 per step, would need thousands of steps to reach it.
        """
        if self.variable is None or np.any(self.variable.numpy()):
            return
        variances = np.var(x, axis=0, dtype="float64")
        mean = np.mean(variances)
        if mean > 0:
            variance = mean if self.variance is None else np.maximum(variances, _LEAST_SHARE * mean)
            self.variable.assign(np.clip(np.log(variance), *_LOG_VARIANCE))

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
        return rate - y * ops.log(ops.maximum(rate, _TINY)) + tf.math.lgamma(y + 1.0)

    def sample(self, y_pred: Tensor, seed: int | Tensor) -> Tensor:
        return tf.random.stateless_poisson(tf.shape(y_pred), _seed(seed), as_float32(y_pred), "float32")


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
        log_p = ops.log(ops.maximum(as_float32(y_pred), _TINY))
        rows = tf.reshape(log_p, (-1, self.num_classes))
        classes = tf.random.stateless_categorical(rows, 1, _seed(seed))
        return tf.reshape(tf.one_hot(classes[:, 0], self.num_classes), tf.shape(y_pred))

    def get_config(self) -> dict[str, Any]:
        return {"num_classes": self.num_classes}


Name = Literal["bernoulli", "gaussian", "poisson"]
_NAMED: dict[Any, type[Likelihood]] = {"bernoulli": Bernoulli, "gaussian": Gaussian, "poisson": Poisson}


def get(likelihood: str | Likelihood | dict[str, Any]) -> Likelihood:
    """Return a new likelihood that belongs to no model yet.

    Args:
        likelihood: "bernoulli", "gaussian" or "poisson"; a `Likelihood`, which is copied; or its configuration as
            serialized by Keras.

    Raises:
        ValueError: If the likelihood is unknown.

    Example:
        >>> type(get("poisson")).__name__
        'Poisson'
    """
    if isinstance(likelihood, dict):
        likelihood = keras.saving.deserialize_keras_object(likelihood)
    if isinstance(likelihood, Likelihood):
        return type(likelihood).from_config(likelihood.get_config())
    if likelihood not in _NAMED:
        raise ValueError(
            f"likelihood={likelihood!r} is unknown: choose one of {', '.join(map(repr, _NAMED))}, or give an "
            "aezoo.likelihoods.Likelihood."
        )
    return _NAMED[likelihood]()


def _seed(seed: int | Tensor) -> Tensor:
    """Convert a seed to the form of TensorFlow's stateless functions, (2,) int64."""
    seed = tf.cast(seed, "int64")
    return seed if len(seed.shape) else tf.stack([seed, tf.zeros_like(seed)])
