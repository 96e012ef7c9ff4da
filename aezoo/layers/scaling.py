"""A layer that multiplies by a factor that depends on the training data."""

from __future__ import annotations

import math
from typing import Any

import keras

from aezoo._typing import Shape, Tensor
from aezoo.layers.code_layer import CodeLayer


@keras.saving.register_keras_serializable("aezoo")
class Scaling(CodeLayer):
    """Layer that multiplies by a factor, which is saved with the model but not trained. It is 1 until you assign it.

    It takes the arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Example:
        >>> layer = Scaling()
        >>> layer.build((None, 2))
        >>> _ = layer.scale.assign(10.0)
        >>> layer(keras.ops.array([[1.0, 2.0]])).numpy()
        array([[10., 20.]], dtype=float32)
    """

    bounds = (-math.inf, math.inf)  # the factor is unknown

    def build(self, input_shape: Shape) -> None:
        """Create the factor."""
        self.scale = self.add_weight(
            shape=(), initializer="ones", trainable=False, name="scale", aggregation="only_first_replica"
        )

    def call(self, x: Tensor) -> Tensor:
        return x * self.scale

    def get_config(self) -> dict[str, Any]:
        return super().get_config()  # without this method, Keras does not save a layer's dtype policy
