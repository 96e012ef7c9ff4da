"""The TopK autoencoder."""

from __future__ import annotations

import math
from typing import Any

import keras

from aezoo import _validation
from aezoo.layers import TopK
from aezoo.layers._selection import DenseSelection, RowSelection
from aezoo.layers._unit_rows import gains_from_rows
from aezoo.models._dead_units import RevivesDeadUnits
from aezoo.models.sparse_code import SparseCodeAE
from aezoo.training.batch import Batch

_MULTI = 4  # Multi-TopK uses this many times k units


@keras.saving.register_keras_serializable("aezoo")
class TopKAE(RevivesDeadUnits, SparseCodeAE):
    """TopK autoencoder: z keeps the k largest entries of ReLU(W(x - x̄)/s + b), y' = ȳ + s'(Ŵᵀz + b'), ‖ŵⱼ‖ = 1.

    It differs from `KSparseAE` by the training recipe of Gao et al.: data of mean 0 and mean squared norm 1, W that
    starts as the transpose of the dictionary, dictionary rows of norm 1 whose gradient is projected, a ReLU before the
    selection, and AuxK against dead units, divided by the error of the batch as in the authors' code. `SparseCodeAE`
    describes what all sparse codes of this kind share.

    Multi-TopK adds w_multi times the error of a second code with 4k active units, so that the model also reconstructs
    with more units than it is trained for.

    Args:
        latent_dim: Number of code units, usually larger than the number of features.
        k: Number of active units per sample, at most `latent_dim`.
        multi_weight: w_multi >= 0; 0 disables Multi-TopK. Gao et al. use 1/8.
        aux_weight: w_aux >= 0; 0 disables AuxK.
        by_rows: Whether a training step computes with only those rows of W and Ŵ that belong to active units; see
            `KSparseAE`. None does so if `latent_dim >= 4096` and `latent_dim / k >= 256`.
        **kwargs: Arguments of `RevivesDeadUnits` and `SparseCodeAE`.

    Raises:
        ValueError: If k exceeds the number of units, or an argument is out of range.

    Example:
        >>> import numpy as np
        >>> model = TopKAE(latent_dim=64, k=4)
        >>> model.compile(optimizer="adam")
        >>> x = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")
        >>> history = model.fit(x, verbose=0)
        >>> int(np.count_nonzero(model.encode(x), axis=1).max())
        4

    Reference:
        Gao et al., "Scaling and evaluating sparse autoencoders", 2024, arXiv:2406.04093.
    """

    pre_activation = "relu"
    relative_auxiliary = True

    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        k: int = 32,
        multi_weight: float = 0.0,
        aux_weight: float = 1 / 32,
        by_rows: bool | None = None,
        **kwargs: Any,
    ):
        super().__init__(latent_dim, aux_weight=aux_weight, **kwargs)
        _validation.check_at_least("multi_weight", multi_weight, 0)
        self.top_k = TopK(k, dtype=self.dtype_policy)
        self.top_k.check(self.latent_dim)
        self.multi_weight = multi_weight
        self.by_rows = gains_from_rows(self.latent_dim, k) if by_rows is None else by_rows

    @property
    def term_names(self) -> tuple[str, ...]:
        return (*super().term_names, "multi") if self.multi_weight else super().term_names

    def code_layers(self) -> list[keras.layers.Layer]:
        return [self.top_k]

    def active_code(self, units: DenseSelection | RowSelection, batch: Batch, training: bool) -> Any:
        return units.largest(units.z, self.top_k.k, self.top_k.k)

    def further_terms(self, units: DenseSelection | RowSelection, code: Any, batch: Batch, training: bool) -> Any:
        if not self.multi_weight:
            return {}
        k = min(_MULTI * self.top_k.k, math.prod(self.code_shape))
        y_pred = units.decode(units.largest(units.z, k, k))
        return {"multi": self.multi_weight * self.reconstruction(batch, y_pred)}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "k": self.top_k.k,
            "multi_weight": self.multi_weight,
            "by_rows": self.by_rows,
        }
