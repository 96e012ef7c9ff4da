"""Metrics that are not means over samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from aezoo._typing import Tensor


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
