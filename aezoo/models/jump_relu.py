"""The JumpReLU autoencoder."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from aezoo import _validation, schedules
from aezoo.layers import JumpReLU
from aezoo.models.sparse_code import SparseCodeAE
from aezoo.training.batch import Batch
from aezoo.training.forward import Forward


@keras.saving.register_keras_serializable("aezoo")
class JumpReLUAE(SparseCodeAE):
    """JumpReLU autoencoder: zⱼ = hⱼ where hⱼ > θⱼ and 0 elsewhere, with an L0 penalty that trains the thresholds θ.

    h = W(x - x̄)/s + b and y' = ȳ + s'(Ŵᵀz + b') with ‖ŵⱼ‖ = 1; `SparseCodeAE` describes what all sparse codes of this
    kind share. The penalty is λ‖z‖₀, the number of active units, or, with a target, λ(mean ‖z‖₀ / target - 1)². Neither
    it nor the code has a derivative with respect to θ: `aezoo.layers.JumpReLU` has the pseudo-derivatives, in which
    only activations within ε/2 of a threshold count. The metric `l0` is the mean of ‖z‖₀.

    The paper trains by Adam with β₁ = 0, `model.default_optimizer()`, and raises λ from 0 over the first steps:
    `weight=Linear(0, λ, epochs)`.

    Args:
        latent_dim: Number of code units, usually larger than the number of features.
        weight: λ >= 0, a number or a schedule by the epoch, relative to an error of 1 for a model that always returns
            the mean; None takes 0.01, or 1 with a target.
        target_l0: The number of active units per sample to train for, on average over a batch; None penalizes every
            active unit by λ.
        threshold: θ at the start, for data of mean squared norm 1.
        bandwidth: ε, for data of mean squared norm 1. In a short training, a larger value than the paper's 0.001 trains
            the thresholds faster.
        **kwargs: Arguments of `SparseCodeAE`.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> model = JumpReLUAE(latent_dim=1000, target_l0=25)
        >>> model.weight.schedule(epoch=0)
        1.0

    Reference:
        Rajamanoharan et al., "Jumping ahead: improving reconstruction fidelity with JumpReLU sparse autoencoders",
        2024, arXiv:2407.14435.
    """

    term_names: tuple[str, ...] = ("reconstruction", "sparsity")
    metric_names: tuple[str, ...] = ("l0",)

    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        weight: schedules.Schedulable | None = None,
        target_l0: float | None = None,
        threshold: float = 0.001,
        bandwidth: float = 0.001,
        **kwargs: Any,
    ):
        super().__init__(latent_dim, **kwargs)
        if weight is None:
            weight = 0.01 if target_l0 is None else 1.0
        self.weight = schedules.Scheduled(weight)
        _validation.check_at_least("weight", self.weight.schedule.minimum, 0)
        if target_l0 is not None:
            _validation.check_open_interval("target_l0", target_l0, 0, float("inf"))
        self.target_l0 = target_l0
        self.jump_relu = JumpReLU(threshold, bandwidth)

    def default_optimizer(self, learning_rate: float | None = None) -> keras.optimizers.Optimizer:
        """Return Adam with β₁ = 0, as in the paper."""
        return keras.optimizers.Adam(learning_rate or 1e-3, beta_1=0.0)

    def code_layers(self) -> list[keras.layers.Layer]:
        return [self.jump_relu]

    def penalties(self, batch: Batch, forward: Forward) -> dict[str, Any]:
        active = ops.sum(self.jump_relu.active(forward.features), axis=1)
        l0 = batch.mean(active)
        if self.target_l0 is None:
            return {"sparsity": self.weight.value * l0, "l0": l0}
        excess = batch.global_mean(active) / self.target_l0 - 1
        return {"sparsity": self.weight.value * batch.per_replica(ops.square(excess)), "l0": l0}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "weight": schedules.serialize(self.weight.schedule),
            "target_l0": self.target_l0,
            "threshold": self.jump_relu.initial_threshold,
            "bandwidth": self.jump_relu.bandwidth,
        }
