"""Selection of the k largest units of a code."""

from __future__ import annotations

import math
import numbers
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from aezoo import schedules
from aezoo._typing import Shape, Tensor
from aezoo.layers.code_layer import CodeLayer


def top_k_mask(z: Tensor, k: Tensor, k_max: int) -> Tensor:
    """Mark the k largest entries of each code: exactly k, and among equal values the first by index.

    k may be a tensor, and a new value needs no new graph, since only `k_max` determines shapes.

    Args:
        z: Codes, (batch, ...); the units of a code are the entries of all axes but the first.
        k: Number of entries to keep, an int or an int32 scalar, from 0 to `k_max`; a larger k counts as `k_max`.
        k_max: The largest k that will be used, at most the number of units.

    Returns:
        A mask of z's dtype and shape: 1 at the k largest entries, 0 elsewhere.

    Example:
        >>> keras.ops.convert_to_numpy(top_k_mask(keras.ops.array([[1.0, 3.0, 3.0, 3.0]]), k=2, k_max=4))
        array([[0., 1., 1., 0.]], dtype=float32)
    """
    if len(z.shape) > 2:
        return tf.reshape(top_k_mask(tf.reshape(z, (-1, math.prod(z.shape[1:]))), k, k_max), tf.shape(z))
    k = ops.cast(k, "int32")
    largest = tf.math.top_k(z, k=k_max)  # equal values are ordered by index
    # A sum, since XLA would sort all units where a slice at a known k takes the last one.
    is_last = tf.range(k_max) == tf.clip_by_value(k - 1, 0, k_max - 1)
    threshold, position = (
        tf.reduce_sum(tf.where(is_last, part, tf.zeros_like(part)), axis=1, keepdims=True) for part in largest
    )
    up_to_last = tf.range(tf.shape(z)[1]) <= position
    keep = (z > threshold) | (tf.equal(z, threshold) & up_to_last)
    return tf.cast(keep & (k > 0), z.dtype)


@keras.saving.register_keras_serializable("aezoo")
class TopK(CodeLayer):
    """Layer that sets all but the k largest entries of each code to 0; gradients flow through the kept entries.

    A code comprises all entries of a sample: for feature maps (h, w, channels), k of h · w · channels entries are kept.

    Args:
        k: Number of entries kept in training, unless a schedule is given; at inference round(alpha · k) are kept.
        schedule: k in training by the epoch, a number or a `Schedule`. Values are rounded.
        alpha: α >= 1 of Makhzani & Frey, to keep more units at inference than in training.
        **kwargs: `name` and `dtype` of `keras.layers.Layer`.

    Raises:
        ValueError: If k < 1 or alpha < 1; on build, if codes have fewer units than would be kept, or no fixed number of
            units.

    Example:
        >>> TopK(k=2)(keras.ops.array([[0.3, -0.1, 0.7, 0.2]])).numpy()
        array([[ 0.3, -0. ,  0.7,  0. ]], dtype=float32)

    Reference:
        Makhzani & Frey, "k-Sparse Autoencoders", 2013, arXiv:1312.5663.
    """

    selects = True
    k: int
    alpha: float
    k_in_training: schedules.Scheduled

    def __init__(self, k: int, schedule: schedules.Schedulable | None = None, alpha: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        if not isinstance(k, numbers.Integral) or isinstance(k, bool):
            raise ValueError(f"k must be a whole number (a schedule of it is k_schedule), but k={k!r}.")
        if k < 1:
            raise ValueError(f"k must be at least 1, but k={k!r}.")
        if not 1 <= alpha < math.inf:
            raise ValueError(f"alpha must be at least 1 and finite, but alpha={alpha!r}.")
        self.k = int(k)
        self.alpha = alpha
        self.k_in_training = schedules.Scheduled(k if schedule is None else schedule)
        if round(self._first_or(self.k_in_training.schedule.minimum)) < 1:
            raise ValueError(f"k must be at least 1, but the schedule {schedule!r} goes below.")

    def _first_or(self, bound: float) -> float:
        """Return a bound of the schedule, or its first value if the bound is unknown."""
        return bound if math.isfinite(bound) else self.k_in_training.schedule(0)

    @property
    def k_at_inference(self) -> int:
        """The number of entries kept at inference, round(alpha · k)."""
        return round(self.alpha * self.k)

    def build(self, input_shape: Shape) -> None:
        """Check that codes have enough units."""
        shape = tuple(input_shape[1:])
        if None in shape:
            raise ValueError(
                f"The {self.k} largest units of a code are kept, but codes of shape {shape} have no fixed number of "
                "units: give the encoder inputs of a fixed size."
            )
        self.check(math.prod(shape))

    def check(self, units: int) -> None:
        """Raise a ValueError if more units would be kept than codes have."""
        most = max(self.k_at_inference, self._first_or(self.k_in_training.schedule.maximum))
        if most > units:
            raise ValueError(
                f"k={self.k} (alpha={self.alpha:g}, in training {self.k_in_training.schedule!r}) "
                f"would keep {most:g} units of a code that has {units}: "
                "choose a smaller k or a larger latent_dim."
            )

    def numbers(self, units: int, training: bool) -> tuple[Any, int]:
        """Return the number of units to keep, an int or an int32 scalar, and its maximum, an int."""
        if not training:
            return self.k_at_inference, self.k_at_inference
        most = math.ceil(min(self.k_in_training.schedule.maximum, units))
        k = ops.cast(ops.round(self.k_in_training.value), "int32")
        return ops.clip(k, 1, most), most  # a user's schedule may have no known bounds

    def call(self, z: Tensor, training: bool = False) -> Tensor:
        return z * tf.stop_gradient(self.mask(z, training))

    def mask(self, z: Tensor, training: bool = False) -> Tensor:
        """Return a mask of the kept units, in z's dtype and shape, (batch, ...)."""
        return top_k_mask(z, *self.numbers(math.prod(z.shape[1:]), training))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "k": self.k,
            "schedule": schedules.serialize(self.k_in_training.schedule),
            "alpha": self.alpha,
        }
