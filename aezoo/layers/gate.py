"""A gate and a magnitude for each unit of a code."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from aezoo._typing import Shape, Tensor
from aezoo.layers.code_layer import CodeLayer


@keras.saving.register_keras_serializable("aezoo")
class Gate(CodeLayer):
    """Layer 1[h + b_gate > 0] ⊙ ReLU(exp(r) ⊙ h + b_mag): one path decides which units are active, one how strongly.

    Both paths share the weights of the layer below, h = Wx; the magnitudes rescale them by exp(r) per unit. No gradient
    flows through the gate, so that a penalty on `gate(h)` has to train it.

    It takes the arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Example:
        >>> layer = Gate()
        >>> layer(ops.array([[0.2, -0.7]])).numpy()
        array([[0.2, 0. ]], dtype=float32)

    Reference:
        Rajamanoharan et al., "Improving dictionary learning with gated sparse autoencoders", 2024, arXiv:2404.16014.
    """

    def build(self, input_shape: Shape) -> None:
        """Create b_gate, r and b_mag, one per unit."""
        for name in ("gate_bias", "log_scale", "magnitude_bias"):
            setattr(self, name, self.add_weight(shape=tuple(input_shape[1:]), initializer="zeros", name=name))

    def gate(self, h: Tensor) -> Tensor:
        """Return ReLU(h + b_gate), whose positive entries are the active units."""
        return ops.relu(h + ops.cast(self.gate_bias, h.dtype))

    def call(self, h: Tensor) -> Tensor:
        magnitude = ops.relu(ops.exp(self.log_scale) * h + self.magnitude_bias)
        return ops.cast(h + self.gate_bias > 0, h.dtype) * magnitude

    def get_config(self) -> dict[str, Any]:
        return super().get_config()  # without this method, Keras does not save a layer's dtype policy
