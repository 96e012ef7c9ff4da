"""The denoising autoencoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from aezoo import _validation, losses, schedules
from aezoo._typing import Activation, Self, Shape, Tensor
from aezoo.layers import Corruption, networks
from aezoo.layers.corruption import GivenCorruption, Noise
from aezoo.models.autoencoder import Autoencoder
from aezoo.training.batch import Batch

if TYPE_CHECKING:
    import matplotlib.figure

    from aezoo.cli.defaults import Training


@keras.saving.register_keras_serializable("aezoo")
class DenoisingAE(Autoencoder):
    """Denoising autoencoder: reconstructs x from a corrupted version x̃ ~ C(x̃ given x).

    Inputs are corrupted in training only, not in validation or at inference. The error is the cross-entropy if the
    output is a sigmoid, and the squared error otherwise. With emphasis, it is α times the sum of the errors of
    corrupted features plus β times the sum of the errors of the others.

    Args:
        latent_dim: Number of code units.
        corruption: ν of masking and salt-and-pepper noise, in [0, 1], or σ of Gaussian noise, in units of x; a number
            or an `aezoo.schedules.Schedule`. Ignored if `noise` is a layer or a function.
        noise: "masking", "gaussian" or "salt_and_pepper"; or a Keras layer, which is called with `training=True`; or a
            function x → x̃. To save a model with a function, register it with
            `keras.saving.register_keras_serializable`. To resume bit for bit, a layer must keep its random state in an
            `aezoo.layers.RandomState`, which Keras' own layers do not.
        emphasis: (α, β), or None for (1, 1). Full emphasis is (1, 0). If `noise` is a layer or a function, the
            corrupted features are those that differ from x.
        activation: σ of hidden layers and code.
        **kwargs: Arguments of `Autoencoder`.

    Raises:
        ValueError: If the level is out of range, the noise is unknown, α or β is negative, or emphasis is combined with
            noise="gaussian", which corrupts every feature; in `build`, if the noise changes the shape of x.

    Example:
        >>> model = DenoisingAE(latent_dim=1000, corruption=0.25, noise="masking", emphasis=(1.0, 0.5))
        >>> model = DenoisingAE(latent_dim=1000, noise=keras.layers.SpatialDropout2D(0.3))

    Reference:
        Vincent et al., "Extracting and composing robust features with denoising autoencoders", ICML 2008;
        Vincent et al., "Stacked denoising autoencoders", JMLR 11 (2010), for the emphasis.
    """

    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        corruption: schedules.Schedulable = 0.25,
        noise: Noise | keras.layers.Layer | Callable[[Tensor], Tensor] = "masking",
        emphasis: tuple[float, float] | None = None,
        activation: Activation = "sigmoid",
        **kwargs: Any,
    ):
        super().__init__(latent_dim, activation=activation, **kwargs)
        if isinstance(noise, str):
            self.corruption = Corruption(corruption, noise, seed=self.seed, dtype=self.dtype_policy)
        else:
            self.corruption = GivenCorruption(noise, dtype=self.dtype_policy)
        self._level = schedules.get(corruption)
        if emphasis is not None and (not isinstance(emphasis, (tuple, list)) or len(emphasis) != 2):
            raise ValueError(f"emphasis must be a pair (alpha, beta), but it is {emphasis!r}.")
        self.emphasis = None if emphasis is None else tuple(emphasis)
        if emphasis is not None:
            if isinstance(noise, str) and noise == "gaussian":
                raise ValueError("Gaussian noise corrupts every feature, so emphasis has no effect: leave it out.")
            for name, value in zip(("alpha", "beta"), emphasis, strict=True):
                _validation.check_at_least(f"{name} of emphasis", value, 0)

    @property
    def default_loss(self) -> losses.SquaredError | losses.CrossEntropy:
        sigmoid = networks.output_activation(self.decoder) is keras.activations.sigmoid
        return losses.CrossEntropy() if sigmoid else losses.SquaredError()

    def build(self, input_shape: Shape | Any) -> None:
        super().build(input_shape)
        if isinstance(self.corruption, GivenCorruption):
            self.corruption.corrupt(self.dummy_inputs(2))  # raises a ValueError if it changes the shape

    def objective(self, batch: Batch, training: bool) -> tuple[dict[str, Any], Any]:
        if not training:
            return super().objective(batch, training)
        noisy, corrupted = self.corruption.corrupt(batch.x)
        y_pred = self.run_decoder(self.run_encoder(noisy, batch.conditions, True), batch.conditions, True)
        emphasis = None if self.emphasis is None else ops.where(corrupted, *map(float, self.emphasis))
        return {"reconstruction": self.reconstruction(batch, y_pred, emphasis)}, y_pred

    # === Self-description ===

    @classmethod
    def cli_defaults(cls, training: Training) -> dict[str, Any]:
        return {**super().cli_defaults(training), "latent_dim": training.latent_dim}

    def report_pictures(self, x: np.ndarray) -> dict[str, Callable[[], matplotlib.figure.Figure]]:
        from aezoo import plots

        def reconstructions() -> matplotlib.figure.Figure:
            return plots.reconstructions(self, x, corrupted=self.corruption(x, training=True))

        return {**super().report_pictures(x), "reconstructions.png": reconstructions}

    def get_config(self) -> dict[str, Any]:
        noise = self.corruption.noise
        return {
            **super().get_config(),
            "corruption": schedules.serialize(self._level),
            "noise": noise if isinstance(noise, str) else keras.saving.serialize_keras_object(noise),
            "emphasis": self.emphasis,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:  # type: ignore[override]
        """Create a model from the result of `get_config`."""
        if isinstance(config.get("noise"), dict):
            config = {**config, "noise": keras.saving.deserialize_keras_object(config["noise"])}
        return super().from_config(config)
