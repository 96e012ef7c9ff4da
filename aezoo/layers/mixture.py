"""A mixture of bivariate normal distributions, parameterized by the raw output of a network."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from aezoo._numerics import as_float32
from aezoo._typing import Tensor
from aezoo.layers.bounded import bounded

# log σ and artanh ρ are clipped to ±15, where the squares in the density are finite; ρ rounds to 1 long before.
_LARGEST = 15.0


@dataclasses.dataclass(frozen=True)
class BivariateMixture:
    """Mixture Σⱼ Πⱼ N(x; μⱼ, Σⱼ) in two dimensions, Σⱼ with standard deviations σ₁, σ₂ and correlation ρ; float32.

    Attributes:
        logits: Logits of the weights Πⱼ, (..., M).
        mean: μⱼ, (..., M, 2).
        log_scale: log σⱼ, (..., M, 2).
        raw_correlation: artanh ρⱼ, (..., M).

    Example:
        >>> one = BivariateMixture.of(keras.ops.zeros((1, 6)))  # a standard normal
        >>> round(float(one.log_density([[0.0, 0.0]])[0]), 4)  # -log 2π
        -1.8379

    Reference:
        Graves, "Generating sequences with recurrent neural networks", 2013, arXiv:1308.0850, equations 18 to 25.
    """

    logits: Any
    mean: Any
    log_scale: Any
    raw_correlation: Any

    @classmethod
    def of(cls, parameters: Tensor) -> BivariateMixture:
        """Create mixtures from (..., 6M) numbers: M each of Π̂, μ₁, μ₂, σ̂₁, σ̂₂, ρ̂, the last three clipped to ±15."""
        logits, mean_1, mean_2, scale_1, scale_2, correlation = ops.split(as_float32(parameters), 6, axis=-1)
        log_scale, correlation = (
            bounded(raw, -_LARGEST, _LARGEST) for raw in (ops.stack([scale_1, scale_2], -1), correlation)
        )
        return cls(logits, ops.stack([mean_1, mean_2], -1), log_scale, correlation)

    @property
    def log_independence(self) -> Tensor:
        """½ log(1 - ρ²) = -log cosh ρ̂, (..., M), exact even if ρ rounds to 1."""
        raw = self.raw_correlation
        return math.log(2.0) + raw - ops.softplus(2.0 * raw)

    def log_density(self, x: Tensor) -> Tensor:
        """Return log p(x), (...), in nats.

        Args:
            x: Points, (..., 2).
        """
        # With Σ = LLᵀ the components of L⁻¹(x - μ) are independent and standard normal.
        u, v = ops.unstack((as_float32(x)[..., None, :] - self.mean) * ops.exp(-self.log_scale), axis=-1)
        v = (v - ops.tanh(self.raw_correlation) * u) * ops.exp(-self.log_independence)
        log_normal = (
            -0.5 * (ops.square(u) + ops.square(v))
            - ops.sum(self.log_scale, axis=-1)
            - self.log_independence
            - math.log(2.0 * math.pi)
        )
        return ops.logsumexp(keras.ops.log_softmax(self.logits) + log_normal, axis=-1)

    def expectation(self) -> Tensor:
        """Return the mean of the mixture, (..., 2)."""
        return ops.sum(ops.softmax(self.logits)[..., None] * self.mean, axis=-2)

    def draw(self, temperature: Tensor, gumbel: Tensor, normal: Tensor) -> Tensor:
        """Draw from the mixture with Π̂ⱼ → Π̂ⱼ/τ and σ² → σ²τ; for τ = 0, return μ of the heaviest component.

        Args:
            temperature: τ >= 0.
            gumbel: Standard Gumbel noise, (..., M).
            normal: Standard normal noise, (..., 2).

        Returns:
            Points, (..., 2).
        """
        # argmax(Π̂/τ + g) = argmax(Π̂ + τg), which is defined for τ = 0, too.
        j = tf.argmax(self.logits + temperature * gumbel, axis=-1)
        rank = len(self.logits.shape) - 1
        mean, log_scale, raw, log_independence = (
            tf.gather(values, j, axis=rank, batch_dims=rank)
            for values in (self.mean, self.log_scale, self.raw_correlation, self.log_independence)
        )
        u, v = ops.unstack(normal, axis=-1)
        noise = ops.stack([u, ops.tanh(raw) * u + ops.exp(log_independence) * v], axis=-1)
        return mean + ops.sqrt(temperature) * ops.exp(log_scale) * noise
