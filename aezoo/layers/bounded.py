"""Clipping with a straight-through gradient."""

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
