"""The base class of likelihoods, and their loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from aezoo import losses
from aezoo._typing import Shape, Tensor

TINY = 1e-30  # its logarithm is finite in single precision
# Bounds of log σ² of data: float32 does not resolve smaller errors, and squares of larger ones soon overflow.
LOG_VARIANCE = -30.0, 30.0


class Likelihood:
    """Base class of distributions of each feature of x, given the output of a decoder.

    A subclass must implement `negative_log_likelihood` and, if the decoder's output is not the mean, `mean`. Register
    it with `keras.saving.register_keras_serializable`, so that it is saved with a model.

    Example:
        >>> import math, aezoo
        >>> from keras import ops
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
    """True if only the likelihood's own loss trains the model: it learns parameters besides the mean, or the decoder
    does not return the mean."""

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
        """Return the mean of x, (batch, *x_shape), given the decoder's output; by default, return the output.

        Use `keras.ops`, since models also call it on symbolic tensors.
        """
        return y_pred

    def rescaled(self, mean: Tensor, x: Tensor) -> Tensor:
        """Return the mean for a sample of the size of x; by default, return it unchanged.

        Args:
            mean: A result of `mean`, (batch, *x_shape).
            x: Samples without missing values, (batch, *x_shape).
        """
        return mean

    def encoder_layer(self) -> keras.layers.Layer | None:
        """Return the first layer of the encoder that a model builds, which transforms x; None, the default, for none.

        An encoder of the user's own does not get this layer.
        """
        return None

    def check_data(self, x: np.ndarray) -> None:
        """Raise `ValueError` for data that are not in the domain of the likelihood; `bounds` are checked elsewhere.

        Args:
            x: Training samples, (n, *x_shape), with NaN for missing values.
        """

    def standardized(self, x: np.ndarray) -> np.ndarray:
        """Return the features of x that should have mean 0 and variance 1 unless `bounds` are given, by default all."""
        return x

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
        >>> from aezoo.likelihoods import Poisson
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


#: Likelihoods that have a name; the modules that define them add them.
NAMED: dict[Any, type[Likelihood]] = {}


def get(likelihood: str | Likelihood | dict[str, Any]) -> Likelihood:
    """Return a new likelihood that belongs to no model yet.

    Args:
        likelihood: "bernoulli", "gaussian", "poisson", "negative_binomial" or "zero_inflated_negative_binomial"; a
            `Likelihood`, which is copied; or its configuration as serialized by Keras.

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
    if likelihood not in NAMED:
        raise ValueError(
            f"likelihood={likelihood!r} is unknown: choose one of {', '.join(map(repr, NAMED))}, or give an "
            "aezoo.likelihoods.Likelihood."
        )
    return NAMED[likelihood]()


def stateless_seed(seed: int | Tensor) -> Tensor:
    """Convert a seed to the form of TensorFlow's stateless functions, (2,) int64."""
    seed = tf.cast(seed, "int64")
    return seed if len(seed.shape) else tf.stack([seed, tf.zeros_like(seed)])
