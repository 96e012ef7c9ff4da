"""Numbers of at least single precision."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def as_float32(x: Any) -> Any:
    """Return `x` as a tensor of at least single precision: half-precision sums and logarithms lose too much.

    Args:
        x: A tensor, or what becomes one, of any shape and dtype.

    Returns:
        Float32, or float64 where x is; with the shape of x.

    Example:
        >>> as_float32(ops.ones(2, "float16")).dtype
        tf.float32
    """
    x = ops.convert_to_tensor(x)
    return x if keras.backend.standardize_dtype(x.dtype) == "float64" else ops.cast(x, "float32")
