"""The autoencoder with finite scalar quantization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras

from aezoo import _validation
from aezoo.layers.finite_scalar_quantizer import FiniteScalarQuantizer
from aezoo.models.discrete import DiscreteAE

if TYPE_CHECKING:
    from aezoo.cli.defaults import Training

# Indices are int32.
_MOST_ENTRIES = 2**31 - 1


@keras.saving.register_keras_serializable("aezoo")
class FSQVAE(DiscreteAE):
    """Autoencoder with finite scalar quantization (FSQ): each code unit is rounded to one of a few levels.

    A vector of the code has one unit per entry of `levels`, and ∏ᵢ Lᵢ possible values: a codebook without weights,
    terms and restarts. A unit is bounded by f(z) = h tanh(z + tan(o/h)) - o, h = (L - 1)(1 - ε)/2, and rounded to one
    of L whole numbers, where the offset o is ½ for even L and 0 for odd L; the gradient of the rounding is 1. Training
    minimizes the reconstruction error alone.

    To generate samples, fit an `aezoo.CodePrior` on `indices`, and set it as `prior`.

    Args:
        latent_dim: Number of code units, or channels of a spatial code: a multiple of `len(levels)`. None takes
            `len(levels)`, so that a place of a map, or a flat code, has a single index.
        levels: Lᵢ of each unit of a vector, at least 2; the paper recommends at least 5.
        **kwargs: Arguments of `Autoencoder` (`code_activation` is "linear" by default) and `spatial`: with
            True, the networks use only convolutions, so that the code is a map, (h, w, latent_dim). `filters` and one
            more convolution each halve the image, whose sides must be divisible by 2^(len(filters) + 1).

    Raises:
        ValueError: If an argument is out of range, `levels` have more than 2³¹ - 1 combinations, or `spatial` is
            combined with dense layers or your own networks.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).random((32, 8, 8, 3), "float32")
        >>> model = FSQVAE(levels=(8, 5, 5), filters=(8,), spatial=True, seed=0)
        >>> model.compile(optimizer="adam")
        >>> history = model.fit(x, verbose=0)
        >>> model.codebook_size, model.indices(x).shape
        (200, TensorShape([32, 2, 2, 1]))

    Reference:
        Mentzer et al., "Finite scalar quantization: VQ-VAE made simple", ICLR 2024, arXiv:2309.15505.
    """

    quantizer: FiniteScalarQuantizer

    def __init__(self, latent_dim: int | None = None, *, levels: Sequence[int] = (8, 5, 5, 5), **kwargs: Any):
        levels = _validation.check_ints("levels", levels)
        if not levels or min(levels) < 2:
            raise ValueError(f"levels must be whole numbers of at least 2, such as (8, 5, 5), but they are {levels!r}.")
        quantizer = FiniteScalarQuantizer(levels)
        if quantizer.codebook_size > _MOST_ENTRIES:
            raise ValueError(f"levels={levels} have {quantizer.codebook_size:,} combinations: give fewer units.")
        if latent_dim is None and kwargs.get("encoder") is None:
            latent_dim = len(levels)
        if latent_dim is not None and latent_dim % len(levels):
            raise ValueError(
                f"latent_dim={latent_dim} code units cannot be cut into vectors of {len(levels)}, the number of "
                "levels: choose a multiple."
            )
        super().__init__(latent_dim, **kwargs)
        self.quantizer = quantizer

    @classmethod
    def cli_defaults(cls, training: Training) -> dict[str, Any]:
        """Return defaults with a flat code of 8 vectors, and a hidden layer; a map has one vector per place."""
        levels = training.given.get("levels", (8, 5, 5, 5))
        if training.given.get("spatial"):
            return {"latent_dim": len(levels)}
        hidden = {} if training.given.get("filters") else {"hidden_dims": (400 if training.latent_dim > 100 else 64,)}
        return {"latent_dim": 8 * len(levels), **hidden}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "levels": self.quantizer.levels}
