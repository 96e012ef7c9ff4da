"""Conversion to single precision, a log-probability, and sums and gathers over replicas."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from aezoo._typing import ArrayLike, Tensor


def as_float32(x: ArrayLike) -> Tensor:
    """Return `x` as a tensor of at least single precision, since half-precision sums and logarithms lose too much.

    Args:
        x: A tensor or array-like, of any shape and dtype.

    Returns:
        A tensor of the shape of x: float64 if x is float64, otherwise float32.

    Example:
        >>> as_float32(ops.ones(2, "float16")).dtype
        tf.float32
    """
    tensor = ops.convert_to_tensor(x)
    return tensor if keras.backend.standardize_dtype(tensor.dtype) == "float64" else ops.cast(tensor, "float32")


def log_bernoulli(states: Tensor, logits: Tensor) -> Tensor:
    """Return the log-probability of binary units, summed over the last axis, in nats.

    Args:
        states: 0 or 1, (..., units).
        logits: The log-odds of 1, of the same shape.

    Example:
        >>> log_bernoulli(ops.ones((1, 2)), ops.zeros((1, 2))).numpy().round(3)  # 2 log ½
        array([-1.386], dtype=float32)
    """
    return ops.sum(states * logits - ops.softplus(logits), axis=-1)


def replicas() -> int:
    """Return the number of replicas in sync; 1 outside `tf.distribute`."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def sum_over_replicas(value: Tensor) -> Tensor:
    """Return the sum of `value` over all replicas; gradients flow back to every replica."""
    context = tf.distribute.get_replica_context()
    if replicas() == 1 or context is None:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def gather_from_replicas(value: Tensor) -> Tensor:
    """Return `value` of all replicas, concatenated along the first axis; gradients flow back to every replica."""
    context = tf.distribute.get_replica_context()
    if replicas() == 1 or context is None:
        return value
    return context.all_gather(value, axis=0)


def interval_of_replica(share: Tensor) -> tuple[Any, Any, Any]:
    """Return where this replica's share of a sum over all replicas starts and ends, and the sum.

    Args:
        share: A scalar of this replica, at least 0.

    Returns:
        Three scalars. The intervals of all replicas follow each other without a gap, from 0 to the sum.
    """
    context = tf.distribute.get_replica_context()
    if replicas() == 1 or context is None:
        return tf.zeros_like(share), share, share
    replica = tf.cast(context.replica_id_in_sync_group, "int32")
    shares = sum_over_replicas(tf.where(tf.range(replicas()) == replica, share, 0.0))
    ends = tf.concat([tf.zeros_like(shares[:1]), tf.cumsum(shares)], 0)
    return ends[replica], ends[replica + 1], ends[-1]
