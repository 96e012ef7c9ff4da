"""Arithmetic on codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aezoo._typing import Data

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder


def attribute_vector(model: Autoencoder, x_with: Data, x_without: Data, **conditions: Any) -> np.ndarray:
    """Compute the direction of an attribute: the mean code with the attribute minus the mean code without it.

    Args:
        model: A built model with `encode`.
        x_with: Samples that have the attribute, (n, *input_shape), at least one; or a dict of "x" and of the
            conditions, or data that come batch by batch, in the forms that `model.encode` accepts.
        x_without: Samples that do not have the attribute, (m, *input_shape), at least one, in any of these forms.
        **conditions: Conditions by name, one value for all samples.

    Returns:
        The vector a, of the shape of a code, float32. Add it to a code: `model.decode(model.encode(x) + a)`.

    Raises:
        ValueError: If there are no samples with or without the attribute.

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
            raise ValueError(f"{name} is empty: give samples with the attribute and samples without it.")
        means.append(np.mean(codes, axis=0))
    return means[0] - means[1]
