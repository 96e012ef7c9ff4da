"""Vector quantization: replaces the vectors of a code by the nearest entries of a learned codebook."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from aezoo import _numerics
from aezoo._numerics import sum_over_replicas
from aezoo._typing import Shape, Tensor
from aezoo.layers.discrete_code import DiscreteCode
from aezoo.layers.random_state import RandomState, uniform_from_bits

# A running count below this is 0: the mean that it divides has lost its precision.
_NONE = 1e-20


@keras.saving.register_keras_serializable("aezoo")
class VectorQuantizer(DiscreteCode):
    """Layer that replaces each vector of a code by the nearest of K codebook entries, q = argminₖ ‖z - eₖ‖.

    The gradient passes straight through, ∂q/∂z = I. With several levels, level l has a codebook of its own and
    quantizes what the levels before it left over, z - q₁ - ... - qₗ₋₁; the code is the sum of all qₗ.

    With `ema_decay` γ, `follow` moves each entry to the running mean of the vectors that it is nearest to,
    Nₖ ← γNₖ + (1 - γ)nₖ, mₖ ← γmₖ + (1 - γ) Σ z, eₖ = mₖ / Nₖ, and restarts unused entries at vectors of the batch: at
    one with a large error rather than a small one, with a probability proportional to ‖z - q‖². Without `ema_decay` the
    entries are trainable weights, to be pulled to the vectors by a term of the loss.

    The lookup needs one matrix product per level, (n, dim) x (dim, K).

    Args:
        codebook_size: K, the number of entries of a codebook.
        vector_dim: Size of the vectors; None takes the last axis of a code.
        levels: Number of codebooks, and of indices per vector.
        ema_decay: γ in [0, 1), or None.
        dead_after: An entry restarts once this many vectors in a row have not used it; 0 never restarts.
        seed: Seed of the restarts.
        **kwargs: `name` of `keras.layers.Layer`.

    Example:
        >>> layer = VectorQuantizer(codebook_size=2)
        >>> layer.build((None, 2))
        >>> layer.codebook.assign([[[0.0, 0.0], [1.0, 1.0]]])
        >>> layer(keras.ops.array([[0.2, -0.1], [0.9, 0.6]])).numpy()
        array([[0., 0.],
               [1., 1.]], dtype=float32)

    Reference:
        van den Oord, Vinyals & Kavukcuoglu, "Neural discrete representation learning", NeurIPS 2017, arXiv:1711.00937;
        Lee et al., "Autoregressive image generation using residual quantization", CVPR 2022, arXiv:2203.01941, for
        levels.
    """

    def __init__(
        self,
        codebook_size: int,
        vector_dim: int | None = None,
        levels: int = 1,
        ema_decay: float | None = 0.99,
        dead_after: int = 0,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(vector_dim, levels, **kwargs)
        self.codebook_size = codebook_size
        self.levels = levels
        self.ema_decay = ema_decay
        self.dead_after = dead_after
        self.seed = seed
        self.random = RandomState(seed)

    def build(self, input_shape: Shape) -> None:
        """Create the codebooks, (levels, codebook_size, dim), which are 0, and the running counts and sums."""
        super().build(input_shape)
        sizes = self.levels, self.codebook_size
        moved: dict[str, Any] = {"initializer": "zeros", "trainable": False, "aggregation": "only_first_replica"}
        if self.ema_decay is None:
            self.codebook = self.add_weight(shape=(*sizes, self.dim), initializer="zeros", name="codebook")
            return
        self.codebook = self.add_weight(shape=(*sizes, self.dim), name="codebook", **moved)
        self.uses = self.add_weight(shape=sizes, name="uses", **moved)
        self.sums = self.add_weight(shape=(*sizes, self.dim), name="sums", **moved)
        if self.dead_after:
            self.idle = self.add_weight(shape=sizes, name="idle", **moved)

    # === Lookup ===

    def assign(self, vectors: Tensor) -> Tensor:
        indices = []
        for book in tf.unstack(tf.stop_gradient(tf.convert_to_tensor(self.codebook))):
            # ‖z - e‖² = ‖z‖² - 2 (z·e - ‖e‖²/2)
            scores = tf.matmul(vectors, book, transpose_b=True) - tf.reduce_sum(tf.square(book), axis=1) / 2
            indices.append(tf.argmax(scores, axis=1, output_type="int32"))
            if len(indices) < self.levels:
                vectors = vectors - tf.gather(book, indices[-1])
        return tf.stack(indices, axis=1)

    def entries(self, indices: Tensor) -> Tensor:
        books = tf.unstack(tf.convert_to_tensor(self.codebook))
        return sum(tf.gather(book, indices[:, level]) for level, book in enumerate(books))

    def stages(self, z: Tensor, indices: Tensor) -> Iterator[tuple[Any, Any]]:
        """Yield the vectors that each level quantizes, and the entries that it replaces them by, (n, dim) each.

        Gradients reach z through the vectors, and the codebook through the entries.

        Args:
            z: Codes before quantization, (batch, *places, units).
            indices: The indices of these codes, (batch, *places, k).
        """
        vectors, indices = self.vectors_of(z), tf.reshape(indices, (-1, self.levels))
        for level, book in enumerate(tf.unstack(tf.convert_to_tensor(self.codebook))):
            entries = tf.gather(book, indices[:, level])
            yield vectors, entries
            vectors = vectors - tf.stop_gradient(entries)

    # === Training ===

    def start_at(self, z: Tensor) -> None:
        """Set the entries to evenly spaced vectors of codes, or of what is left over of them by the levels before.

        Args:
            z: Codes before quantization, (batch, *places, units).
        """
        vectors = np.asarray(self.vectors_of(z))
        books = np.zeros(self.codebook.shape, "float32")
        for level, book in enumerate(books):
            book[:] = vectors[np.arange(self.codebook_size) * len(vectors) // self.codebook_size]
            self.codebook.assign(books)
            index = np.asarray(self.assign(tf.constant(vectors)))[:, level]
            vectors = vectors - book[index]

    def follow(self, z: Tensor, indices: Tensor, weight: Tensor | None = None) -> None:
        """Move the codebooks to the vectors of a global batch; see the class. Two half batches are not one whole.

        Args:
            z: Codes before quantization, this replica's part, (batch, *places, units).
            indices: The indices of these codes, (batch, *places, k).
            weight: Weights of the samples, (batch,), or None. A sample of weight 0 has no effect.
        """
        decay: Any = self.ema_decay
        places, indices = indices, tf.reshape(indices, (-1, self.levels))
        weight = tf.ones(tf.shape(places)[:1]) if weight is None else tf.cast(weight, "float32")
        weight = tf.repeat(weight, tf.shape(indices)[0] // tf.maximum(tf.shape(places)[0], 1))
        counted = sum_over_replicas(tf.reduce_sum(tf.cast(weight > 0, "float32")))
        seed = self.random.draw_seed(shared=True) if self.dead_after else None
        moved: list[list[Any]] = []
        for level, (vectors, entries) in enumerate(self.stages(tf.stop_gradient(z), indices)):
            index = indices[:, level]
            weighted = tf.concat([weight[:, None] * vectors, weight[:, None]], axis=1)
            found = sum_over_replicas(tf.math.unsorted_segment_sum(weighted, index, self.codebook_size))
            uses = decay * self.uses[level] + (1 - decay) * found[:, -1]
            sums = decay * self.sums[level] + (1 - decay) * found[:, :-1]
            book = tf.where(uses[:, None] > _NONE, sums / tf.maximum(uses[:, None], _NONE), self.codebook[level])
            moved.append([book, uses, sums])
            if seed is not None:
                idle = tf.where(found[:, -1] > 0, 0.0, self.idle[level] + counted)
                errors = weight * tf.reduce_sum(tf.square(vectors - entries), axis=1)
                of_level = tf.random.experimental.stateless_fold_in(seed, level, alg="philox")
                drawn, any_error = _draw_rows(vectors, errors, self.codebook_size, of_level)
                dead = (idle >= self.dead_after) & any_error
                moved[-1] = [tf.where(dead[:, None], drawn, book)]
                moved[-1] += [tf.where(dead, 0.0, uses), tf.where(dead[:, None], 0.0, sums), tf.where(dead, 0.0, idle)]
        variables = [self.codebook, self.uses, self.sums, *([self.idle] if self.dead_after else [])]
        for variable, values in zip(variables, zip(*moved, strict=True), strict=True):
            variable.assign(tf.stack(values))

    def get_config(self) -> dict[str, Any]:
        names = ("codebook_size", "vector_dim", "levels", "ema_decay", "dead_after", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _draw_rows(rows: Tensor, weight: Tensor, n: int, seed: Tensor) -> tuple[Any, Any]:
    """Draw rows of a global batch with probabilities proportional to their weights, the same on every replica.

    Args:
        rows: This replica's rows, (count, dim).
        weight: Their weights, (count,).
        n: Number of draws.
        seed: Two integers, (2,), equal on all replicas.

    Returns:
        (n, dim); and whether a weight is positive: otherwise the draws are 0.
    """
    if _numerics.replicas() > 1:  # one may have no rows
        rows, weight = tf.pad(rows, [[0, 1], [0, 0]]), tf.pad(weight, [[0, 1]])
    ends = tf.cumsum(weight)
    start, end, total = _numerics.interval_of_replica(ends[-1])
    # Below the total, also after rounding.
    at = uniform_from_bits((n,), seed) * total * (1 - 1e-6)
    index = tf.minimum(tf.searchsorted(ends, at - start, side="right"), tf.shape(ends)[0] - 1)
    mine = (at >= start) & (at < end)
    return sum_over_replicas(tf.where(mine[:, None], tf.gather(rows, index), 0.0)), total > 0
