"""Generalized divisive normalization."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from aezoo._typing import Shape, Tensor
from aezoo.layers.bounded import lower_bounded

_BETA_MIN = 1e-6
# The gradient of a root at 0 is infinite: roots of γ stay above 2⁻¹⁸, as in the authors' implementation.
_ROOT_MIN = 2.0**-18


@keras.saving.register_keras_serializable("aezoo")
class GDN(keras.layers.Layer):
    """Generalized divisive normalization over channels: y_i = x_i / √(β_i + Σ_j γ_ij x_j²).

    With `inverse=True`, y_i = x_i · √(β_i + Σ_j γ_ij x_j²): one step of the fixed-point iteration that inverts the
    normalization, as decoders use it. β >= 10⁻⁶ and γ >= 0 are trained as squares. The norm is computed in float32
    under every dtype policy. Input and output have the same shape, (batch, ..., channels).

    Args:
        inverse: Whether to multiply by the norm instead of dividing by it.
        **kwargs: `name` and `dtype` of `keras.layers.Layer`.

    Example:
        >>> GDN()(keras.ops.ones((5, 8, 8, 4))).shape
        TensorShape([5, 8, 8, 4])

    Reference:
        Ballé et al., "Density modeling of images using a generalized normalization transformation", ICLR 2016,
        arXiv:1511.06281; Ballé et al., "End-to-end optimized image compression", ICLR 2017, arXiv:1611.01704, for the
        approximate inverse.
    """

    part_name = "GDN"  # in `aezoo.plots.network`

    def __init__(self, inverse: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.inverse = inverse

    def build(self, input_shape: Shape) -> None:
        """Create β = 1 and γ = 0.1 · I; channels are the last axis."""
        channels = input_shape[-1]
        self.root_beta = self.add_weight(shape=(channels,), initializer="ones", name="root_beta")

        def start(shape: Shape, dtype: str | None = None) -> Tensor:
            return ops.sqrt(0.1 * ops.eye(channels, dtype=dtype) + _ROOT_MIN**2)

        self.root_gamma = self.add_weight(shape=(channels, channels), initializer=start, name="root_gamma")

    @property
    def beta(self) -> Tensor:
        """β, (channels,) float32."""
        root = ops.cast(self.root_beta, "float32")
        return ops.square(lower_bounded(root, (_BETA_MIN + _ROOT_MIN**2) ** 0.5)) - _ROOT_MIN**2

    @property
    def gamma(self) -> Tensor:
        """γ, (channels, channels) float32: γ[i, j] is the weight of x_j² in the norm of x_i."""
        root = ops.cast(self.root_gamma, "float32")
        return ops.square(lower_bounded(root, _ROOT_MIN)) - _ROOT_MIN**2

    def call(self, x: Tensor) -> Tensor:
        exact = ops.cast(x, "float32")
        norm = ops.sqrt(ops.matmul(ops.square(exact), ops.transpose(self.gamma)) + self.beta)
        return ops.cast(exact * norm if self.inverse else exact / norm, self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "inverse": self.inverse}
