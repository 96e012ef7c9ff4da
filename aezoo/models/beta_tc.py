"""The β-TC-VAE."""

from __future__ import annotations

from typing import Any

import keras

from aezoo import _validation, losses, schedules
from aezoo.models.aggregate import AggregateVAE
from aezoo.models.variational import kl_term
from aezoo.training.batch import Batch
from aezoo.training.forward import Forward


@keras.saving.register_keras_serializable("aezoo")
class BetaTCVAE(AggregateVAE):
    """β-TC-VAE: a VAE with a separate weight on the dependence between code units.

    -E log p(x|z) + α I(x; z) + β KL(q(z)‖∏ⱼ q(zⱼ)) + γ Σⱼ KL(q(zⱼ)‖p(zⱼ)), where q(z) is the mean of q(z|x) over the
    data. With α = β = γ = 1 this is the VAE. The second divergence is the total correlation: it is 0 if the units are
    independent, which is meant to give each factor of the data a unit of its own.

    The three terms are estimated from each batch, so that large batches help: see `aezoo.losses.kl_decomposition`. The
    metric `kl` is their exact sum with weights of 1, and `score_samples` is the negative ELBO.

    Args:
        latent_dim: Number of code units.
        beta: β >= 0, the weight of the total correlation, a number or a schedule by the epoch.
        alpha: α >= 0, the weight of the mutual information of sample and code.
        gamma: γ >= 0, the weight of the divergence of each unit from the prior.
        dataset_size: Number of training samples, for minibatch-stratified sampling; None uses minibatch-weighted
            sampling.
        **kwargs: Arguments of `AggregateVAE`.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import numpy as np
        >>> model = BetaTCVAE(latent_dim=6, beta=6.0, hidden_dims=(64,))
        >>> model.compile(optimizer="adam")
        >>> history = model.fit(np.random.default_rng(0).random((64, 8, 8, 1), "float32"), verbose=0).history
        >>> sorted(history)[2:]
        ['loss', 'mutual_information', 'reconstruction', 'total_correlation', 'unit_kl']

    Reference:
        Chen, Li, Grosse & Duvenaud, "Isolating sources of disentanglement in variational autoencoders", NeurIPS 2018,
        arXiv:1802.04942.
    """

    term_names: tuple[str, ...] = ("reconstruction", "mutual_information", "total_correlation", "unit_kl")
    metric_names: tuple[str, ...] = ("kl", "active_units")

    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        beta: schedules.Schedulable = 6.0,
        alpha: float = 1.0,
        gamma: float = 1.0,
        dataset_size: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(latent_dim, beta=beta, **kwargs)
        _validation.check_at_least("alpha", alpha, 0)
        _validation.check_at_least("gamma", gamma, 0)
        self.alpha, self.gamma = alpha, gamma
        self.dataset_size = None if dataset_size is None else _validation.check_int("dataset_size", dataset_size, 2)

    def penalties(self, batch: Batch, forward: Forward) -> dict[str, Any]:
        mean, log_variance = forward.features
        parts = losses.kl_decomposition(forward.code, mean, log_variance, batch.weight, self.dataset_size)
        weights = self.alpha, self.beta.value, self.gamma
        terms = [weight * batch.mean(part) for weight, part in zip(weights, parts, strict=True)]
        return {**dict(zip(self.term_names[1:], terms, strict=True)), "kl": kl_term(batch, mean, log_variance)}

    @property
    def kl_weight(self) -> float:
        """Weight of the KL divergence in `score_samples`: 1."""
        return 1.0

    def get_config(self) -> dict[str, Any]:
        names = ("alpha", "gamma", "dataset_size")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
