"""Results of one forward pass of an autoencoder, for its penalties."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Forward:
    """Results of one pass through encoder and decoder.

    Attributes:
        features: Input of the bottleneck, before the code layers of a variant, (batch, ...); equal to `code` without
            code layers.
        code: Codes z, (batch, *code_shape).
        y_pred: Reconstructions, (batch, *output_shape).
        training: True in a training step.

    Example:
        >>> import numpy as np, aezoo
        >>> model = aezoo.KSparseAE(latent_dim=8, k=2)
        >>> x = np.random.default_rng(0).random((3, 5), "float32")
        >>> model.build(x.shape)
        >>> forward = model.forward(aezoo.Batch.of(x), training=False)
        >>> np.count_nonzero(forward.features, axis=1).tolist(), np.count_nonzero(forward.code, axis=1).tolist()
        ([8, 8, 8], [2, 2, 2])
    """

    features: Any
    code: Any
    y_pred: Any
    training: bool
