"""Finite scalar quantization: rounds each unit of a code to one of a few levels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from aezoo._typing import Tensor
from aezoo.layers.discrete_code import DiscreteCode

# How far bounded values stay inside the outermost levels, relative to their distance.
_EPSILON = 1e-3


@keras.saving.register_keras_serializable("aezoo")
class FiniteScalarQuantizer(DiscreteCode):
    """Layer that bounds each unit of a code and rounds it to one of L levels; every combination is a codebook entry.

    A vector has one unit per entry of `levels`. Each unit is bounded and rounded: q = round(f(z)) / ⌊L/2⌋ in [-1, 1],
    f(z) = h tanh(z + tan(o/h)) - o, h = (L - 1)(1 - ε)/2. The offset o is 0 for odd L, and ½ for even L, so that the
    range of f has L whole numbers; tan(o/h) makes f(0) about 0. The gradient of the rounding is 1.

    The index of a vector of whole numbers dᵢ in 0, ..., Lᵢ - 1 is d₁ + L₁(d₂ + L₂(d₃ + ...)).

    Args:
        levels: L of each unit of a vector, at least 2.
        **kwargs: `name` of `keras.layers.Layer`.

    Raises:
        ValueError: On build, if the last axis of a code is no multiple of the number of levels.

    Example:
        >>> layer = FiniteScalarQuantizer((3, 2))
        >>> z = keras.ops.array([[9.0, -9.0], [0.1, 9.0]])
        >>> layer(z).numpy()
        array([[ 1., -1.],
               [ 0.,  0.]], dtype=float32)
        >>> layer.indices(z).numpy()  # of 6 entries
        array([[2],
               [4]], dtype=int32)

    Reference:
        Mentzer et al., "Finite scalar quantization: VQ-VAE made simple", ICLR 2024, arXiv:2309.15505, appendix A.1.
    """

    bounds = (-1.0, 1.0)

    def __init__(self, levels: Sequence[int] = (8, 5, 5, 5), **kwargs: Any):
        super().__init__(vector_dim=len(levels), **kwargs)
        self.levels = tuple(levels)
        self.codebook_size = math.prod(self.levels)
        self._width = np.array(self.levels)
        self._basis = np.concatenate([[1], np.cumprod(self._width[:-1])])

    def bounded(self, vectors: Tensor) -> Tensor:
        """Return f(z) of vectors, (n, dim) float32; rounding gives L whole numbers from -⌊L/2⌋."""
        half = (self._width - 1) * (1 - _EPSILON) / 2
        offset = np.where(self._width % 2 == 0, 0.5, 0.0)
        return tf.tanh(vectors + _float(np.tan(offset / half))) * _float(half) - _float(offset)

    def assign(self, vectors: Tensor) -> Tensor:
        digits = tf.cast(tf.round(self.bounded(vectors)), "int32") + (self._width // 2).astype("int32")
        return tf.reduce_sum(digits * self._basis.astype("int32"), axis=1, keepdims=True)

    def entries(self, indices: Tensor) -> Tensor:
        digits = tf.cast(indices, "int32") // self._basis.astype("int32") % self._width.astype("int32")
        return tf.cast(digits, "float32") / _float(self._width // 2) - 1.0

    def pass_gradient(self, vectors: Tensor) -> Tensor:
        return self.bounded(vectors) / _float(self._width // 2)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "levels": self.levels}


def _float(values: np.ndarray) -> np.ndarray:
    return values.astype("float32")
