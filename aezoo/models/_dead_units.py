"""The part that TopK autoencoders share: dead units are counted and learn from the error that the others leave."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import tensorflow as tf
from keras import ops

from aezoo import _validation, losses
from aezoo._numerics import as_float32, sum_over_replicas
from aezoo._typing import Shape, Tensor
from aezoo.layers._selection import DenseSelection, RowSelection
from aezoo.models.autoencoder import Autoencoder
from aezoo.training.batch import Batch

if TYPE_CHECKING:
    from aezoo.cli.defaults import Training


class RevivesDeadUnits(Autoencoder):
    """Autoencoder whose code has few active units, with AuxK against dead units.

    AuxK adds w_aux ‖e - ê‖²: it models the error e = y - x' by the k_aux largest of the units that no sample has used
    for a while. ê is the change of the decoder's output that their code causes, W'z_aux for a linear decoder.

    Args:
        latent_dim: Number of code units.
        aux_weight: w_aux >= 0; 0 disables AuxK. Gao et al. use 1/32.
        aux_k: k_aux; None takes half the number of features, as Gao et al. do, or all units if they are fewer.
        dead_after: A unit is dead after this many samples in a row have not used it; samples of weight 0 do not count.
        **kwargs: Arguments of `Autoencoder`.

    Raises:
        ValueError: If an argument is out of range.

    Reference:
        Gao et al., "Scaling and evaluating sparse autoencoders", 2024, arXiv:2406.04093.
    """

    by_rows: bool = False
    relative_auxiliary: bool = False
    """True to divide AuxK by the mean of ‖e‖² over the batch, so that it keeps its weight while the error falls."""

    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        aux_weight: float = 0.0,
        aux_k: int | None = None,
        dead_after: int = 10_000,
        **kwargs: Any,
    ):
        super().__init__(latent_dim, **kwargs)
        _validation.check_at_least("aux_weight", aux_weight, 0)
        _validation.check_int("dead_after", dead_after, 1)
        if aux_k is not None:
            _validation.check_int("aux_k", aux_k, 1)
        self.aux_weight = aux_weight
        self.aux_k = aux_k
        self.dead_after = dead_after

    @property
    def term_names(self) -> tuple[str, ...]:
        return ("reconstruction", "auxiliary") if self.aux_weight else ("reconstruction",)

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

    def active_code(self, units: DenseSelection | RowSelection, batch: Batch, training: bool) -> Any:
        """Return the code of a step, in the form of `units`.

        Args:
            units: The activations of all units.
            batch: The batch.
            training: Whether this is a training step.
        """
        raise NotImplementedError

    def further_terms(self, units: DenseSelection | RowSelection, code: Any, batch: Batch, training: bool) -> Any:
        """Return the terms and metrics of a variant by name, besides "reconstruction" and "auxiliary"."""
        return {}

    def objective(self, batch: Batch, training: bool) -> tuple[dict[str, Any], Any]:
        encoder = self.encoder.layers[0]  # without the layer that selects units
        units: DenseSelection | RowSelection
        if self.by_rows:
            units = RowSelection(batch.x, encoder, self.decoder, training)
        else:
            units = DenseSelection(batch.x, encoder, self.decoder, training)
        code = self.active_code(units, batch, training)
        # Before the pass that counts: Keras keeps the losses of a network's layers from the last call.
        estimate = self._error_estimate(units, batch) if self.aux_weight else None
        further = self.further_terms(units, code, batch, training)
        y_pred = units.decode(code)
        terms = {"reconstruction": self.reconstruction(batch, y_pred), **further}
        if self.aux_weight:
            error = ops.stop_gradient(batch.y - y_pred)
            auxiliary = losses.per_sample(self.default_loss, error, estimate, observed=batch.mask)[0]
            if self.relative_auxiliary:
                zeros = ops.zeros_like(error)
                whole = losses.per_sample(self.default_loss, error, zeros, observed=batch.mask)[0]
                auxiliary = ops.divide_no_nan(auxiliary, batch.global_mean(whole))
            any_dead = ops.cast(ops.any(self._dead()), auxiliary.dtype)
            terms["auxiliary"] = self.aux_weight * batch.mean(auxiliary * any_dead)
            if training:
                self._count_uses(batch, units, code)
        return terms, y_pred

    def _dead(self) -> Tensor:
        return self.samples_since_active >= self.dead_after

    def _error_estimate(self, units: DenseSelection | RowSelection, batch: Batch) -> Tensor:
        """Return ê of each sample, (batch, *output_shape) float32: 0 while no unit is dead."""
        dead, z = self._dead(), units.z
        most = max(1, math.prod(self.y_shape) // 2) if self.aux_k is None else self.aux_k
        aux_k = min(math.prod(self.code_shape), most)

        def estimate() -> Tensor:
            code = units.largest(ops.where(dead, z, ops.full_like(z, z.dtype.min)), aux_k, aux_k)
            return as_float32(units.addition(code))

        if self.by_rows:  # a conditional would make the gradient of a few rows one of all rows
            return estimate()
        return tf.cond(ops.any(dead), estimate, lambda: ops.zeros_like(as_float32(batch.y)))

    def _count_uses(self, batch: Batch, units: DenseSelection | RowSelection, code: Tensor) -> None:
        """Count the samples since each unit was last used, without samples of weight 0."""
        uses = sum_over_replicas(units.uses(code, batch.counted))
        idle = self.samples_since_active + batch.counted_size
        self.samples_since_active.assign(ops.where(uses > 0, 0.0, idle))

    @classmethod
    def cli_defaults(cls, training: Training) -> dict[str, Any]:
        """Return defaults with k = 25 of 1000 units, and at least 5."""
        units = training.given.get("latent_dim", training.latent_dim)
        k = training.given.get("k", min(units, max(5, units // 40)))
        return {"latent_dim": units, "k": k, "dead_after": min(10_000, training.samples)}

    def get_config(self) -> dict[str, Any]:
        names = ("aux_weight", "aux_k", "dead_after")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
