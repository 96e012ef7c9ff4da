"""Metrics that are not means over samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from aezoo._typing import Tensor

__all__ = ["ActiveUnits", "BitsPerToken", "CodebookPerplexity", "CodebookUsage"]


class ActiveUnits(keras.metrics.Metric):
    """Number of active code units, whose posterior mean μ has a variance over the data above a threshold.

    The variance is computed over a whole epoch, independent of its division into batches, and uses sample weights.
    Along code axes without a fixed size, positions count as samples, so that each channel is one unit.

    Args:
        code_shape: Shape of a code, without the batch axis.
        threshold: Threshold of Var(μ), at least 0; a unit is active if its variance is larger.
        name: Name of the metric.

    Example:
        >>> metric = ActiveUnits((2,))
        >>> for batch in ([[0.0, 1.0]], [[1.0, 1.0]]):  # variances 0.25 and 0
        ...     metric.update_state(batch)
        >>> int(metric.result())
        1

    Reference:
        Burda, Grosse & Salakhutdinov, "Importance weighted autoencoders", ICLR 2016, arXiv:1509.00519, section 5.
    """

    def __init__(self, code_shape: Sequence[int | None], threshold: float = 0.01, name: str = "active_units"):
        super().__init__(name=name, dtype="float64")  # for a difference of squares
        self.threshold = threshold
        self.note = f"of {math.prod(size for size in code_shape if size is not None)}, Var(μ) > {threshold:g}"
        """A note on the criterion, which `aezoo.evaluation.report` prints next to the number of units."""
        self._any_size = tuple(axis for axis, size in enumerate(code_shape, start=1) if size is None)
        units = tuple(size for size in code_shape if size is not None)
        self.count = self.add_variable((), "zeros", dtype="float64", name="count")
        self.total = self.add_variable(units, "zeros", dtype="float64", name="total")
        self.squares = self.add_variable(units, "zeros", dtype="float64", name="squares")

    def update_state(self, mean: Tensor, sample_weight: Tensor | None = None) -> None:
        """Add samples.

        Args:
            mean: μ, (batch, *code_shape).
            sample_weight: Weights of the samples, (batch,), or None.
        """
        mean = ops.cast(mean, "float64")
        weight = ops.ones(ops.shape(mean)[:1]) if sample_weight is None else sample_weight
        weight = ops.cast(ops.reshape(weight, (-1,)), "float64")
        self.count.assign_add(ops.sum(weight))
        for sums, values in ((self.total, mean), (self.squares, ops.square(mean))):
            values = ops.mean(values, axis=self._any_size) if self._any_size else values
            sums.assign_add(ops.tensordot(weight, values, axes=1))

    def result(self) -> Tensor:
        """Return the number of active units, a float32 scalar."""
        mean = ops.divide_no_nan(self.total, self.count)
        variance = ops.divide_no_nan(self.squares, self.count) - ops.square(mean)
        return ops.sum(ops.cast(variance > self.threshold, "float32"))


class BitsPerToken(keras.metrics.Metric):
    """Bits per token: Σ -log₂ p over all tokens of an epoch, divided by their number.

    Args:
        name: Name of the metric.

    Example:
        >>> metric = BitsPerToken()
        >>> metric.update_state(([math.log(2.0), 9 * math.log(2.0)], [1, 3]))  # nats and tokens of two sequences
        >>> round(float(metric.result()), 4)  # 10 bits for 4 tokens
        2.5
    """

    def __init__(self, name: str = "bits_per_token"):
        super().__init__(name=name, dtype="float64")
        self.nats = self.add_variable((), "zeros", dtype="float64", name="nats")
        self.count = self.add_variable((), "zeros", dtype="float64", name="count")

    def update_state(self, values: tuple[Any, Any], sample_weight: Tensor | None = None) -> None:
        """Add sequences.

        Args:
            values: Nats and numbers of tokens of the sequences, (batch,) each.
            sample_weight: Weights of the sequences, (batch,), or None.
        """
        for total, value in zip((self.nats, self.count), values, strict=True):
            value = ops.cast(value, "float64")
            if sample_weight is not None:
                value = value * ops.cast(ops.reshape(sample_weight, (-1,)), "float64")
            total.assign_add(ops.sum(value))

    def result(self) -> Tensor:
        """Return the bits per token, a float32 scalar."""
        return ops.cast(ops.divide_no_nan(self.nats, self.count) / math.log(2.0), "float32")


class _CodebookCounts(keras.metrics.Metric):
    """Counts of the entries of codebooks that indices name, over a whole epoch and by sample weight.

    Args:
        codebook_size: Number of entries of a codebook.
        levels: Number of codebooks; the indices of a place are one of each level in turn.
        name: Name of the metric.
    """

    def __init__(self, codebook_size: int, levels: int = 1, name: str | None = None):
        super().__init__(name=name, dtype="float64")
        self.note = f"of {codebook_size}" + (f", mean over {levels} levels" if levels > 1 else "")
        """A note on the number of entries, which `aezoo.evaluation.report` prints next to the value."""
        self.counts = self.add_variable((levels, codebook_size), "zeros", dtype="float64", name="counts")

    def update_state(self, indices: Tensor, sample_weight: Tensor | None = None) -> None:
        """Add samples.

        Args:
            indices: Indices, (batch, ...) int32; the level changes fastest.
            sample_weight: Weights of the samples, (batch,), or None.
        """
        levels, size = self.counts.shape
        batch = tf.shape(indices)[0]
        index = tf.reshape(indices, (-1, levels)) + size * tf.range(levels)
        weight = tf.ones((batch,), "float64")
        if sample_weight is not None:
            weight = tf.cast(tf.reshape(sample_weight, (-1,)), "float64")
        weight = tf.repeat(weight, tf.size(index) // tf.maximum(batch, 1))
        found = tf.math.unsorted_segment_sum(weight, tf.reshape(index, (-1,)), levels * size)
        self.counts.assign_add(tf.reshape(found, (levels, size)))


class CodebookPerplexity(_CodebookCounts):
    """Perplexity of codebook entries, exp(-Σ pₖ log pₖ): the number of entries in equal use that has the same entropy.

    The shares pₖ are of a whole epoch, and use sample weights. With several levels the perplexity is the mean over
    their codebooks.

    Args:
        codebook_size: Number of entries of a codebook.
        levels: Number of codebooks; the indices of a place are one of each level in turn.
        name: Name of the metric.

    Example:
        >>> metric = CodebookPerplexity(codebook_size=8)
        >>> metric.update_state(ops.array([[0, 1], [2, 3]]))
        >>> round(float(metric.result()), 4)
        4.0
    """

    def __init__(self, codebook_size: int, levels: int = 1, name: str = "perplexity"):
        super().__init__(codebook_size, levels, name)

    def result(self) -> Tensor:
        """Return the perplexity, a float32 scalar from 1 to the size of the codebook; 0 without samples."""
        shares = ops.divide_no_nan(self.counts, ops.sum(self.counts, axis=1, keepdims=True))
        entropy = -ops.sum(shares * ops.log(ops.maximum(shares, 1e-300)), axis=1)
        some = ops.cast(ops.any(self.counts > 0), "float64")
        return ops.cast(some * ops.mean(ops.exp(entropy)), "float32")


class CodebookUsage(_CodebookCounts):
    """Share of the codebook entries that at least one sample of an epoch uses; with several levels, the mean over them.

    Args:
        codebook_size: Number of entries of a codebook.
        levels: Number of codebooks; the indices of a place are one of each level in turn.
        name: Name of the metric.

    Example:
        >>> metric = CodebookUsage(codebook_size=8)
        >>> metric.update_state(ops.array([[0, 1], [0, 3]]))
        >>> float(metric.result())
        0.375
    """

    def __init__(self, codebook_size: int, levels: int = 1, name: str = "usage"):
        super().__init__(codebook_size, levels, name)

    def result(self) -> Tensor:
        """Return the share, a float32 scalar in [0, 1]."""
        return ops.mean(ops.cast(self.counts > 0, "float32"))
