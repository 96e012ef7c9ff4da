"""A ReLU that jumps at a trained threshold."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from aezoo._typing import Shape, Tensor
from aezoo.layers.code_layer import CodeLayer


@keras.saving.register_keras_serializable("aezoo")
class JumpReLU(CodeLayer):
    """Layer JumpReLU_θ(z) = z H(z - θ): units at or below their threshold θ > 0 are 0, and the others are unchanged.

    H is the step function, whose derivative is 0 almost everywhere. Thresholds are trained by pseudo-derivatives, with
    the rectangle kernel K(u) = 1 for |u| < ½ and 0 elsewhere, and a bandwidth ε:

        ∂JumpReLU_θ(z) / ∂θ := -(θ / ε) K((z - θ) / ε),    ∂H(z - θ) / ∂θ := -(1 / ε) K((z - θ) / ε)

    The trained parameter is log θ, so that θ stays positive. The layer computes in single precision, whatever the dtype
    policy, since the factor 1 / ε overflows half precision.

    Args:
        threshold: θ at the start.
        bandwidth: ε > 0.
        **kwargs: `name` of `keras.layers.Layer`.

    Raises:
        ValueError: If θ or ε is not positive.

    Example:
        >>> layer = JumpReLU(threshold=0.5)
        >>> layer(ops.array([[0.2, 0.7, 0.9]])).numpy()
        array([[0. , 0.7, 0.9]], dtype=float32)

    Reference:
        Rajamanoharan et al., "Jumping ahead: improving reconstruction fidelity with JumpReLU sparse autoencoders",
        2024, arXiv:2407.14435.
    """

    selects = True

    def __init__(self, threshold: float = 0.001, bandwidth: float = 0.001, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        for name, value in (("threshold", threshold), ("bandwidth", bandwidth)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive, but {name}={value!r}.")
        self.initial_threshold = threshold
        self.bandwidth = bandwidth

    def build(self, input_shape: Shape) -> None:
        """Create log θ, one per unit."""
        start = keras.initializers.Constant(math.log(self.initial_threshold))
        self.log_threshold = self.add_weight(shape=tuple(input_shape[1:]), initializer=start, name="log_threshold")

    @property
    def threshold(self) -> Tensor:
        """θ of each unit."""
        return ops.exp(self.log_threshold)

    def call(self, z: Tensor) -> Tensor:
        return z * self.mask(z) + _without_value(-ops.stop_gradient(self.threshold) * self._density(z) * self.threshold)

    def mask(self, z: Tensor) -> Tensor:
        """Return H(z - θ), 1 for active units and 0 for the others, without a gradient."""
        return ops.stop_gradient(ops.cast(z > self.threshold, z.dtype))

    def active(self, z: Tensor) -> Tensor:
        """Return H(z - θ) with the pseudo-derivative with respect to θ; its sum over units is the L0 of a code."""
        z = ops.cast(z, "float32")
        return self.mask(z) + _without_value(-self._density(z) * self.threshold)

    def _density(self, z: Tensor) -> Tensor:
        """Return K((z - θ) / ε) / ε."""
        near = ops.abs(z - self.threshold) < self.bandwidth / 2
        return ops.stop_gradient(ops.cast(near, z.dtype) / self.bandwidth)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "threshold": self.initial_threshold, "bandwidth": self.bandwidth}


def _without_value(x: Tensor) -> Tensor:
    """Return zeros that have the gradient of x."""
    return x - ops.stop_gradient(x)
