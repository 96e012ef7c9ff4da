"""The k-sparse autoencoder."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from aezoo import _validation, losses, schedules
from aezoo._numerics import sum_over_replicas
from aezoo._typing import Activation, Self, Shape, Tensor
from aezoo.layers import TopK, networks
from aezoo.layers._selection import DenseSelection, RowSelection
from aezoo.models.autoencoder import Autoencoder
from aezoo.training.batch import Batch

if TYPE_CHECKING:
    from aezoo.cli.defaults import Training


@keras.saving.register_keras_serializable("aezoo")
class KSparseAE(Autoencoder):
    """z = Wx + b, of which only the k largest units stay; x' = Wᵀz + b'.

    The error flows back through the units that stay. k may fall in training, so that every unit learns before few
    are used; round(αk) units stay at inference, validation included: while k falls in training, the validation error is
    that of the smaller k, and lies above the training error without any overfitting.

    Against dead units, AuxK adds w_aux ‖e - ê‖²: the error e = x - x' is modelled by the k_aux largest of those units
    that no sample has used for a while. ê is what their code adds to the decoder's output, so that for the linear
    decoder of the paper it is W'z_aux. Codes may be negative here, where Gao et al. have none: units that are far below
    zero can fit the error with negative codes, and stay dead.

    Where the networks are the model's own, dense, and their output linear, `fit` starts from the mean x̄ of the data, as
    Gao et al. do: z = W(x - x̄) + b, and b' = x̄. That is z = Wx + b with another initial b, but here b needs not follow
    W: with data far from 0 the mean would choose the same few units for every sample, and the others would die.

    The units of a code of several axes, that of an encoder of your own, are all its entries: of (4, 4, 16), k of 256.

    Args:
        latent_dim: Number of code units.
        k: Number of units that stay, at most `latent_dim`.
        k_schedule: k in training by the epoch, an `aezoo.schedules.Schedule`; None keeps it at k.
        alpha: α >= 1.
        aux_weight: w_aux >= 0; 0 leaves AuxK out, Gao et al. use 1/32.
        aux_k: k_aux; None takes half the number of features, as Gao et al. do, or all units if they are fewer.
        dead_after: A unit is dead once this many samples have not used it; samples of weight 0 do not count.
        by_rows: Whether a training step goes through the rows of W and W' of the active units alone, in place of
            products with all of them: the same gradients for less work and memory where k is a small part of the code.
            With `aezoo.optimizers.LazyAdam` the update touches no other rows either. None does so where there are
            networks of the model's own and 64 units or more to each that stays, and at least 4096.
        centered: Whether the encoder subtracts x̄; None does where it can.
        code_activation: σ of the code before the k largest are chosen.
        output_activation: σ' of the reconstruction.
        tied: Whether W' = Wᵀ; None ties where no decoder and no filters are given.
        **kwargs: Those of `Autoencoder`.

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
            **kwargs,
        )
        _validation.check_at_least("aux_weight", aux_weight, 0)
        _validation.check_int("dead_after", dead_after, 1)
        if aux_k is not None:
            _validation.check_int("aux_k", aux_k, 1)
        self.top_k = TopK(k, k_schedule, alpha, dtype=self.dtype_policy)
        if latent_dim is not None:
            self.top_k.check(latent_dim)
        own = kwargs.get("encoder") is None and kwargs.get("decoder") is None
        if by_rows and not own:
            raise ValueError("by_rows=True needs layers of its own: leave out encoder and decoder.")
        if by_rows is None:
            most = max(self.top_k.k_at_inference, self.top_k.k_in_training.schedule.maximum)
            by_rows = own and latent_dim is not None and latent_dim >= max(4096, 64 * most)
        linear = keras.activations.get(output_activation) is keras.activations.linear
        can_center = own and not kwargs.get("filters") and linear
        if centered and not can_center:
            raise ValueError(
                "centered=True needs dense networks of the model's own and a linear output: leave out encoder, decoder "
                "and filters, and keep output_activation='linear'."
            )
        self.by_rows = by_rows
        self.centered = can_center if centered is None else centered
        self.aux_weight = aux_weight
        self.aux_k = aux_k
        self.dead_after = dead_after

    @property
    def term_names(self) -> tuple[str, ...]:
        return ("reconstruction", "auxiliary") if self.aux_weight else ("reconstruction",)

    def code_layers(self) -> list[keras.layers.Layer]:
        return [self.top_k]

    def build(self, input_shape: Shape | Any) -> None:
        super().build(input_shape)
        if self.aux_weight:
            self.samples_since_active = self.add_weight(
                shape=self.code_shape,
                initializer="zeros",
                trainable=False,
                name="samples_since_active",
                aggregation="only_first_replica",
            )

    def build_encoder(self, x_shape: Shape) -> keras.Model:
        return super().build_encoder(x_shape, rows=self.by_rows, centered=self.centered)

    def build_decoder(self, x_shape: Shape) -> keras.Model:
        return super().build_decoder(x_shape, rows=self.by_rows)

    def initialize_from(self, x: np.ndarray) -> None:
        """Sets the mean that the encoder subtracts, and which the decoder starts with, to that of the data."""
        last = [layer for layer in self.decoder.layers if hasattr(layer, "kernel")][-1]
        if self.centered and not np.any(self.encoder.layers[0].layers[0].mean) and not np.any(last.bias):
            mean = np.mean(x, axis=0, dtype="float64")
            self.encoder.layers[0].layers[0].mean.assign(mean.ravel())
            last.bias.assign(mean.ravel())

    def objective(self, batch: Batch, training: bool) -> tuple[dict[str, Any], Any]:
        if not self.aux_weight and not self.by_rows:
            return super().objective(batch, training)
        encoder = self.encoder.layers[0]  # before the top k
        units: DenseSelection | RowSelection
        if self.by_rows:
            units = RowSelection(batch.x, encoder, self.decoder, training)
        else:
            units = DenseSelection(batch.x, encoder, self.decoder, training)
        code = units.largest(units.z, *self.top_k.numbers(math.prod(self.code_shape), training))
        # Before the pass that counts: the losses of a network's layers are those of its last call.
        estimate = self._error_estimate(units) if self.aux_weight else None
        y_pred = units.decode(code)
        terms = {"reconstruction": self.reconstruction(batch, y_pred)}
        if self.aux_weight:
            error = ops.stop_gradient(batch.y - y_pred)
            auxiliary = losses.per_sample(losses.SquaredError(), error, estimate, observed=batch.mask)[0]
            any_dead = ops.cast(ops.any(self._dead()), auxiliary.dtype)
            terms["auxiliary"] = self.aux_weight * batch.mean(auxiliary * any_dead)
            if training:
                self._count_uses(batch, units, code)
        return terms, y_pred

    def _dead(self) -> Tensor:
        return self.samples_since_active >= self.dead_after

    def _error_estimate(self, units: DenseSelection | RowSelection) -> Tensor:
        """ê of each sample, (batch, *input_shape)."""
        z = units.z
        most = max(1, math.prod(self.x_shape) // 2) if self.aux_k is None else self.aux_k
        aux_k = min(math.prod(self.code_shape), most)
        code = units.largest(ops.where(self._dead(), z, ops.full_like(z, z.dtype.min)), aux_k, aux_k)
        return units.addition(code)

    def _count_uses(self, batch: Batch, units: DenseSelection | RowSelection, code: Tensor) -> None:
        """Counts the samples since each unit was last used; samples of weight 0 are none."""
        uses = sum_over_replicas(units.uses(code, batch.counted))
        idle = self.samples_since_active + batch.counted_size
        self.samples_since_active.assign(ops.where(uses > 0, 0.0, idle))

    @classmethod
    def cli_defaults(cls, training: Training) -> dict[str, Any]:
        """Return 25 of 1000 units as in the paper, but at least 5; k falls over the first half of the epochs.

        AuxK, which the paper lacks: without it a fifth of the units dies on digits, a third in three epochs on MNIST.
        """
        units = training.given.get("latent_dim", training.latent_dim)
        k = training.given.get("k", min(units, max(5, units // 40)))
        return {
            "latent_dim": units,
            "k": k,
            "k_schedule": schedules.Linear(max(k, min(units, 4 * k)), k, max(1, training.epochs // 2)),
            "aux_weight": 1 / 32,
            "dead_after": min(10_000, training.samples),
        }

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "k": self.top_k.k,
            "k_schedule": schedules.serialize(self.top_k.k_in_training.schedule),
            "alpha": self.top_k.alpha,
            "aux_weight": self.aux_weight,
            "aux_k": self.aux_k,
            "dead_after": self.dead_after,
            "by_rows": self.by_rows,
            "centered": self.centered,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:  # type: ignore[override]
        """Makes a model from what `get_config` returned; files that do not know `centered` subtract nothing."""
        return super().from_config({"centered": False, **config})
