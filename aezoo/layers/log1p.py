"""A layer that takes the logarithm of counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from aezoo._typing import Shape, Tensor


@keras.saving.register_keras_serializable("aezoo")
class Log1p(keras.layers.Layer):
    """Layer that returns log(1 + x), so that an encoder sees counts on one scale. Negative values become 0.

    It computes in float32 under every dtype policy, since half precision cannot hold counts above 65,504.

    Args:
        columns: Indices of the features along the last axis to transform; None transforms all. Others are unchanged.
        **kwargs: `name` of `keras.layers.Layer`.

    Example:
        >>> Log1p(columns=[1])(np.array([[-2.0, 0.0], [3.0, 1.0]], "float32")).numpy().round(4)
        array([[-2.    ,  0.    ],
               [ 3.    ,  0.6931]], dtype=float32)
    """

    def __init__(self, columns: Sequence[int] | None = None, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.columns = None if columns is None else [int(column) for column in columns]

    def call(self, x: Tensor) -> Tensor:
        logarithm = ops.log1p(ops.maximum(x, 0.0))
        if self.columns is None:
            return logarithm
        return ops.where(np.isin(np.arange(x.shape[-1]), self.columns), logarithm, x)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "columns": self.columns}
