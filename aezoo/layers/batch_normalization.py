"""Batch normalization over the global batch, with sample weights."""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from aezoo._numerics import as_float32, sum_over_replicas
from aezoo._typing import Tensor

_weight: contextvars.ContextVar[Any] = contextvars.ContextVar("sample weights of the current batch", default=None)


@contextmanager
def weighted(weight: Tensor) -> Iterator[None]:
    """Weight samples in every `BatchNormalization` that is called inside this context.

    Args:
        weight: Weights of this replica's samples, (batch,), or None.

    Example:
        >>> layer = BatchNormalization(center=False, scale=False, epsilon=0.0)
        >>> with weighted([1.0, 1.0, 0.0]):
        ...     y = layer(ops.array([[1.0], [3.0], [100.0]]), training=True)
        >>> [float(value) for value in y[:2, 0]]
        [-1.0, 1.0]
    """
    token = _weight.set(weight)
    try:
        yield
    finally:
        _weight.reset(token)


@keras.saving.register_keras_serializable("aezoo")
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization by weighted mean and variance over the global batch, that is, over all replicas.

    `keras.layers.BatchNormalization` uses the statistics of each replica and includes samples of weight zero. With this
    layer, models train to the same weights on one replica as on several, and samples of weight zero have no effect.
    Arguments, weights and the behavior at inference are the same as in Keras' layer.

    Args:
        **kwargs: Arguments of `keras.layers.BatchNormalization`; the axis of the features must be the last.

    Raises:
        ValueError: If the axis is not the last, or renorm=True.

    Example:
        >>> y = BatchNormalization(epsilon=0.0)(ops.array([[1.0], [3.0]]), training=True)
        >>> [float(value) for value in y[:, 0]]
        [-1.0, 1.0]

    Reference:
        Ioffe & Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate
        shift", ICML 2015.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        if self.axis != -1 or getattr(self, "renorm", False):
            raise ValueError("The axis of the features must be the last, axis=-1, and renorm must be left out.")

    def call(self, x: Tensor, training: bool = False) -> Tensor:  # type: ignore[override]  # no mask
        if not (training and self.trainable):
            return super().call(x, training=False)
        x = as_float32(x)
        mean, variance = self._statistics(x)
        moving: Any
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + value * (1.0 - self.momentum))
        y = ops.batch_normalization(x, mean, variance, -1, self.beta, self.gamma, self.epsilon)
        return ops.cast(y, self.compute_dtype)

    def _statistics(self, x: Tensor) -> tuple[Any, Any]:
        """Return the mean and variance of each feature over the samples of all replicas."""
        axes = list(range(len(x.shape) - 1))
        weight, rows = _weight.get(), tf.shape(x)[:1]
        if weight is None:
            weight = tf.ones(rows)
        else:  # with several draws per sample, each draw is a row
            weight = as_float32(weight)
            weight = tf.tile(weight, rows // tf.maximum(tf.shape(weight), 1))
        weight = tf.reshape(weight, (-1, *[1] * len(axes)))
        total = sum_over_replicas(tf.reduce_sum(weight * tf.ones_like(x[..., :1])))
        mean = tf.math.divide_no_nan(sum_over_replicas(tf.reduce_sum(weight * x, axes)), total)
        squares = tf.reduce_sum(weight * tf.square(x - mean), axes)
        return mean, tf.math.divide_no_nan(sum_over_replicas(squares), total)
