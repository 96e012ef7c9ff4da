"""A layer that puts a value in the place of each that is missing."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from aezoo._typing import Shape, Tensor


@keras.saving.register_keras_serializable("aezoo")
class Imputation(keras.layers.Layer):
    """Put the value of its feature in the place of NaN; leave all else as it is.

    Features are all entries of a sample. Where a sample has axes of any size, they are its last axis.

    Args:
        trainable: Whether the values are trained.
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
        """Set the values to the means of what is not missing, 0 where all is.

        Args:
            x: (n, ...) with NaN where a value is missing.
        """
        x = np.asarray(x, "float64")
        axes = tuple(range(x.ndim - len(self.values.shape)))
        observed = ~np.isnan(x)
        self.values.assign(np.where(observed, x, 0).sum(axis=axes) / np.maximum(observed.sum(axis=axes), 1))

    def call(self, x: Tensor) -> Tensor:
        return ops.where(ops.isnan(x), ops.cast(self.values, x.dtype), x)
