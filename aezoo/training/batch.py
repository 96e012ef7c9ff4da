"""One replica's part of a global batch, with reductions over the global batch."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Mapping
from typing import Any

from keras import ops

from aezoo import _keras
from aezoo._numerics import as_float32, replicas, sum_over_replicas
from aezoo._typing import Tensor


@dataclasses.dataclass(frozen=True)
class Batch:
    """One replica's part of a global batch, with reductions over the global batch.

    Keras sums the gradients of all replicas, so every term of an objective is a *share*: the shares of all replicas sum
    to the term of the whole batch, also when the last batch leaves one replica fewer samples than another.

    Sample weights have the same meaning in every term. As in Keras, `mean` divides Σ weight · value by the number of
    samples. Every term, including `per_replica`, is therefore Σ weight / size times the term of the weighted
    distribution of samples:

    - All weights times c scale every term, and with it the gradient, by c.
    - A weight of zero leaves the sample out: for 8 samples, 2 with weight zero, the terms are 6/8 of the terms of the
      other 6. A batch in which every weight is zero has no gradient.

    Weights per step or per feature apply only to the reconstruction error. Terms of whole samples, such as a penalty of
    codes, weigh a sample by its largest weight: with a weight of zero for one step, that step is left out of the error,
    and the code counts as before.

    Only Keras' own regularizers are not scaled, as in any Keras model. A loss with `reduction="sum"` scales
    every term by the number of samples; one with "mean_with_sample_weight" divides every term by Σ weight / size.

    Attributes:
        x: Inputs, (batch, ...).
        y: Targets, (batch, ...).
        weight: Weights of samples, (batch,), or None.
        local_size: Number of samples on this replica, a float32 scalar.
        size: Number of samples on all replicas, a float32 scalar.
        total_weight: Σ weight on all replicas, a float32 scalar; `size` without weights.
        divisor: Divisor of `mean`, a float32 scalar; `size` unless the loss reduces in another way.
        conditions: Second inputs such as labels by name, each (batch, ...).
        feature_weight: Weights of steps or features relative to the weight of their sample, in [0, 1], (batch, ...)
            with the leading axes of `y`; None where weights are per sample.
        mask: True for targets that count, with the leading axes of `y`: observed entries, or Keras' mask; None if all
            count.
        given_weight: The user's weights, per sample, step or feature, or None.

    Example:
        >>> batch = Batch.of(ops.ones((4, 3)), weight=[1, 1, 1, 3])
        >>> float(batch.mean([1.0, 2.0, 3.0, 4.0]))  # Σ weight · value / size
        4.5
        >>> float(batch.global_mean([1.0, 2.0, 3.0, 4.0]))  # Σ weight · value / Σ weight
        3.0
    """

    x: Any
    y: Any
    weight: Any
    local_size: Any
    size: Any
    total_weight: Any
    divisor: Any
    conditions: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    feature_weight: Any = None
    mask: Any = None
    given_weight: Any = None

    @classmethod
    def of(
        cls,
        x: Tensor,
        y: Tensor | None = None,
        weight: Tensor | None = None,
        reduction: str = "mean",
        conditions: Mapping[str, Any] | None = None,
        mask: Tensor | None = None,
    ) -> Batch:
        """Make this replica's batch.

        Args:
            x: Inputs, (batch, ...).
            y: Targets, (batch, ...); None uses x.
            weight: Weights per sample, (batch,) or (batch, 1), or per step or feature, with the leading axes of y; or
                None.
            reduction: Reduction of the loss over the batch, as `aezoo.losses.reduction` returns it.
            conditions: Second inputs by name, each (batch, ...).
            mask: True for targets that count, with the leading axes of y; None uses Keras' mask of y, if it has one.

        Returns:
            The batch.
        """
        y = x if y is None else y
        local_size = ops.cast(ops.shape(x)[0], "float32")
        size = total_weight = sum_over_replicas(local_size)
        feature_weight, given = None, weight
        if weight is not None:
            weight = as_float32(weight)
            if math.prod(size or 2 for size in weight.shape[1:]) > 1:
                largest = ops.max(weight, axis=tuple(range(1, len(weight.shape))), keepdims=True)
                weight, feature_weight = largest, ops.divide_no_nan(weight, largest)
            weight = ops.reshape(weight, (-1,))
            total_weight = sum_over_replicas(ops.sum(weight))
        divisor = {"sum": 1.0, "mean_with_sample_weight": total_weight}.get(reduction, size)
        return cls(
            x,
            y,
            weight,
            local_size,
            size,
            total_weight,
            divisor,
            conditions or {},
            feature_weight,
            _keras.mask_of(y) if mask is None else mask,
            given,
        )

    def _weighted(self, values: Tensor) -> Tensor:
        values = as_float32(values)
        if self.weight is None:
            return values
        weight = ops.cast(self.weight, values.dtype)
        return values * ops.reshape(weight, (-1,) + (1,) * (len(values.shape) - 1))

    def _divided(self, total: Tensor, by: Tensor) -> Tensor:
        by = ops.cast(by, total.dtype)
        return total / by if self.weight is None else ops.divide_no_nan(total, by)  # all weights may be 0

    def sum(self, values: Tensor) -> Tensor:
        """Return this replica's share of Σ weight · value.

        Args:
            values: One value per sample, (batch,).

        Returns:
            A float32 scalar.
        """
        return ops.sum(self._weighted(values))

    def mean(self, values: Tensor) -> Tensor:
        """Return this replica's share of Σ weight · value / divisor, as Keras averages a loss over a batch.

        Args:
            values: One value per sample, (batch,).

        Returns:
            A float32 scalar.
        """
        return self._divided(self.sum(values), self.divisor)

    def global_mean(self, values: Tensor) -> Tensor:
        """Return the weighted mean of `values` over the samples of all replicas, which is equal on each, not a share.

        Args:
            values: Values of this replica's samples, (batch, ...).

        Returns:
            The mean over the first axis, (...); 0 if every weight is zero.
        """
        total = sum_over_replicas(ops.sum(self._weighted(values), axis=0))
        return self._divided(total, self.total_weight)

    def per_replica(self, value: Tensor, weighted: bool = True) -> Tensor:
        """Return this replica's share of a value that is equal on all replicas.

        Args:
            value: A penalty of the model's parameters, or of a `global_mean`.
            weighted: Whether to scale the value by Σ weight / divisor, like the other terms of an objective. Choose
                False for a metric that is not a mean, such as a count.

        Returns:
            The scaled value, divided by the number of replicas.
        """
        if weighted and (self.weight is not None or self.divisor is not self.size):
            value = value * self._divided(self.total_weight, self.divisor)
        return value / replicas()

    @property
    def counted(self) -> Tensor:
        """1 for each sample with a positive weight and 0 for each of weight zero, (batch,) float32."""
        if self.weight is None:
            return ops.ones(ops.shape(self.x)[:1])
        return ops.cast(self.weight > 0, "float32")

    @property
    def counted_size(self) -> Tensor:
        """Number of samples with a positive weight on all replicas, a float32 scalar."""
        return self.size if self.weight is None else sum_over_replicas(ops.sum(self.counted))

    def unless_empty(self, new: Tensor, old: Tensor) -> Tensor:
        """Return the new value of a running statistic, or the old one if every weight is zero."""
        return new if self.weight is None else ops.where(self.total_weight > 0, new, old)

    def share(self, value: Tensor, weighted: bool = True) -> Tensor:
        """Return `per_replica(value, weighted)`, under its old name."""
        warnings.warn("Batch.share is now Batch.per_replica.", DeprecationWarning, stacklevel=2)
        return self.per_replica(value, weighted)

    def statistic(self, values: Tensor) -> Tensor:
        """Return `global_mean(values)`, under its old name."""
        warnings.warn("Batch.statistic is now Batch.global_mean.", DeprecationWarning, stacklevel=2)
        return self.global_mean(values)
