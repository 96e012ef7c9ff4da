"""The denoising autoencoder."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from aezoo import _validation, losses, schedules
from aezoo.layers import Corruption, networks
from aezoo.models.autoencoder import Autoencoder
from aezoo.training.batch import Batch


@keras.saving.register_keras_serializable("aezoo")
class DenoisingAE(Autoencoder):
    """Reconstructs x from a corrupted x̃ ~ C(x̃ given x): what is robust to the noise is a good representation.

    Nothing is corrupted at inference, validation included. The error is the cross-entropy where the output is a
    sigmoid, the squared error otherwise. With emphasis it is α Σ_{corrupted} + β Σ_{others} of the features' errors.

    Args:
        latent_dim: Number of code units.
        corruption: ν of masking and salt-and-pepper noise, in [0, 1], or σ of gaussian noise, in units of x; a number
            or an `aezoo.schedules.Schedule`.
        noise: "masking", "gaussian" or "salt_and_pepper".
        emphasis: (α, β), or None for (1, 1). Full emphasis is (1, 0).
        activation: σ of hidden layers and code.
        **kwargs: Those of `Autoencoder`.

    Raises:
        ValueError: If the level is out of range, the noise unknown, or α or β negative; or if emphasis is asked of
            gaussian noise, which corrupts every feature.

    Example:
        >>> model = DenoisingAE(latent_dim=1000, corruption=0.25, noise="masking", emphasis=(1.0, 0.5))

    Reference:
        Vincent et al., "Extracting and composing robust features with denoising autoencoders", ICML 2008;
        Vincent et al., "Stacked denoising autoencoders", JMLR 11 (2010), for the emphasis.
    """

    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        corruption: float | schedules.Schedule = 0.25,
        noise: str = "masking",
        emphasis: tuple[float, float] | None = None,
        activation: Any = "sigmoid",
        **kwargs: Any,
    ):
        super().__init__(latent_dim, activation=activation, **kwargs)
        self.corruption = Corruption(corruption, noise, seed=self.seed, dtype=self.dtype_policy)
        if emphasis is not None and (not isinstance(emphasis, (tuple, list)) or len(emphasis) != 2):
            raise ValueError(f"emphasis must be a pair (alpha, beta), but it is {emphasis!r}.")
        self.emphasis = None if emphasis is None else tuple(emphasis)
        if emphasis is not None:
            if noise == "gaussian":
                raise ValueError("Gaussian noise corrupts every feature: emphasis has nothing to tell apart.")
            for name, value in zip(("alpha", "beta"), emphasis, strict=True):
                _validation.check_at_least(f"{name} of emphasis", value, 0)

    @property
    def default_loss(self) -> losses.SquaredError | losses.CrossEntropy:
        sigmoid = networks.output_activation(self.decoder) is keras.activations.sigmoid
        return losses.CrossEntropy() if sigmoid else losses.SquaredError()

    def objective(self, batch: Batch, training: bool) -> tuple[dict[str, Any], Any]:
        if not training:
            return super().objective(batch, training)
        noisy, corrupted = self.corruption.corrupt(batch.x)
        y_pred = self.run_decoder(self.run_encoder(noisy, batch.conditions, True), batch.conditions, True)
        emphasis = None if self.emphasis is None else ops.where(corrupted, *map(float, self.emphasis))
        return {"reconstruction": self.reconstruction(batch, y_pred, emphasis)}, y_pred

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "corruption": schedules.serialize(self.corruption.level.schedule),
            "noise": self.corruption.noise,
            "emphasis": self.emphasis,
        }
