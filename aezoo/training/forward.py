"""One forward pass of an autoencoder, as its penalties see it."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Forward:
    """What one pass through encoder and decoder computed.

    Attributes:
        features: What entered the bottleneck, before the code layers of a variant: (batch, ...). It is `code` where
            there are none.
        code: z, (batch, *code_shape).
        y_pred: The reconstruction, (batch, *output_shape).
        training: Whether this is a training step.

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
