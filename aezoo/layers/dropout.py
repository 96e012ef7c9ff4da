"""Dropout that resumes bit for bit."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from aezoo._typing import Shape, Tensor
from aezoo.layers.code_layer import CodeLayer
from aezoo.layers.random_state import RandomState


@keras.saving.register_keras_serializable("aezoo")
class Dropout(CodeLayer):
    """Dropout: sets each unit to 0 with probability `rate` in training and scales the others by 1 / (1 - rate).

    Unlike in `keras.layers.Dropout`, the random state is saved with the model, so that training resumes bit for bit.

    Args:
        rate: Probability of setting a unit to 0, in [0, 1).
        seed: Seed of the random state.
        **kwargs: `name` and `dtype` of `keras.layers.Layer`.

    Raises:
        ValueError: If the rate is not in [0, 1).

    Example:
        >>> y = Dropout(0.25, seed=1)(ops.ones((4, 1000)), training=True)
        >>> bool(200 < ops.sum(y[0] == 0) < 300), round(float(ops.max(y)), 3)
        (True, 1.333)

    Reference:
        Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15 (2014).
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"The rate of dropout must be at least 0 and less than 1, but it is {rate!r}.")
        self.rate = rate
        self.seed = seed
        self.random = RandomState(seed)

    def build(self, input_shape: Shape) -> None:
        """Create nothing: the noise takes its shape from each input."""

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        if not training:
            return x
        keeps = self.random.uniform(ops.shape(x)) >= self.rate
        return ops.where(keeps, x / (1.0 - self.rate), ops.zeros_like(x))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
