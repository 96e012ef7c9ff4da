"""Numbers of at least single precision."""

from __future__ import annotations

import keras
from keras import ops

from aezoo._typing import ArrayLike, Tensor


def as_float32(x: ArrayLike) -> Tensor:
    """Return `x` as a tensor of at least single precision: half-precision sums and logarithms lose too much.

    Args:
        x: A tensor, or what becomes one, of any shape and dtype.

    Returns:
        Float32, or float64 where x is; with the shape of x.

    Example:
        >>> as_float32(ops.ones(2, "float16")).dtype
        tf.float32
    """
    tensor = ops.convert_to_tensor(x)
    return tensor if keras.backend.standardize_dtype(tensor.dtype) == "float64" else ops.cast(tensor, "float32")
