"""Arithmetic with codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aezoo._typing import Data

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder


def attribute_vector(model: Autoencoder, x_with: Data, x_without: Data, **conditions: Any) -> np.ndarray:
    """Returns what an attribute adds to a code: the mean code of samples with it, less that of samples without it.

    Args:
        model: A built model with `encode`.
        x_with: Samples that have the attribute, (n, *input_shape), at least one; or a dict of "x" and of the
            conditions, or data that come batch by batch, as `model.encode` takes them.
        x_without: Samples that do not, (m, *input_shape), at least one.
        **conditions: Conditions by name, one for all samples.

    Returns:
        a, (latent_dim,) float32, to be added to a code: `model.decode(model.encode(x) + a)`.

    Raises:
        ValueError: If there are no samples.

    Example:
        >>> import aezoo
        >>> model = aezoo.VAE(latent_dim=2)
        >>> x = np.random.default_rng(0).random((6, 8, 8, 1), "float32")
        >>> attribute_vector(model, x[:3], x[3:]).shape
        (2,)
    """
    means = []
    for name, x in (("x_with", x_with), ("x_without", x_without)):
        codes = np.asarray(model.encode(x, **conditions), "float32")
        if not len(codes):
            raise ValueError(f"{name} is empty: an attribute needs samples with it and without it.")
        means.append(np.mean(codes, axis=0))
    return means[0] - means[1]
