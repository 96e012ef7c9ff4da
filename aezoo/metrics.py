"""Metrics that are no mean over samples."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
from keras import ops

from aezoo._typing import Tensor


class ActiveUnits(keras.metrics.Metric):
    """Count the code units that are active: Var(μ) > threshold, the variance over all data of the posterior mean μ.

    The variance is that of an epoch, whatever its batches are, with sample weights where there are some. Along axes of
    a code that have no fixed size the positions count as samples, so that a channel is a unit.

    Args:
        code_shape: Shape of a code, without the batch axis.
        threshold: The largest variance of a unit that is not active, at least 0.
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
        super().__init__(name=name, dtype="float64")  # of a mean square less a squared mean
        self.threshold = threshold
        self.note = f"of {math.prod(size for size in code_shape if size is not None)}, Var(μ) > {threshold:g}"
        """How the units are counted, as `aezoo.evaluation.report` writes it beside their number."""
        self._any_size = tuple(axis for axis, size in enumerate(code_shape, start=1) if size is None)
        units = tuple(size for size in code_shape if size is not None)
        self.count = self.add_variable((), "zeros", dtype="float64", name="count")
        self.total = self.add_variable(units, "zeros", dtype="float64", name="total")
        self.squares = self.add_variable(units, "zeros", dtype="float64", name="squares")

    def update_state(self, mean: Tensor, sample_weight: Tensor | None = None) -> None:
        """Add samples.

        Args:
            mean: μ, (batch, *code_shape).
            sample_weight: (batch,), or None.
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
