"""A learned density of each channel of a code."""

from __future__ import annotations

import itertools
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from aezoo._typing import Shape, Tensor

# The widths before f₁ and after each fₖ, and the initial width of the densities in units of y, as in the paper.
_WIDTHS = (1, 3, 3, 3, 1)
_INIT_SCALE = 10.0


@keras.saving.register_keras_serializable("aezoo")
class FactorizedDensity(keras.layers.Layer):
    """Learned density of each channel of a code y; its output is -log₂ of the probability P(y - ½ < Y < y + ½).

    The cumulative distribution of a channel is c(y) = σ(f_K ∘ ... ∘ f₁(y)), fₖ(v) = gₖ(softplus(Hₖ) v + bₖ),
    gₖ(v) = v + tanh(aₖ) tanh(v), where f_K has no g. It increases from 0 to 1 for any H, b and a. It is computed in
    float32 under every dtype policy, and from logits, so that codes far out in a tail have a finite rate and a
    gradient.

    Args:
        seed: Seed of the initial b.
        **kwargs: `name` of `keras.layers.Layer`.

    Example:
        >>> bits = FactorizedDensity(seed=0)(keras.ops.zeros((2, 3)))  # -log₂ p, element by element
        >>> bits.shape
        TensorShape([2, 3])

    Reference:
        Ballé et al., "Variational image compression with a scale hyperprior", ICLR 2018, arXiv:1802.01436,
        appendix 6.1.
    """

    def __init__(self, seed: int | None = None, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.seed = seed

    def build(self, input_shape: Shape) -> None:
        """Create the weights of each channel; channels are the last axis of a code."""
        channels = input_shape[-1]
        scale = _INIT_SCALE ** (1 / (len(_WIDTHS) - 1))
        self.matrices, self.biases, self.factors = [], [], []
        for k, (before, after) in enumerate(itertools.pairwise(_WIDTHS)):
            start = math.log(math.expm1(1 / scale / after))
            matrix = self.add_weight(
                shape=(channels, after, before), initializer=keras.initializers.Constant(start), name=f"matrix_{k}"
            )
            uniform = keras.initializers.RandomUniform(-0.5, 0.5, None if self.seed is None else self.seed + k)
            bias = self.add_weight(shape=(channels, after, 1), initializer=uniform, name=f"bias_{k}")
            self.matrices.append(matrix)
            self.biases.append(bias)
            if k < len(_WIDTHS) - 2:
                self.factors.append(
                    self.add_weight(shape=(channels, after, 1), initializer="zeros", name=f"factor_{k}")
                )

    def logits(self, y: Tensor) -> Tensor:
        """Return the logit of c(y), log(c(y) / (1 - c(y))), of each channel in the dtype of y.

        Args:
            y: Floating-point values, (channels, n).

        Returns:
            Logits, (channels, n).
        """
        v = y[:, None, :]
        for k, (matrix, bias) in enumerate(zip(self.matrices, self.biases, strict=True)):
            v = ops.matmul(ops.softplus(ops.cast(matrix, v.dtype)), v) + ops.cast(bias, v.dtype)
            if k < len(self.factors):
                v = v + ops.tanh(ops.cast(self.factors[k], v.dtype)) * ops.tanh(v)
        return v[:, 0, :]

    def call(self, y: Tensor) -> Tensor:
        """Return -log₂ P(y - ½ < Y < y + ½), with the shape of y (..., channels)."""
        channels, shape = y.shape[-1], ops.shape(y)
        flat = ops.transpose(ops.reshape(y, (-1, channels)))
        below, above = ops.split(self.logits(ops.concatenate([flat - 0.5, flat + 0.5], axis=1)), 2, axis=1)
        # σ(b) - σ(a) = σ(b) σ(-a) (1 - exp(a - b)), which neither cancels nor underflows.
        gap = ops.maximum(above - below, 1e-30)
        log_p = ops.log_sigmoid(above) + ops.log_sigmoid(-below) + ops.log(-ops.expm1(-gap))
        return ops.reshape(ops.transpose(log_p), shape) / -math.log(2)

    def cumulative(self, y: Tensor) -> np.ndarray:
        """Return c(y) of each channel in double precision, for tables of frequencies.

        Args:
            y: Values, (n, channels).

        Returns:
            Cumulative probabilities, (n, channels) float64, always computed on the CPU.
        """
        with tf.device("CPU:0"):
            y = ops.transpose(ops.convert_to_tensor(np.asarray(y, "float64"), dtype="float64"))
            return np.asarray(ops.sigmoid(self.logits(y))).T

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}
