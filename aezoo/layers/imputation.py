"""A layer that fills in missing values."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from aezoo._typing import Shape, Tensor


@keras.saving.register_keras_serializable("aezoo")
class Imputation(keras.layers.Layer):
    """Layer that replaces each NaN with a value per feature and leaves everything else unchanged.

    Each entry of a sample is a feature. If an axis of samples has no fixed size, the features are the last axis only.

    Args:
        trainable: Whether to train the values.
        **kwargs: `name` and `dtype` of `keras.layers.Layer`.

    Example:
        >>> layer = Imputation()
        >>> x = np.array([[1.0, np.nan], [3.0, 4.0]], "float32")
        >>> layer.build(x.shape)
        >>> layer.start_at(x)
        >>> layer(x).numpy()
        array([[1., 4.],
               [3., 4.]], dtype=float32)
    """

    def __init__(self, trainable: bool = False, **kwargs: Any):
        super().__init__(trainable=trainable, **kwargs)

    def build(self, input_shape: Shape) -> None:
        shape = tuple(input_shape[1:])
        self.values = self.add_weight(
            shape=shape[-1:] if None in shape else shape, initializer="zeros", trainable=self.trainable, name="values"
        )

    def start_at(self, x: Tensor) -> None:
        """Set the values to the means of the observed entries, or to 0 for features that are never observed.

        Args:
            x: Samples, (n, ...), with NaN for missing values.
        """
        x = np.asarray(x, "float64")
        axes = tuple(range(x.ndim - len(self.values.shape)))
        observed = ~np.isnan(x)
        self.values.assign(np.where(observed, x, 0).sum(axis=axes) / np.maximum(observed.sum(axis=axes), 1))

    def call(self, x: Tensor) -> Tensor:
        return ops.where(ops.isnan(x), ops.cast(self.values, x.dtype), x)
