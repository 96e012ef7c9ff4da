"""The BatchTopK autoencoder."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from aezoo.layers import BatchTopK
from aezoo.layers._selection import DenseSelection, RowSelection
from aezoo.models._dead_units import RevivesDeadUnits
from aezoo.models.sparse_code import SparseCodeAE
from aezoo.training.batch import Batch


@keras.saving.register_keras_serializable("aezoo")
class BatchTopKAE(RevivesDeadUnits, SparseCodeAE):
    """BatchTopK autoencoder: z keeps the k · batch largest activations of a batch, so that samples share k units.

    The activations are ReLU(W(x - x̄)/s + b), and y' = ȳ + s'(Ŵᵀz + b') with ‖ŵⱼ‖ = 1; `SparseCodeAE` describes what all
    sparse codes of this kind share. A sample that needs more units gets them from one that needs fewer.

    At inference and in validation, a code must not depend on the other samples: it keeps all activations from a
    threshold θ on, a running mean of the smallest activation that training kept. θ is saved with the model. The metric
    `l0` is the mean number of active units: k in training; in validation it shows how well θ fits.

    Args:
        latent_dim: Number of code units, usually larger than the number of features.
        k: Number of active units per sample, on average over a training batch.
        aux_weight: w_aux >= 0; 0 disables AuxK.
        **kwargs: Arguments of `RevivesDeadUnits` and `SparseCodeAE`.

    Raises:
        ValueError: If k exceeds the number of units, or an argument is out of range.

    Example:
        >>> import numpy as np
        >>> model = BatchTopKAE(latent_dim=64, k=4)
        >>> model.compile(optimizer="adam")
        >>> x = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")
        >>> model.fit(x, verbose=0).history["l0"]
        [4.0]
        >>> model.threshold > 0
        True

    Reference:
        Bussmann et al., "BatchTopK sparse autoencoders", 2024, arXiv:2412.06410.
    """

    pre_activation = "relu"
    relative_auxiliary = True
    metric_names: tuple[str, ...] = ("l0",)

    def __init__(self, latent_dim: int | None = None, *, k: float = 32, aux_weight: float = 1 / 32, **kwargs: Any):
        super().__init__(latent_dim, aux_weight=aux_weight, **kwargs)
        self.batch_top_k = BatchTopK(k, dtype=self.dtype_policy)
        self.batch_top_k.check(self.latent_dim)

    @property
    def threshold(self) -> float:
        """θ, the smallest activation that is kept at inference, in units of (x - x̄)/s."""
        return float(self.batch_top_k.threshold.numpy())

    def code_layers(self) -> list[keras.layers.Layer]:
        return [self.batch_top_k]

    def active_code(self, units: DenseSelection | RowSelection, batch: Batch, training: bool) -> Any:
        return self.batch_top_k.select(units.z, batch.weight) if training else self.batch_top_k(units.z)

    def further_terms(self, units: DenseSelection | RowSelection, code: Any, batch: Batch, training: bool) -> Any:
        return {"l0": batch.mean(ops.count_nonzero(code, axis=1))}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "k": self.batch_top_k.k}
