"""Rounding of a code, replaced by noise in training."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from aezoo._typing import Shape, Tensor
from aezoo.layers.code_layer import CodeLayer
from aezoo.layers.random_state import RandomState


@keras.saving.register_keras_serializable("aezoo")
class Quantizer(CodeLayer):
    """Layer that rounds a code to integers; in training it adds noise from U(-½, ½) instead, which has a gradient.

    The density of the noisy code, p(y) * U(-½, ½), equals at each integer the probability of the rounded code. A
    density learned with the noise is therefore valid for the integers.

    Args:
        seed: Seed of the noise; its state is saved with the model.
        **kwargs: `name` of `keras.layers.Layer`.

    Example:
        >>> [float(y) for y in Quantizer()(keras.ops.array([-1.2, 0.4, 2.6]))]
        [-1.0, 0.0, 3.0]

    Reference:
        Ballé et al., "End-to-end optimized image compression", ICLR 2017, arXiv:1611.01704, section 3.
    """

    differentiable = False

    def __init__(self, seed: int | None = None, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})  # half precision has no odd integers above 2048
        self.seed = seed
        self.random = RandomState(seed)

    def build(self, input_shape: Shape) -> None:
        """Create nothing: the noise takes its shape from each code."""

    def noise(self, shape: Shape | Tensor) -> Tensor:
        """Return the noise of a training step, float32 in [-½, ½)."""
        return self.random.uniform(shape) - 0.5

    def call(self, y: Tensor, training: bool = False) -> Tensor:
        return y + self.noise(ops.shape(y)) if training else ops.round(y)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}
