"""A layer that subtracts the mean of the training data."""

from __future__ import annotations

import math
from typing import Any

import keras

from aezoo._typing import Shape, Tensor
from aezoo.layers.code_layer import CodeLayer


@keras.saving.register_keras_serializable("aezoo")
class Centering(CodeLayer):
    """Layer that subtracts a mean, which is saved with the model but not trained. It is 0 until you assign it.

    It takes the arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Example:
        >>> layer = Centering()
        >>> layer.build((None, 2))
        >>> _ = layer.mean.assign([10.0, 20.0])
        >>> layer(keras.ops.array([[11.0, 19.0]])).numpy()
        array([[ 1., -1.]], dtype=float32)
    """

    bounds = (-math.inf, math.inf)  # the mean is unknown

    def build(self, input_shape: Shape) -> None:
        """Create the mean of the features, as a vector so that exports do not mistake it for a kernel."""
        self._shape = tuple(input_shape[1:])
        self.mean = self.add_weight(
            shape=(math.prod(self._shape),),
            initializer="zeros",
            trainable=False,
            name="mean",
            aggregation="only_first_replica",
        )

    def call(self, x: Tensor) -> Tensor:
        return x - keras.ops.reshape(self.mean, self._shape)

    def get_config(self) -> dict[str, Any]:
        return super().get_config()  # without this method, Keras does not save a layer's dtype policy
