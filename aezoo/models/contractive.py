"""The contractive autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import keras
from keras import ops

from aezoo import _validation, losses
from aezoo._numerics import as_float32
from aezoo._typing import Activation, Tensor
from aezoo.layers import RandomState, jacobian, networks
from aezoo.models.autoencoder import Autoencoder
from aezoo.training.batch import Batch

if TYPE_CHECKING:
    from aezoo.cli.defaults import Training


@keras.saving.register_keras_serializable("aezoo")
class ContractiveAE(Autoencoder):
    """Contractive autoencoder: adds w · ‖J(x)‖²_F to the reconstruction error, J = ∂z/∂x the encoder's Jacobian.

    The penalty makes the code insensitive to small changes of x. As in the paper, an encoder of one layer is tied to
    its decoder, W' = Wᵀ; untied, the penalty mostly makes W smaller and W' larger. With hidden layers, which the paper
    does not have, a tied decoder learns worse, so the default is untied.

    For one dense layer ‖J‖² = Σⱼ φ'(aⱼ)² ‖Wⱼ‖², as in the paper; for deeper dense encoders it is the exact norm of the
    product of the layers' Jacobians. Other encoders use Hutchinson's estimate E‖vᵀJ‖² with random signs v, or the exact
    norm by automatic differentiation. CAE+H adds w_H · E_ε ‖J(x) - J(x + ε)‖²_F, ε ~ N(0, σ²).

    The reconstruction error is the cross-entropy if the output is a sigmoid, and the squared error otherwise.

    Args:
        latent_dim: Number of code units.
        weight: w >= 0, relative to an error that is summed over features.
        tied: Whether W' = Wᵀ; None ties the weights if there are no hidden layers and none of decoder, filters and
            normalization is given.
        method: "exact", "hutchinson", or "auto": exact for chains of dense layers, Hutchinson's estimate otherwise.
        probes: Number of random vectors v of the estimate.
        hessian_weight: w_H >= 0; 0 disables the second-order term.
        hessian_sigma: σ > 0, in units of x.
        hessian_samples: Number of ε per sample and step.
        activation: σ of hidden layers and code.
        **kwargs: Arguments of `Autoencoder`.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> model = ContractiveAE(latent_dim=1000, weight=1.0)

    Reference:
        Rifai et al., "Contractive auto-encoders", ICML 2011;
        Rifai et al., "Higher order contractive auto-encoder", ECML 2011, for CAE+H.
    """

    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        weight: float = 1.0,
        tied: bool | None = None,
        method: Literal["auto", "exact", "hutchinson"] = "auto",
        probes: int = 1,
        hessian_weight: float = 0.0,
        hessian_sigma: float = 0.1,
        hessian_samples: int = 1,
        activation: Activation = "sigmoid",
        **kwargs: Any,
    ):
        if tied is None:
            tied = networks.can_tie(kwargs) and not kwargs.get("hidden_dims")
        super().__init__(latent_dim, activation=activation, tied=tied, **kwargs)
        _validation.check_choice("method", method, ("auto", "exact", "hutchinson"))
        _validation.check_at_least("weight", weight, 0)
        _validation.check_int("probes", probes, 1)
        _validation.check_at_least("hessian_weight", hessian_weight, 0)
        _validation.check_open_interval("hessian_sigma", hessian_sigma, 0, float("inf"))
        _validation.check_int("hessian_samples", hessian_samples, 1)
        self.weight = weight
        self.method = method
        self.probes = probes
        self.hessian_weight = hessian_weight
        self.hessian_sigma = hessian_sigma
        self.hessian_samples = hessian_samples
        self.random = RandomState(self.seed)

    @property
    def term_names(self) -> tuple[str, ...]:
        return ("reconstruction", "contraction") + (("hessian",) if self.hessian_weight else ())

    @property
    def default_loss(self) -> losses.SquaredError | losses.CrossEntropy:
        sigmoid = networks.output_activation(self.decoder) is keras.activations.sigmoid
        return losses.CrossEntropy() if sigmoid else losses.SquaredError()

    def objective(self, batch: Batch, training: bool) -> tuple[dict[str, Any], Any]:
        noises = [
            self.hessian_sigma * ops.cast(self.random.normal(ops.shape(batch.x)), batch.x.dtype)
            for _ in range(self.hessian_samples if self.hessian_weight else 0)
        ]
        code, contraction, hessians = self.jacobian_norms(batch.x, noises, training)
        y_pred = self.run_decoder(code, batch.conditions, training)
        terms = {
            "reconstruction": self.reconstruction(batch, y_pred),
            "contraction": self.weight * batch.mean(contraction),
        }
        if self.hessian_weight:
            terms["hessian"] = self.hessian_weight * batch.mean(sum(hessians) / len(hessians))
        return terms, y_pred

    def jacobian_norms(
        self, x: Tensor, noises: Sequence[Tensor] = (), training: bool = False
    ) -> tuple[Any, Any, list[Any]]:
        """Encode x and return the squared norms of the encoder's Jacobian.

        Args:
            x: Samples, (batch, *input_shape).
            noises: Tensors ε with the shape of x.
            training: Whether to encode as in a training step. Jacobians are always computed as at inference: in
                training, BatchNormalization makes a code depend on the other samples, and dropout would make J(x) and
                J(x + ε) differ.

        Returns:
            The code (batch, *code_shape); ‖J(x)‖²_F (batch,); and for each ε, ‖J(x) - J(x + ε)‖²_F (batch,). The norms
            are exact or estimates, depending on `method`.
        """
        code, norm, differences = self._norms(x, noises)
        if training and self.encoder.non_trainable_variables:
            # Layers that behave differently in training have a state, and only this pass changes it. It comes last
            # because Keras keeps the losses of a network's layers from the last call.
            code = self.encoder(x, training=True)
        return code, norm, differences

    def _norms(self, x: Tensor, noises: Sequence[Tensor]) -> tuple[Any, Any, list[Any]]:
        layers = networks.chain(self.encoder)
        if self.method != "hutchinson" and jacobian.has_closed_form(layers):
            kernel = next(layer.kernel for layer in layers if isinstance(layer, keras.layers.Dense))
            at_noise = [jacobian.factor(layers, x + noise)[1] for noise in noises]
            code, a = jacobian.factor(layers, x)
            differences = [jacobian.squared_norm(a - b, kernel) for b in at_noise]
            return code, jacobian.squared_norm(a, kernel), differences
        if self.method == "exact":
            at_noise = [jacobian.exact(self.encoder, x + noise)[1] for noise in noises]
            code, j = jacobian.exact(self.encoder, x)
            return code, _squared(j), [_squared(j - b) for b in at_noise]
        norms, differences = [], [[] for _ in noises]
        for _ in range(self.probes):
            shape = (ops.shape(x)[0], *self.code_shape)
            if None in shape:  # images of any size
                shape = ops.shape(self.encoder(x, training=False))
            v = ops.where(self.random.uniform(shape) < 0.5, -1.0, 1.0)
            at_noise = [jacobian.product(self.encoder, x + noise, v)[1] for noise in noises]
            code, j = jacobian.product(self.encoder, x, v)
            norms.append(_squared(j))
            for difference, b in zip(differences, at_noise, strict=True):
                difference.append(_squared(j - b))
        return code, sum(norms) / self.probes, [sum(d) / self.probes for d in differences]

    @classmethod
    def cli_defaults(cls, training: Training) -> dict[str, Any]:
        return {**super().cli_defaults(training), "latent_dim": training.latent_dim}

    def get_config(self) -> dict[str, Any]:
        names = ("weight", "method", "probes", "hessian_weight", "hessian_sigma", "hessian_samples")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _squared(j: Tensor) -> Tensor:
    j = as_float32(j)
    return ops.sum(ops.square(j), axis=tuple(range(1, len(j.shape))))
