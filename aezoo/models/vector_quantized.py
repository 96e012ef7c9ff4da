"""The vector-quantized autoencoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from aezoo import _validation
from aezoo._typing import Tensor
from aezoo.layers.vector_quantizer import VectorQuantizer
from aezoo.models.discrete import DiscreteAE
from aezoo.training.batch import Batch

if TYPE_CHECKING:
    from aezoo.cli.defaults import Training

# Vectors per codebook entry in a row that do not use an entry before it restarts, by default.
_PATIENCE = 20
# Samples whose codes the codebook starts from: at least these, if there are as many.
_START = 256


@keras.saving.register_keras_serializable("aezoo")
class VQVAE(DiscreteAE):
    """Vector-quantized autoencoder (VQ-VAE): the code is the nearest of K codebook vectors, in each place of a map.

    Training minimizes ‖x - x'‖² + β ‖z - sg(q)‖², where z is the encoder's output, q = argminₖ ‖z - eₖ‖ the code, and
    sg stops gradients: the `commitment` keeps z near its entry. The gradient of the code passes straight through to z.
    The entries are running means of the vectors z that they replace, with decay γ; entries that no vector uses restart
    at vectors of the batch. With `ema_decay=None` they follow the paper's term ‖sg(z) - q‖², `codebook`. The norms sum
    over all places.

    With `levels` L > 1 (residual quantization), q is a sum of L entries: each level has a codebook for what the levels
    before it left over, and the terms sum over the levels.

    `fit` starts the codebook at codes of training samples. To generate samples, fit an `aezoo.CodePrior` on `indices`,
    and set it as `prior`.

    Args:
        latent_dim: Number of code units, or channels of a spatial code.
        codebook_size: K, at least 2.
        vector_dim: Size of the vectors that a code is cut into; None takes the last axis, so that a flat code has a
            single index per level.
        levels: L, at least 1.
        commitment: β >= 0.
        ema_decay: γ in [0, 1), or None for the term `codebook`.
        dead_after: An entry restarts once this many vectors in a row have not used it; None takes 20 K, 0 never
            restarts. Without `ema_decay` entries never restart.
        **kwargs: Arguments of `Autoencoder` (`code_activation` is "linear" by default) and `spatial`: with
            True, the networks use only convolutions, so that the code is a map, (h, w, latent_dim). `filters` and one
            more convolution each halve the image, whose sides must be divisible by 2^(len(filters) + 1).

    Raises:
        ValueError: If an argument is out of range, vectors do not divide a code, or `spatial` is combined with dense
            layers or your own networks.

    Example:
        >>> x = np.random.default_rng(0).random((32, 8, 8, 3), "float32")
        >>> model = VQVAE(latent_dim=16, codebook_size=32, filters=(8,), spatial=True, seed=0)
        >>> model.compile(optimizer="adam")
        >>> history = model.fit(x, verbose=0)
        >>> sorted(history.history)
        ['commitment', 'loss', 'perplexity', 'reconstruction', 'usage']
        >>> indices = model.indices(x)  # one per place of the map
        >>> indices.shape
        TensorShape([32, 2, 2, 1])
        >>> bool(np.allclose(model.decode_indices(indices), model.reconstruct(x), atol=1e-6))
        True

    Reference:
        van den Oord, Vinyals & Kavukcuoglu, "Neural discrete representation learning", NeurIPS 2017, arXiv:1711.00937;
        Zeghidour et al., "SoundStream", 2021, arXiv:2107.03312, and Lee et al., "Autoregressive image generation using
        residual quantization", CVPR 2022, arXiv:2203.01941, for levels.
    """

    quantizer: VectorQuantizer

    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        codebook_size: int = 512,
        vector_dim: int | None = None,
        levels: int = 1,
        commitment: float = 0.25,
        ema_decay: float | None = 0.99,
        dead_after: int | None = None,
        **kwargs: Any,
    ):
        codebook_size = _validation.check_int("codebook_size", codebook_size, 2)
        levels = _validation.check_int("levels", levels, 1)
        if vector_dim is not None:
            vector_dim = _validation.check_int("vector_dim", vector_dim, 1)
            if latent_dim is not None and latent_dim % vector_dim:
                raise ValueError(
                    f"latent_dim={latent_dim} code units cannot be cut into vectors of vector_dim={vector_dim}: choose "
                    "a divisor."
                )
        _validation.check_at_least("commitment", commitment, 0)
        if ema_decay is not None:
            _validation.check_fraction("ema_decay", ema_decay, below_1=True)
        elif dead_after:
            raise ValueError("Entries restart only if they are running means: leave out dead_after, or ema_decay=None.")
        if dead_after is not None:
            dead_after = _validation.check_int("dead_after", dead_after, 0)
        super().__init__(latent_dim, **kwargs)
        self.commitment = commitment
        self.dead_after = dead_after
        patience = _PATIENCE * codebook_size if dead_after is None else dead_after
        self.quantizer = VectorQuantizer(codebook_size, vector_dim, levels, ema_decay, patience, self.seed)

    @property
    def term_names(self) -> tuple[str, ...]:
        terms = ("reconstruction", "commitment")
        return terms if self.quantizer.ema_decay is not None else (*terms, "codebook")

    def initialize_from(self, x: np.ndarray) -> None:
        """Start the codebook at evenly spaced vectors of the codes of training samples."""
        if np.any(self.quantizer.codebook.numpy()) or self.condition_names:
            return
        per_sample = max(1, np.prod(self.index_shape, dtype=int) // self.quantizer.levels)
        count = min(len(x), max(_START, -(-self.codebook_size // per_sample)))
        rows = np.arange(count) * len(x) // count
        self.quantizer.start_at(self.features(tf.convert_to_tensor(x[rows], self.input_dtype)))

    def codebook_terms(self, batch: Batch, z: Tensor, indices: Tensor, training: bool) -> dict[str, Any]:
        quantizer = self.quantizer
        commitment = codebook = 0.0
        for vectors, entries in quantizer.stages(z, indices):
            commitment += _per_sample(vectors - ops.stop_gradient(entries), z)
            if quantizer.ema_decay is None:
                codebook += _per_sample(ops.stop_gradient(vectors) - entries, z)
        terms = {"commitment": self.commitment * batch.mean(commitment)}
        if quantizer.ema_decay is None:
            terms["codebook"] = batch.mean(codebook)
        elif training:
            quantizer.follow(z, indices, batch.weight)
        return terms

    @classmethod
    def cli_defaults(cls, training: Training) -> dict[str, Any]:
        """Return defaults with 64 entries; a map has one index per place, a flat code one per vector of 4 units."""
        given = training.given
        if given.get("spatial"):
            return {"latent_dim": 32, "codebook_size": 64}
        units = given.get("latent_dim", 32)
        hidden = {} if given.get("filters") else {"hidden_dims": (400 if training.latent_dim > 100 else 64,)}
        return {
            "latent_dim": 32,
            "codebook_size": 64,
            "vector_dim": max(d for d in (1, 2, 4) if units % d == 0),
            **hidden,
        }

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self.quantizer, name) for name in ("codebook_size", "vector_dim", "levels", "ema_decay")}
        return {**super().get_config(), **own, "commitment": self.commitment, "dead_after": self.dead_after}


def _per_sample(differences: Tensor, z: Tensor) -> Tensor:
    """Return the sum of squares of each sample, (batch,), for differences of vectors of codes z, (n, dim)."""
    return ops.sum(ops.square(ops.reshape(differences, (ops.shape(z)[0], -1))), axis=1)
