"""The gated sparse autoencoder."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from aezoo import _validation, schedules
from aezoo._numerics import as_float32
from aezoo._typing import Shape, Tensor
from aezoo.layers import Gate
from aezoo.models.sparse_code import SparseCodeAE
from aezoo.training.batch import Batch
from aezoo.training.forward import Forward


@keras.saving.register_keras_serializable("aezoo")
class GatedAE(SparseCodeAE):
    """Gated sparse autoencoder: a gate decides which units are active, and the penalty acts on the gate alone.

    With h = W(x - x̄)/s, the gate is π = h + b_gate, the code z = 1[π > 0] ⊙ ReLU(exp(r) ⊙ h + b_mag), and y' = ȳ +
    s'(Ŵᵀz + b') with ‖ŵⱼ‖ = 1; `SparseCodeAE` describes what all sparse codes of this kind share. The loss is

        ‖y - y'‖² + λ ‖ReLU(π)‖₁ + ‖y - y'_gate‖²

    where y'_gate decodes ReLU(π) with a copy of the decoder that gets no gradient. The L1 penalty shrinks ReLU(π), but
    not z: it does not bias the magnitudes toward 0 as in `SparseAE`. The metric `l0` is the mean number of active
    units. The paper trains by Adam with β₁ = 0, `model.default_optimizer()`.

    Args:
        latent_dim: Number of code units, usually larger than the number of features.
        weight: λ >= 0, a number or a schedule by the epoch, relative to an error of 1 for a model that always returns
            the mean.
        **kwargs: Arguments of `SparseCodeAE`.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> model = GatedAE(latent_dim=1000, weight=0.1)
        >>> model.term_names
        ('reconstruction', 'sparsity', 'auxiliary')

    Reference:
        Rajamanoharan et al., "Improving dictionary learning with gated sparse autoencoders", 2024, arXiv:2404.16014.
    """

    term_names: tuple[str, ...] = ("reconstruction", "sparsity", "auxiliary")
    metric_names: tuple[str, ...] = ("l0",)

    def __init__(self, latent_dim: int | None = None, *, weight: schedules.Schedulable = 0.1, **kwargs: Any):
        super().__init__(latent_dim, **kwargs)
        self.weight = schedules.Scheduled(weight)
        _validation.check_at_least("weight", self.weight.schedule.minimum, 0)
        self.gate = Gate(dtype=self.dtype_policy)

    def build_encoder(self, x_shape: Shape, *args: Any, **kwargs: Any) -> keras.Model:
        encoder = super().build_encoder(x_shape)
        encoder.layers[-1].bias.trainable = False  # stays 0: gate and magnitude have biases of their own
        return encoder

    def default_optimizer(self, learning_rate: float | None = None) -> keras.optimizers.Optimizer:
        """Return Adam with β₁ = 0, as in the paper."""
        return keras.optimizers.Adam(learning_rate or 1e-3, beta_1=0.0)

    def code_layers(self) -> list[keras.layers.Layer]:
        return [self.gate]

    def penalties(self, batch: Batch, forward: Forward) -> dict[str, Any]:
        gate = self.gate.gate(forward.features)
        auxiliary = self.reconstruction(batch, self._decode_frozen(gate))
        return {
            "sparsity": self.weight.value * batch.mean(ops.sum(as_float32(gate), axis=1)),
            "auxiliary": auxiliary,
            "l0": batch.mean(ops.count_nonzero(forward.code, axis=1)),
        }

    def _decode_frozen(self, code: Tensor) -> Tensor:
        """Decode a code without gradients with respect to the decoder."""
        trained = [ops.stop_gradient(variable.value) for variable in self.decoder.trainable_variables]
        others = [variable.value for variable in self.decoder.non_trainable_variables]
        return self.decoder.stateless_call(trained, others, code)[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weight": schedules.serialize(self.weight.schedule)}
