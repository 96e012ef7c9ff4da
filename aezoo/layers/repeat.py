"""A layer that repeats the entries of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from aezoo._typing import Shape, Tensor


@keras.saving.register_keras_serializable("aezoo")
class Repeat(keras.layers.Layer):
    """Layer that repeats every entry of an image, a series or a volume: nearest-neighbor upsampling.

    It computes as `keras.layers.UpSampling2D`, for 1 to 3 spatial axes, but the size of its output stays known, which
    LiteRT needs for a convolution that follows.

    The input has shape (batch, ..., channels) with one axis per entry of `size`, which multiplies its length.

    Args:
        size: Number of repetitions along each spatial axis, such as (2, 2).
        **kwargs: `name` and `dtype` of `keras.layers.Layer`.

    Example:
        >>> Repeat((1, 2))(ops.reshape([1, 2, 3, 4], (1, 2, 2, 1)))[0, ..., 0].numpy()
        array([[1, 1, 2, 2],
               [3, 3, 4, 4]], dtype=int32)
    """

    def __init__(self, size: Sequence[int], **kwargs: Any):
        super().__init__(**kwargs)
        self.size = tuple(size)

    def call(self, x: Tensor) -> Tensor:
        shape = self.compute_output_shape(x.shape)[1:]
        for axis, n in enumerate(self.size, 1):
            x = ops.repeat(x, n, axis=axis)
        return x if None in shape else ops.reshape(x, (-1, *shape))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        sizes = [n and n * times for n, times in zip(input_shape[1:-1], self.size, strict=True)]
        return (input_shape[0], *sizes, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}
