"""A bound that a gradient passes."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from aezoo._typing import Tensor

#: Of log σ² of a code: beyond it the exponential of what unscaled data give overflows, and σε in float16 too.
LOG_VARIANCE = -30.0, 15.0


def bounded(x: Tensor, low: float, high: float) -> Tensor:
    """Return x kept inside [low, high]; its gradient is that of x itself, so that what is outside finds its way back.

    Args:
        x: A float tensor of any shape: the logarithm of a variance, of which the exponential is to stay finite.
        low: The smallest value.
        high: The largest value.

    Example:
        >>> bounded([-50.0, 0.3, 20.0], -30.0, 15.0).numpy()
        array([-30. ,   0.3,  15. ], dtype=float32)
    """

    @tf.custom_gradient
    def clipped(x: Tensor) -> tuple[Any, Any]:
        return tf.clip_by_value(x, low, high), lambda gradient: gradient

    return clipped(tf.convert_to_tensor(x))
