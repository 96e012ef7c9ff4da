"""The sparse autoencoder, by a Kullback-Leibler or an L1 penalty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import keras
from keras import ops

from aezoo import _validation, losses
from aezoo._numerics import as_float32
from aezoo._typing import Activation, Shape
from aezoo.layers import networks
from aezoo.models.autoencoder import Autoencoder
from aezoo.training.batch import Batch
from aezoo.training.forward import Forward

if TYPE_CHECKING:
    from aezoo.cli.defaults import Training

#: w where none is given. "kl" comes near its target within some epochs; as much of "l1" switches most units off.
_WEIGHTS = {"kl": 1.0, "l1": 0.1}


@keras.saving.register_keras_serializable("aezoo")
class SparseAE(Autoencoder):
    """Adds a penalty that keeps most code units near zero most of the time.

    - `penalty="kl"`: w · Σⱼ KL(ρ‖ρ̂ⱼ), where ρ̂ⱼ is the mean of unit j over the batch (of all replicas).
    - `penalty="l1"`: w · Σⱼ |zⱼ|, averaged over the batch. It is the L1 norm, a sum of absolute values without a root.

    Args:
        latent_dim: Number of code units, usually more than there are inputs.
        penalty: "kl" or "l1".
        target: ρ, the mean activation that "kl" aims at, inside (0, 1); not used by "l1".
        weight: w, beside an error that is summed over features; None takes 1.0 for "kl" and 0.1 for "l1". Beside Keras'
            "mse", which averages over features, the same weight acts as many times more strongly as there are features.
            Ng's notes halve the squared error: their β is w = 2β here. Their β = 3 brings the mean activation closer to
            ρ, but units come close to a constant ρ where training is short: on 1,442 digits w = 1 leaves the mean at
            0.065 for ρ = 0.05 and a population sparsity of 0.59, w = 6 at 0.053 and 0.21.
        activation: σ of hidden layers and code. "kl" needs a code in (0, 1).
        **kwargs: Those of `Autoencoder`.

    Raises:
        ValueError: If the penalty is unknown, ρ outside (0, 1), w negative, or the code of "kl" not a sigmoid's.

    Example:
        >>> model = SparseAE(latent_dim=1024, penalty="kl", target=0.05)
        >>> model.weight
        1.0

    Reference:
        Ng, "Sparse autoencoder", CS294A lecture notes, 2011.
    """

    term_names: tuple[str, ...] = ("reconstruction", "sparsity")

    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        penalty: Literal["kl", "l1"] = "kl",
        target: float = 0.05,
        weight: float | None = None,
        activation: Activation = "sigmoid",
        **kwargs: Any,
    ):
        super().__init__(latent_dim, activation=activation, **kwargs)
        _validation.check_choice("penalty", penalty, ("kl", "l1"))
        _validation.check_open_interval("target", target, 0.0, 1.0)
        weight = _WEIGHTS[penalty] if weight is None else weight
        _validation.check_at_least("weight", weight, 0)
        self.penalty = penalty
        self.target = target
        self.weight = weight

    def build(self, input_shape: Shape | Any) -> None:
        super().build(input_shape)
        networks.carry_logits(self.encoder)
        activation = networks.output_activation(self.encoder)
        if self.penalty == "kl" and activation not in (None, keras.activations.sigmoid):
            raise ValueError(
                f"penalty='kl' compares mean activations in (0, 1), but the code's activation is "
                f"{getattr(activation, '__name__', activation)!r}: use code_activation='sigmoid', or penalty='l1'."
            )

    def penalties(self, batch: Batch, forward: Forward) -> dict[str, Any]:
        logits = losses.logits_of(forward.code)
        code = ops.reshape(as_float32(forward.code), (ops.shape(forward.code)[0], -1))
        if self.penalty == "l1":
            return {"sparsity": self.weight * batch.mean(ops.sum(ops.abs(code), axis=1))}
        if logits is None:
            divergence = losses.bernoulli_kl(self.target, batch.global_mean(code))
        else:
            a = ops.reshape(as_float32(logits), ops.shape(code))
            on, off = (batch.global_mean(ops.sigmoid(sign * a)) for sign in (1, -1))
            divergence = losses.bernoulli_kl(self.target, on, off)
        return {"sparsity": self.weight * batch.per_replica(ops.sum(divergence))}

    @classmethod
    def cli_defaults(cls, training: Training) -> dict[str, Any]:
        return {**super().cli_defaults(training), "latent_dim": training.latent_dim}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "penalty": self.penalty,
            "target": self.target,
            "weight": self.weight,
        }
