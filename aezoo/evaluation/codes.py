"""Arithmetic with codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aezoo._typing import Array

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder


def attribute_vector(model: Autoencoder, x_with: Array, x_without: Array) -> np.ndarray:
    """Returns what an attribute adds to a code: the mean code of samples with it, less that of samples without it.

    Args:
        model: A built model with `encode`.
        x_with: Samples that have the attribute, (n, *input_shape), at least one.
        x_without: Samples that do not, (m, *input_shape), at least one.

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
    for name, x in (("x_with", x_with), ("x_without", x_without)):
        if len(x) == 0:
            raise ValueError(f"{name} is empty: an attribute needs samples with it and without it.")
    with_it, without_it = (np.mean(np.asarray(model.encode(x), "float32"), axis=0) for x in (x_with, x_without))
    return with_it - without_it
