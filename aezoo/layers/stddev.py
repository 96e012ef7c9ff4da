"""A layer that divides or multiplies by trained standard deviations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from aezoo._typing import Shape, Tensor
from aezoo.layers.code_layer import CodeLayer


@keras.saving.register_keras_serializable("aezoo")
class Stddev(CodeLayer):
    """Layer that divides samples by a trained standard deviation per feature, or multiplies by it. It starts at 1.

    Samples (batch, *x_shape) keep their shape. The layer computes in float32 under every dtype policy.

    Args:
        inverse: Whether to multiply.
        tied_to: A built `Stddev` layer whose deviations are shared. The layer's configuration does not contain it.
        **kwargs: `name` of `keras.layers.Layer`.

    Example:
        >>> layer = Stddev()
        >>> layer.build((None, 2))
        >>> _ = layer.log_stddev.assign(ops.log([10.0, 2.0]))
        >>> layer(ops.array([[10.0, 20.0]])).numpy()
        array([[ 1., 10.]], dtype=float32)
        >>> Stddev(inverse=True, tied_to=layer)(ops.array([[1.0, 10.0]])).numpy()
        array([[10., 20.]], dtype=float32)
    """

    bounds = (-math.inf, math.inf)

    def __init__(self, inverse: bool = False, tied_to: Stddev | None = None, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.inverse = inverse
        # In a function, so that Keras does not track the other layer as a part of this one.
        self._source: Callable[[], Stddev] | None = None if tied_to is None else lambda: tied_to

    def build(self, input_shape: Shape) -> None:
        """Create or share the logs of the deviations, as a vector so that exports do not mistake it for a kernel."""
        self._shape = tuple(input_shape[1:])
        if self._source is None:
            self.log_stddev = self.add_weight(shape=(math.prod(self._shape),), initializer="zeros", name="log_stddev")
        else:
            self.log_stddev = self._source().log_stddev

    def call(self, x: Tensor) -> Tensor:
        stddev = ops.exp(ops.reshape(self.log_stddev, self._shape))
        return x * stddev if self.inverse else x / stddev

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "inverse": self.inverse}
