"""The base class of layers that replace the vectors of a code by entries of a codebook."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from aezoo._numerics import as_float32
from aezoo._typing import Shape, Tensor
from aezoo.layers.code_layer import CodeLayer


class DiscreteCode(CodeLayer):
    """Base class of layers that replace each vector of a code by an entry of a codebook, which an index names.

    The last axis of a code, (batch, *places, units), is cut into vectors; each has `depth` indices. Indices have shape
    (batch, *places, k) with k = units / vector_dim · depth. Layers compute in float32 under every dtype policy, so that
    equal codes have equal indices.

    A subclass has `codebook_size`, and defines `assign` and `entries` on vectors.

    Args:
        vector_dim: Size of the vectors; None takes the last axis of a code.
        depth: Number of indices per vector.
        **kwargs: `name` of `keras.layers.Layer`.

    Raises:
        ValueError: On build, if the vectors do not divide the last axis of the code.

    Example:
        One bit per unit, the sign:

        >>> class Signs(DiscreteCode):
        ...     codebook_size = 2
        ...
        ...     def __init__(self, **kwargs):
        ...         super().__init__(vector_dim=1, **kwargs)
        ...
        ...     def assign(self, vectors):
        ...         return tf.cast(vectors > 0, "int32")
        ...
        ...     def entries(self, indices):
        ...         return 2.0 * tf.cast(indices, "float32") - 1.0
        >>> layer = Signs()
        >>> z = tf.constant([[0.3, -0.2, 0.9]])
        >>> layer(z).numpy(), layer.indices(z).numpy()
        (array([[ 1., -1.,  1.]], dtype=float32), array([[1, 0, 1]], dtype=int32))
    """

    differentiable = False
    codebook_size: int
    """Number of entries of the codebook, and of the values that an index can have."""
    index_shape: Shape
    """Shape of the indices of a sample, (*places, k); available after the layer is built."""

    def __init__(self, vector_dim: int | None = None, depth: int = 1, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.vector_dim = vector_dim
        self.depth = depth

    def build(self, input_shape: Shape) -> None:
        """Check that the vectors divide the last axis of the code."""
        *places, units = input_shape[1:]
        dim = units if self.vector_dim is None else self.vector_dim
        if units is None or units % dim:
            raise ValueError(
                f"The last axis of a code of shape {tuple(input_shape[1:])} cannot be cut into vectors of {dim}: "
                "choose a number of code units, or of channels, that is a multiple."
            )
        self.dim, self.units = dim, units
        self.index_shape = (*places, units // dim * self.depth)

    # === On vectors ===

    def assign(self, vectors: Tensor) -> Tensor:
        """Return the indices of vectors, (n, dim) → (n, depth) int32."""
        raise NotImplementedError

    def entries(self, indices: Tensor) -> Tensor:
        """Return the vectors that indices stand for, (n, depth) → (n, dim)."""
        raise NotImplementedError

    def pass_gradient(self, vectors: Tensor) -> Tensor:
        """Return what receives the gradient of the entries, straight through the rounding, (n, dim)."""
        return vectors

    # === On codes ===

    def indices(self, z: Tensor) -> Tensor:
        """Return the indices of codes, (batch, *places, units) → (batch, *places, k) int32."""
        return self._in_places(self.assign(self.vectors_of(z)), z, self.index_shape[-1])

    def codes(self, indices: Tensor) -> Tensor:
        """Return the codes that indices stand for, (batch, *places, k) → (batch, *places, units) float32."""
        return self._in_places(self.entries(tf.reshape(indices, (-1, self.depth))), indices, self.units)

    def quantized(self, z: Tensor, indices: Tensor) -> Tensor:
        """Return the codes that indices stand for, whose gradient passes straight through to the codes z.

        Args:
            z: Codes before quantization, (batch, *places, units).
            indices: The indices of these codes, (batch, *places, k).

        Returns:
            (batch, *places, units) float32, exactly equal to `codes(indices)`.
        """
        passed = tf.reshape(self.pass_gradient(self.vectors_of(z)), tf.shape(z))
        return tf.stop_gradient(self.codes(indices)) + (passed - tf.stop_gradient(passed))

    def call(self, z: Tensor) -> Tensor:
        return self.quantized(z, self.indices(z))

    def vectors_of(self, z: Tensor) -> Tensor:
        """Return the vectors of codes, (batch, *places, units) → (n, dim) float32."""
        return tf.reshape(as_float32(z), (-1, self.dim))

    @staticmethod
    def _in_places(rows: Tensor, like: Tensor, units: int) -> Tensor:
        """Return rows in the batch and places of other codes, with this number of values per place."""
        shape = tf.concat([tf.shape(like)[:-1], [units]], axis=0)
        placed = tf.reshape(rows, shape)
        placed.set_shape((*like.shape[:-1], units))  # LiteRT has no operation for `tf.ensure_shape`
        return placed

    @property
    def bits(self) -> float:
        """Bits of the indices of a sample at equal length, k · log₂ codebook_size per place."""
        return math.prod(self.index_shape) * math.log2(self.codebook_size)
