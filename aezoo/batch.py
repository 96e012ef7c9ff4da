"""A batch in the hands of one replica, and what it takes to average over the batch of all of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf
from keras import ops

from aezoo.losses import in_float32


def replicas() -> int:
    """The number of replicas that step together, 1 outside `tf.distribute`."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def sum_over_replicas(value: Any) -> Any:
    """The sum of `value` over all replicas; its gradient reaches each of them."""
    context = tf.distribute.get_replica_context()
    if replicas() == 1 or context is None:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


@dataclasses.dataclass(frozen=True)
class Batch:
    """One replica's part of a batch.

    Keras sums the gradients of all replicas. So every term of an objective is a *share*: the sum of the shares of all
    replicas is the term of the whole batch, also when the last batch leaves one replica fewer samples than another.

    Attributes:
        x: Inputs, (batch, ...).
        y: Targets, (batch, ...).
        weight: Sample weights, (batch,), or None.
        local_size: The number of samples here, a float32 scalar.
        size: The number of samples on all replicas, a float32 scalar.

    Example:
        >>> batch = Batch.of(ops.ones((4, 3)), weight=[1, 1, 1, 3])
        >>> float(batch.mean([1.0, 2.0, 3.0, 4.0]))  # Σ weight · value / size
        4.5
        >>> float(batch.statistic([1.0, 2.0, 3.0, 4.0]))  # Σ weight · value / Σ weight
        3.0
    """

    x: Any
    y: Any
    weight: Any
    local_size: Any
    size: Any

    @classmethod
    def of(cls, x: Any, y: Any = None, weight: Any = None) -> Batch:
        """Makes this replica's batch of x, targets y and sample weights; without y the target is x."""
        local_size = ops.cast(ops.shape(x)[0], "float32")
        if weight is not None:
            weight = ops.reshape(in_float32(weight), (-1,))
        return cls(x, x if y is None else y, weight, local_size, sum_over_replicas(local_size))

    def _weighted(self, values: Any) -> Any:
        values = in_float32(values)
        if self.weight is None:
            return values
        weight = ops.cast(self.weight, values.dtype)
        return values * ops.reshape(weight, (-1,) + (1,) * (len(values.shape) - 1))

    def sum(self, values: Any) -> Any:
        """This replica's share of Σ weight · value.

        Args:
            values: One value a sample, (batch,).

        Returns:
            A float32 scalar.
        """
        return ops.sum(self._weighted(values))

    def mean(self, values: Any) -> Any:
        """This replica's share of Σ weight · value / size, as Keras averages a loss over a batch.

        Args:
            values: One value a sample, (batch,).

        Returns:
            A float32 scalar.
        """
        return self.sum(values) / ops.cast(self.size, in_float32(values).dtype)

    def statistic(self, values: Any) -> Any:
        """The weighted mean of `values` over the samples of all replicas: the same on each, not a share.

        Args:
            values: (batch, ...).

        Returns:
            The mean over the first axis, (...).
        """
        total = sum_over_replicas(ops.sum(self._weighted(values), axis=0))
        count = self.size if self.weight is None else sum_over_replicas(ops.sum(self.weight))
        return total / ops.cast(count, total.dtype)

    def share(self, value: Any) -> Any:
        """This replica's share of a value that all replicas know.

        Args:
            value: A penalty of the weights, or of a `statistic`.

        Returns:
            The value over the number of replicas.
        """
        return value / replicas()
