"""The ladder variational autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from aezoo import _validation, losses, priors
from aezoo._numerics import as_float32
from aezoo._typing import Shape, Tensor
from aezoo.layers import networks
from aezoo.layers.bounded import LOG_VARIANCE, bounded
from aezoo.models.variational import VAE, reparameterized
from aezoo.training.batch import Batch
from aezoo.training.forward import Forward


@keras.saving.register_keras_serializable("aezoo")
class LadderVAE(VAE):
    """Ladder VAE: two levels of codes, p(z₂) p(z₁|z₂) p(x|z₁), trained by -ELBO = -E_q log p(x|z₁) + β KL(q‖p).

    p(z₂) = N(0, I), and a network computes the Gaussian p(z₁|z₂) = N(μ_p, diag σ_p²). The encoder computes a Gaussian
    per level from the bottom up, N(μ̂₁, diag σ̂₁²) and then N(μ̂₂, diag σ̂₂²). q(z₂|x) is the upper one. q(z₁|z₂, x) is
    the product of the lower one and p(z₁|z₂), which corrects it from the top down:

        1/σ₁² = 1/σ̂₁² + 1/σ_p²,  μ₁ = σ₁² (μ̂₁/σ̂₁² + μ_p/σ_p²).

    KL(q‖p) = KL(q(z₂|x)‖p(z₂)) + E KL(q(z₁|z₂, x)‖p(z₁|z₂)). The upper level is easily left unused: raise β from 0 by
    a schedule, which the paper calls warm-up, and watch the metric `kl_top`, KL(q(z₂|x)‖p(z₂)) without β, which
    `importance_samples` > 1 does not report.

    A code is z₁ followed by z₂, `latent_dim + top_dim` units, and p(z₁, z₂) takes the place of the prior of a `VAE`.
    `encode` returns μ̂₂ and the μ₁ that belongs to it, and `score_samples` takes both divergences there, at z₂ = μ̂₂. The
    decoder reads z₁ alone, so that z₂ changes a sample only through p(z₁|z₂), which `generative_moments` returns.

    Args:
        latent_dim: Number of units of z₁.
        top_dim: Number of units of z₂.
        top_hidden_dims: Units of the hidden layers from the last hidden layer of the encoder to z₂; the network of
            p(z₁|z₂) mirrors them, without dropout and normalization.
        **kwargs: Arguments of `VAE`, except `code_activation`, `free_bits`, `gradient_estimator`, `prior`, `tied`,
            `encoder` and `decoder`.

    Raises:
        ValueError: If an argument is out of range, or one of these seven is given.

    Example:
        >>> import numpy as np
        >>> from aezoo.schedules import Linear
        >>> model = LadderVAE(latent_dim=8, top_dim=2, hidden_dims=(32,), beta=Linear(0.0, 1.0, epochs=5))
        >>> model.compile(optimizer="adam")
        >>> history = model.fit(np.random.default_rng(0).random((64, 8, 8, 1), "float32"), verbose=0).history
        >>> sorted(history)
        ['active_units', 'kl', 'kl_top', 'loss', 'reconstruction']
        >>> model.sample(3).shape
        TensorShape([3, 8, 8, 1])

    Reference:
        Sønderby, Raiko, Maaløe, Sønderby & Winther, "Ladder variational autoencoders", NeurIPS 2016, arXiv:1602.02282.
    """

    is_chain = False
    fixed_arguments = ("code_activation", "free_bits", "gradient_estimator", "prior", "tied", "encoder", "decoder")

    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        top_dim: int = 10,
        top_hidden_dims: Sequence[int] = (64,),
        **kwargs: Any,
    ):
        for name in self.fixed_arguments:
            if name in kwargs:
                raise ValueError(f"LadderVAE does not take {name}={kwargs[name]!r}: leave out {name}.")
        super().__init__(latent_dim, **kwargs)
        self.top_dim = _validation.check_int("top_dim", top_dim, 1)
        self.top_hidden_dims = _validation.check_ints("top_hidden_dims", top_hidden_dims)
        self.prior = _TwoLevels()

    @property
    def metric_names(self) -> tuple[str, ...]:
        return (*super().metric_names, *(("kl_top",) if self.importance_samples == 1 else ()))

    # === Networks ===

    def build_encoder(self, x_shape: Shape, **kwargs: Any) -> keras.Model:
        encoder = super().build_encoder(x_shape, **kwargs)
        (lower, lower_log_variance), hidden = self.posterior.outputs, encoder.layers[-1].input
        seed = None if self.seed is None else self.seed + 2_000
        sizes: dict[str, Any] = {"hidden_dims": self.top_hidden_dims, "activation": self.activation, "seed": seed}
        bottom_up = networks.encoder(
            tuple(hidden.shape[1:]),
            2 * self.top_dim,
            dropout=self.dropout,
            normalization=self.normalization,
            dtype=self.dtype_policy,
            **sizes,
        )
        self.top_down = networks.decoder(
            (2 * self.latent_dim,), self.top_dim, output_activation="linear", dtype=self.dtype_policy, **sizes
        )
        top, top_log_variance = ops.split(bottom_up(hidden), 2, axis=-1)
        moments = [
            ops.concatenate([lower, top], axis=-1),
            ops.concatenate([lower_log_variance, top_log_variance], axis=-1),
        ]
        self.posterior = keras.Model(encoder.inputs[0], moments, name="posterior")
        of_prior, of_prior_log_variance = ops.split(self.top_down(top), 2, axis=-1)
        log_variances = [ops.clip(each, *LOG_VARIANCE) for each in (lower_log_variance, of_prior_log_variance)]
        mean, _ = merged(lower, log_variances[0], of_prior, log_variances[1])
        return keras.Model(encoder.inputs[0], ops.concatenate([mean, top], axis=-1), name="encoder")

    def build_decoder(self, x_shape: Shape, **kwargs: Any) -> keras.Model:
        decoder = super().build_decoder(x_shape, latent_dim=self.latent_dim, **kwargs)
        z = keras.Input((self.latent_dim + self.top_dim,))
        lower, _ = self.levels(z)
        if self.observation is not None:
            self.observation = keras.Model(z, self.observation(lower), name="observation")
        return keras.Model(z, decoder(lower), name="decoder")

    def levels(self, z: Tensor) -> tuple[Any, Any]:
        """Split codes, or other values per code unit, into the values of z₁ and of z₂.

        Args:
            z: (..., latent_dim + top_dim).

        Returns:
            (..., latent_dim) and (..., top_dim).
        """
        return z[..., : self.latent_dim], z[..., self.latent_dim :]

    def generative_moments(self, top: Tensor) -> tuple[Any, Any]:
        """Return μ_p and log σ_p² of p(z₁|z₂), (..., latent_dim) float32; log σ_p² is clipped to [-30, 15].

        Args:
            top: z₂, (..., top_dim).
        """
        moments = self.top_down(ops.reshape(top, (-1, self.top_dim)))
        moments = ops.reshape(as_float32(moments), (*ops.shape(top)[:-1], 2 * self.latent_dim))
        mean, log_variance = ops.split(moments, 2, axis=-1)
        return mean, bounded(log_variance, *LOG_VARIANCE)

    # === Explorer ===

    @property
    def controls_note(self) -> str:
        lower = (
            f"The first {self.latent_dim} units are the deviation of z₁ from what z₂ expects, in standard deviations"
        )
        return f"{lower}; the last {self.top_dim} units are z₂, which moves z₁."

    def to_controls(self, z: Tensor) -> Tensor:
        """Return codes with (z₁ - μ_p) / σ_p, the deviation from p(z₁|z₂), in place of z₁.

        In a code itself z₂ changes nothing, since the decoder reads z₁ alone; here it moves z₁.

        Args:
            z: Codes, (n, latent_dim + top_dim).

        Returns:
            (n, latent_dim + top_dim), float32.
        """
        lower, top = self.levels(as_float32(z))
        mean, log_variance = self.generative_moments(top)
        return ops.concatenate([(lower - mean) * ops.exp(-0.5 * log_variance), top], axis=-1)

    def from_controls(self, controls: Tensor) -> Tensor:
        return _TwoLevels().transport(as_float32(controls), self)

    # === The objective ===

    def moments(self, x: Tensor, training: bool = False, **conditions: Tensor) -> tuple[Any, Any]:
        """Return μ̂ and log σ̂² of both levels, before the merge, (batch, *code_shape) float32; `drawn` merges them.

        Args:
            x: Samples, (batch, *input_shape).
            training: Whether this is a training step.
            **conditions: As in `VAE.moments`.
        """
        return super().moments(x, training, **conditions)

    def drawn(self, moments: tuple[Tensor, Tensor], noise: Tensor | None) -> tuple[Any, Any, Any]:
        (lower, top), (lower_log_variance, top_log_variance) = map(self.levels, moments)
        of_lower, of_top = (None, None) if noise is None else self.levels(noise)
        z_top = top if of_top is None else reparameterized(top, top_log_variance, of_top)
        mean, log_variance = merged(lower, lower_log_variance, *self.generative_moments(z_top))
        z = mean if of_lower is None else reparameterized(mean, log_variance, of_lower)
        top, top_log_variance = top + ops.zeros_like(z_top), top_log_variance + ops.zeros_like(z_top)
        pairs = (z, z_top), (mean, top), (log_variance, top_log_variance)
        return tuple(ops.concatenate(pair, axis=-1) for pair in pairs)

    def penalties(self, batch: Batch, forward: Forward) -> dict[str, Any]:
        """Return β KL(q‖p) by its name, and KL(q(z₂|x)‖p(z₂)) as a metric; see `VAE.penalties`."""
        (_, top), (_, log_variance) = map(self.levels, forward.features)
        of_top = ops.sum(losses.gaussian_kl(top[0], log_variance[0]), axis=-1)
        return {**super().penalties(batch, forward), "kl_top": batch.mean(of_top)}

    def _divergence_at(self, z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        """Return KL(q(z₂|x)‖p(z₂)) + KL(q(z₁|z₂, x)‖p(z₁|z₂)), (..., batch), at the z₂ of z."""
        (mean, top), (log_variance, top_log_variance) = map(self.levels, (mean, log_variance))
        of_prior, of_prior_log_variance = self.generative_moments(self.levels(z)[1])
        standardized = (mean - of_prior) * ops.exp(-0.5 * of_prior_log_variance)
        of_lower = losses.gaussian_kl(standardized, log_variance - of_prior_log_variance)
        return ops.sum(of_lower, axis=-1) + ops.sum(losses.gaussian_kl(top, top_log_variance), axis=-1)

    # === Self-description ===

    def get_config(self) -> dict[str, Any]:
        config = {name: value for name, value in super().get_config().items() if name not in self.fixed_arguments}
        return {**config, "top_dim": self.top_dim, "top_hidden_dims": self.top_hidden_dims}


class _TwoLevels(priors.Prior):
    """Prior p(z₂) p(z₁|z₂) of a ladder, whose network belongs to the model."""

    transports = True

    def log_density(self, z: Tensor, model: LadderVAE) -> Tensor:
        lower, top = model.levels(as_float32(z))
        of_lower = losses.gaussian_log_density(lower, *model.generative_moments(top))
        return ops.sum(of_lower, axis=-1) + ops.sum(losses.gaussian_log_density(top), axis=-1)

    def transport(self, u: Tensor, model: LadderVAE) -> Tensor:
        of_lower, top = model.levels(u)
        return ops.concatenate([reparameterized(*model.generative_moments(top), of_lower), top], axis=-1)


def merged(mean: Tensor, log_variance: Tensor, other: Tensor, other_log_variance: Tensor) -> tuple[Any, Any]:
    """Return mean and log variance of the product of two Gaussians: precisions add and weigh the means.

    Args:
        mean: μ of the first Gaussian, (..., units).
        log_variance: log σ² of the first Gaussian.
        other: μ of the second Gaussian.
        other_log_variance: log σ² of the second Gaussian.
    """
    difference = other_log_variance - log_variance
    weight = ops.sigmoid(difference)  # of the first Gaussian: its share of the precision
    return other + weight * (mean - other), other_log_variance - ops.softplus(difference)
