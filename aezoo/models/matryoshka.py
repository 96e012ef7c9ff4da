"""The Matryoshka autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from aezoo import _validation
from aezoo.layers._selection import DenseSelection, RowSelection
from aezoo.models.batch_top_k import BatchTopKAE
from aezoo.training.batch import Batch

#: The first units of each level but the last, as shares of all: groups of 1/32, 1/16, 1/8, 1/4 and the rest.
_SHARES = (1 / 32, 3 / 32, 7 / 32, 15 / 32)


@keras.saving.register_keras_serializable("aezoo")
class MatryoshkaAE(BatchTopKAE):
    """Matryoshka autoencoder: Σₘ ‖y - y'ₘ‖², where y'ₘ uses the first m units of a code only, for several levels m.

    A code is selected as in `BatchTopKAE`, once for all levels. Since the first units must reconstruct without
    the others, they learn general features, and later units learn details; a general feature cannot be absorbed by the
    more specific ones that imply it.

    The term `reconstruction` is the error of the whole code, `prefixes` the sum of the errors of the other levels.

    Args:
        latent_dim: Number of code units, usually larger than the number of features.
        levels: Increasing numbers of units; the last one is `latent_dim`. None takes 1/32, 3/32, 7/32, 15/32 and all of
            the units.
        **kwargs: Arguments of `BatchTopKAE`.

    Raises:
        ValueError: If the levels do not increase or do not end with `latent_dim`, or an argument is out of range.

    Example:
        >>> model = MatryoshkaAE(latent_dim=64, levels=(4, 16, 64), k=4)
        >>> model.term_names
        ('reconstruction', 'auxiliary', 'prefixes')

    Reference:
        Bussmann et al., "Learning multi-level features with Matryoshka sparse autoencoders", ICML 2025,
        arXiv:2503.17547.
    """

    def __init__(self, latent_dim: int | None = None, *, levels: Sequence[int] | None = None, **kwargs: Any):
        super().__init__(latent_dim, **kwargs)
        if levels is None:
            levels = sorted({max(1, round(share * self.latent_dim)) for share in (*_SHARES, 1)})
        self.levels = _validation.check_ints("levels", levels)
        if list(self.levels) != sorted(set(self.levels)) or self.levels[-1:] != (self.latent_dim,):
            raise ValueError(f"levels must increase up to latent_dim={self.latent_dim}, but they are {self.levels}.")

    @property
    def term_names(self) -> tuple[str, ...]:
        return (*super().term_names, "prefixes") if len(self.levels) > 1 else super().term_names

    def further_terms(self, units: DenseSelection | RowSelection, code: Any, batch: Batch, training: bool) -> Any:
        metrics = super().further_terms(units, code, batch, training)
        if len(self.levels) == 1:
            return metrics
        first, *above = self.decoder.layers
        errors = []
        for y_pred in first.prefixes(code, self.levels)[:-1]:
            for layer in above:
                y_pred = layer(y_pred)
            errors.append(self.reconstruction(batch, y_pred))
        return {**metrics, "prefixes": sum(errors)}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "levels": self.levels}
