"""The sparse autoencoder, with a Kullback-Leibler or an L1 penalty."""

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

#: Defaults of w. 1.0 brings "kl" close to its target within some epochs, but would switch most units off with "l1"; at
#: 0.02 almost none of a sigmoid code stays off on images in [0, 1].
_WEIGHTS = {"kl": 1.0, "l1": 0.02}


@keras.saving.register_keras_serializable("aezoo")
class SparseAE(Autoencoder):
    """Sparse autoencoder: a penalty keeps most code units close to zero for most samples.

    - `penalty="kl"`: w · Σⱼ KL(ρ‖ρ̂ⱼ), where ρ̂ⱼ is the mean of unit j over the batch (of all replicas).
    - `penalty="l1"`: w · Σⱼ |zⱼ|, averaged over the batch. It is the L1 norm, a sum of absolute values without a root.

    Args:
        latent_dim: Number of code units, usually larger than the number of inputs.
        penalty: "kl" or "l1".
        target: ρ, the target mean activation of "kl", in (0, 1); "l1" ignores it.
        weight: w, relative to an error that is summed over features; None takes 1.0 for "kl" and 0.02 for "l1". With
            Keras' "mse", which averages over features, divide w by the number of features for the same effect.
            Ng's notes halve the squared error, so that their β corresponds to w = 2β. Their β = 3 brings the mean
            activation closer to ρ, but in a short training units become almost constant at ρ: on 1,442 digits with
            ρ = 0.05, w = 1 reaches a mean of 0.065 and a population sparsity of 0.59, w = 6 reaches 0.053 and 0.21.
        activation: σ of hidden layers and code. "kl" requires a code in (0, 1).
        **kwargs: Arguments of `Autoencoder`.

    Raises:
        ValueError: If the penalty is unknown, ρ is outside (0, 1), w is negative, or "kl" is used with a code that is
            not the output of a sigmoid.

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
