"""Clipping with gradients that let values return from outside the bounds."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from aezoo._typing import Tensor

#: Bounds of log σ² of a code. Beyond them, its exponential overflows for unscaled data, and σε overflows in float16.
LOG_VARIANCE = -30.0, 15.0


def bounded(x: Tensor, low: float, high: float) -> Tensor:
    """Clip x to [low, high] with the gradient of the identity, so that values outside can return.

    Args:
        x: A float tensor of any shape, such as the logarithm of a variance whose exponential must stay finite.
        low: Smallest value.
        high: Largest value.

    Example:
        >>> bounded([-50.0, 0.3, 20.0], -30.0, 15.0).numpy()
        array([-30. ,   0.3,  15. ], dtype=float32)
    """

    @tf.custom_gradient
    def clipped(x: Tensor) -> tuple[Any, Any]:
        return tf.clip_by_value(x, low, high), lambda gradient: gradient

    return clipped(tf.convert_to_tensor(x))


def lower_bounded(x: Tensor, low: float) -> Tensor:
    """Return max(x, low) with a gradient below the bound, too, where descending it raises x.

    The gradient of a maximum is 0 below the bound, so that values there would stay; the gradient of `bounded` lets them
    drift away from it.

    Args:
        x: A float tensor of any shape.
        low: Smallest value.

    Example:
        >>> lower_bounded([0.05, 0.3], 0.11).numpy()
        array([0.11, 0.3 ], dtype=float32)
    """

    @tf.custom_gradient
    def clipped(x: Tensor) -> tuple[Any, Any]:
        return tf.maximum(x, low), lambda gradient: tf.where((x >= low) | (gradient < 0), gradient, 0.0)

    return clipped(tf.convert_to_tensor(x))
