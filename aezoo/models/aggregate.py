"""The base class of variational autoencoders that regularize the aggregate posterior."""

from __future__ import annotations

from typing import Any

from aezoo import _validation
from aezoo.models.variational import VAE


class AggregateVAE(VAE):
    """Variational autoencoder with a penalty of the aggregate posterior q(z), the mean of q(z|x) over the data.

    A variant names its terms, and `penalties` returns all of them except `reconstruction`.

    Args:
        latent_dim: Number of code units.
        **kwargs: Arguments of `VAE`, except those that belong to other bounds: `free_bits`, `importance_samples`,
            `gradient_estimator` and `prior`.

    Raises:
        ValueError: If an argument is out of range, or one of these four is given.

    Example:
        >>> from keras import ops
        >>> class CenteredVAE(AggregateVAE):
        ...     term_names = ("reconstruction", "kl", "center")
        ...     def penalties(self, batch, forward):
        ...         center = ops.sum(ops.square(batch.global_mean(forward.code)))
        ...         return {**super().penalties(batch, forward), "center": batch.per_replica(center)}
        >>> CenteredVAE(latent_dim=2).term_names
        ('reconstruction', 'kl', 'center')
    """

    fixed_arguments: tuple[str, ...] = ("free_bits", "importance_samples", "gradient_estimator", "prior")
    metric_names: tuple[str, ...] = ("active_units",)

    def __init__(self, latent_dim: int | None = None, **kwargs: Any):
        given = dict.fromkeys(kwargs, True)  # also if the value is None
        _validation.check_left_out(self, AggregateVAE.fixed_arguments, given, "has an objective of its own")
        super().__init__(latent_dim, **kwargs)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {name: value for name, value in config.items() if name not in AggregateVAE.fixed_arguments}
