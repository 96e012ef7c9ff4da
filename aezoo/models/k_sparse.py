"""The k-sparse autoencoder."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from aezoo import schedules
from aezoo._typing import Activation, Self, Shape
from aezoo.layers import TopK, networks
from aezoo.layers._selection import DenseSelection, RowSelection
from aezoo.layers._unit_rows import gains_from_rows
from aezoo.models._dead_units import RevivesDeadUnits
from aezoo.models.autoencoder import Autoencoder
from aezoo.training.batch import Batch

if TYPE_CHECKING:
    from aezoo.cli.defaults import Training


@keras.saving.register_keras_serializable("aezoo")
class KSparseAE(RevivesDeadUnits):
    """k-sparse autoencoder: z = Wx + b with all but the k largest units set to 0, x' = Wᵀz + b'.

    Gradients flow through the k active units only. k may decrease during training, so that every unit learns before
    only a few are active. At inference and in validation, round(αk) units are active: while k decreases in training,
    the validation error already uses the final k and is higher than the training error, without any overfitting.

    To revive dead units, AuxK adds w_aux ‖e - ê‖²: it models the error e = x - x' by the k_aux largest of the units
    that no sample has used for a while. ê is the change of the decoder's output that their code causes, W'z_aux for the
    linear decoder of the paper. Codes may be negative here, unlike in Gao et al.: units that are far below zero can fit
    the error with negative codes and stay dead.

    If the model builds its networks, they are dense, and the output is linear, `fit` starts from the mean x̄ of the
    data, as in Gao et al.: z = W(x - x̄) + b and b' = x̄. This equals z = Wx + b with another initial b, but b need not
    follow W: with data far from 0, the mean would choose the same few units for every sample, and the others would die.

    If the code of an encoder that you pass has several axes, all its entries are units: k of 256 for (4, 4, 16).

    Args:
        latent_dim: Number of code units.
        k: Number of active units per sample, at most `latent_dim`.
        k_schedule: k in training, an `aezoo.schedules.Schedule` by the epoch; None keeps it at k.
        alpha: α >= 1.
        aux_weight: w_aux >= 0; 0 disables AuxK. Gao et al. use 1/32.
        aux_k: k_aux; None takes half the number of features, as Gao et al. do, or all units if they are fewer.
        dead_after: A unit is dead after this many samples in a row have not used it; samples of weight 0 do not count.
        by_rows: Whether a training step computes with only those rows of W and W' that belong to active units, which
            yields the same gradients with less work and memory if k is a small part of the code. With
            `aezoo.optimizers.LazyAdam` the update, too, changes only these rows. None does so if the model builds its
            networks, `latent_dim >= 4096` and `latent_dim / k >= 256`.
        centered: Whether the encoder subtracts x̄; None does if the networks permit it.
        code_activation: σ of the code before the k largest are chosen.
        output_activation: σ' of the reconstruction.
        tied: Whether W' = Wᵀ; None ties the weights if no decoder, filters or normalization are given.
        **kwargs: Arguments of `Autoencoder`.

    Raises:
        ValueError: If k, here or in the schedule, exceeds the number of units, or an argument is out of range.

    Example:
        >>> from aezoo.schedules import Linear
        >>> model = KSparseAE(latent_dim=1000, k=25, k_schedule=Linear(start=100, end=25, epochs=20))

    Reference:
        Makhzani & Frey, "k-Sparse Autoencoders", 2013, arXiv:1312.5663;
        Gao et al., "Scaling and evaluating sparse autoencoders", 2024, arXiv:2406.04093, for AuxK.
    """

    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        k: int = 25,
        k_schedule: schedules.Schedulable | None = None,
        alpha: float = 1.0,
        aux_weight: float = 0.0,
        aux_k: int | None = None,
        dead_after: int = 10_000,
        by_rows: bool | None = None,
        centered: bool | None = None,
        code_activation: Activation | None = "linear",
        output_activation: Activation = "linear",
        tied: bool | None = None,
        **kwargs: Any,
    ):
        tied = networks.can_tie(kwargs) if tied is None else tied
        super().__init__(
            latent_dim,
            code_activation=code_activation,
            output_activation=output_activation,
            tied=tied,
            aux_weight=aux_weight,
            aux_k=aux_k,
            dead_after=dead_after,
            **kwargs,
        )
        self.top_k = TopK(k, k_schedule, alpha, dtype=self.dtype_policy)
        if latent_dim is not None:
            self.top_k.check(latent_dim)
        own = kwargs.get("encoder") is None and kwargs.get("decoder") is None
        if by_rows and not own:
            raise ValueError("by_rows=True requires networks that the model builds: leave out encoder and decoder.")
        if by_rows is None:
            most = max(self.top_k.k_at_inference, self.top_k.k_in_training.schedule.maximum)
            by_rows = own and latent_dim is not None and gains_from_rows(latent_dim, most)
        linear = keras.activations.get(output_activation) is keras.activations.linear
        can_center = own and not kwargs.get("filters") and linear
        if centered and not can_center:
            raise ValueError(
                "centered=True requires dense networks that the model builds and a linear output: leave out encoder, "
                "decoder and filters, and keep output_activation='linear'."
            )
        self.by_rows = by_rows
        self.centered = can_center if centered is None else centered

    def code_layers(self) -> list[keras.layers.Layer]:
        return [self.top_k]

    def build_encoder(self, x_shape: Shape) -> keras.Model:
        return super().build_encoder(x_shape, rows=self.by_rows, centered=self.centered)

    def build_decoder(self, x_shape: Shape) -> keras.Model:
        return super().build_decoder(x_shape, rows=self.by_rows)

    def initialize_from(self, x: np.ndarray, y: np.ndarray | None = None) -> None:
        """Set the mean that the encoder subtracts, and the decoder's initial bias, to the mean of the data.

        The bias starts at the mean of targets of another shape, and else of the samples.
        """
        last = [layer for layer in self.decoder.layers if hasattr(layer, "kernel")][-1]
        if self.centered and not np.any(self.encoder.layers[0].layers[0].mean) and not np.any(last.bias):
            y = x if y is None or y.shape == x.shape else y
            self.encoder.layers[0].layers[0].mean.assign(np.mean(x, axis=0, dtype="float64").ravel())
            last.bias.assign(np.nanmean(y, axis=0, dtype="float64").ravel())

    def objective(self, batch: Batch, training: bool) -> tuple[dict[str, Any], Any]:
        if not self.aux_weight and not self.by_rows:
            return Autoencoder.objective(self, batch, training)
        return super().objective(batch, training)

    def active_code(self, units: DenseSelection | RowSelection, batch: Batch, training: bool) -> Any:
        return units.largest(units.z, *self.top_k.numbers(math.prod(self.code_shape), training))

    @classmethod
    def cli_defaults(cls, training: Training) -> dict[str, Any]:
        """Return defaults with k = 25 of 1000 units as in the paper, and at least 5; k falls over half of the epochs.

        AuxK, which the paper lacks, is on: without it, a fifth of the units dies on the digits, and a third on MNIST
        within three epochs.
        """
        defaults = super().cli_defaults(training)
        k, units = defaults["k"], defaults["latent_dim"]
        k_schedule = schedules.Linear(max(k, min(units, 4 * k)), k, max(1, training.epochs // 2))
        return {**defaults, "k_schedule": k_schedule, "aux_weight": 1 / 32}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "k": self.top_k.k,
            "k_schedule": schedules.serialize(self.top_k.k_in_training.schedule),
            "alpha": self.top_k.alpha,
            "by_rows": self.by_rows,
            "centered": self.centered,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:  # type: ignore[override]
        """Create a model from the result of `get_config`; files without an entry `centered` subtract nothing."""
        return super().from_config({"centered": False, **config})
