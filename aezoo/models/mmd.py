"""The MMD-VAE."""

from __future__ import annotations

from typing import Any

import keras

from aezoo import _validation, losses, schedules
from aezoo.models.aggregate import AggregateVAE
from aezoo.training.batch import Batch
from aezoo.training.forward import Forward


@keras.saving.register_keras_serializable("aezoo")
class MMDVAE(AggregateVAE):
    """MMD-VAE (InfoVAE): -E log p(x|z) + β KL(q(z|x)‖p(z)) + λ MMD²(q(z)‖p(z)) with p(z) = N(0, I).

    The KL divergence pulls the code of each sample to the prior, and so costs information about x. The maximum mean
    discrepancy only asks that the codes of all samples together look like draws from the prior: with the default β = 0,
    the model has no reason to ignore its code. The paper writes 1 - α for β, and α + λ - 1 for λ.

    With β = 0 this is also the objective of the Wasserstein autoencoder (WAE-MMD), whose encoder has no noise: here the
    noise may shrink to 0. `aezoo.losses.maximum_mean_discrepancy` defines the kernel.

    Args:
        latent_dim: Number of code units.
        weight: λ >= 0, a number or a schedule by the epoch. MMD² is at most 2, while the reconstruction error is a sum
            over features, so λ must be large.
        beta: β >= 0, a number or a schedule by the epoch.
        **kwargs: Arguments of `AggregateVAE`.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import numpy as np
        >>> model = MMDVAE(latent_dim=6, hidden_dims=(64,))
        >>> model.compile(optimizer="adam")
        >>> history = model.fit(np.random.default_rng(0).random((64, 8, 8, 1), "float32"), verbose=0).history
        >>> sorted(history)
        ['active_units', 'kl', 'loss', 'mmd', 'reconstruction']

    Reference:
        Zhao, Song & Ermon, "InfoVAE: balancing learning and inference in variational autoencoders", AAAI 2019,
        arXiv:1706.02262; Tolstikhin, Bousquet, Gelly & Schölkopf, "Wasserstein auto-encoders", ICLR 2018,
        arXiv:1711.01558.
    """

    term_names: tuple[str, ...] = ("reconstruction", "kl", "mmd")

    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        weight: schedules.Schedulable = 1000.0,
        beta: schedules.Schedulable = 0.0,
        **kwargs: Any,
    ):
        super().__init__(latent_dim, beta=beta, **kwargs)
        self.weight = schedules.Scheduled(weight)
        _validation.check_at_least("weight", self.weight.schedule.minimum, 0)

    def penalties(self, batch: Batch, forward: Forward) -> dict[str, Any]:
        discrepancy = batch.mean(losses.maximum_mean_discrepancy(forward.code, batch.weight))
        return {**super().penalties(batch, forward), "mmd": self.weight.value * discrepancy}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weight": schedules.serialize(self.weight.schedule)}
