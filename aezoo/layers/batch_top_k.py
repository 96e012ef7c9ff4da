"""Selection of the largest activations of a batch."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from aezoo._numerics import as_float32, replicas, sum_over_replicas
from aezoo._typing import Shape, Tensor
from aezoo.layers.code_layer import CodeLayer

#: The inference threshold is the mean over about this many of the last batches.
_BATCHES = 100
_ROUNDED = 1 - 1e-6  # sums of weights are rounded


def batch_threshold(z: Tensor, k: float, weight: Tensor | None = None) -> Tensor:
    """Return the largest t such that k activations per sample, on average over a batch, are at least t.

    Args:
        z: Activations >= 0, (batch, units).
        k: Number of activations per sample, at most the number of units.
        weight: Weights of the samples, (batch,): a sample of weight 2 counts twice. None counts each sample once.

    Returns:
        A float32 scalar, equal on all replicas. If fewer activations are positive, or there are no samples, 0.

    Example:
        >>> z = ops.array([[0.0, 5.0, 4.0], [1.0, 3.0, 0.0]])
        >>> float(batch_threshold(z, k=1.5))  # 3 activations of 2 samples
        3.0
    """
    z = as_float32(z)
    if weight is None and replicas() == 1:
        count = tf.cast(tf.math.ceil(k * tf.cast(tf.shape(z)[0], "float32") * _ROUNDED), "int32")
        # The minimum, since XLA would sort all of z where a slice takes the last value.
        smallest = tf.reduce_min(tf.math.top_k(tf.reshape(z, (-1,)), count, sorted=False).values)
        return tf.where(count > 0, smallest, 0.0)
    weight = ops.ones(ops.shape(z)[:1]) if weight is None else as_float32(weight)
    target = k * sum_over_replicas(ops.sum(weight)) * _ROUNDED
    target = ops.maximum(target, 1e-30)  # if all weights are 0, t is 0
    # Floating-point numbers >= 0 are in the order of their bits, read as integers: find t bit by bit.
    bits, found = tf.bitcast(z, "int32"), tf.constant(0)
    for bit in range(30, -1, -1):
        candidate = found + 2**bit
        counts = tf.reduce_sum(tf.cast(bits >= candidate, "float32"), axis=1)
        found = tf.where(sum_over_replicas(tf.reduce_sum(weight * counts)) >= target, candidate, found)
    return tf.bitcast(found, "float32")


@keras.saving.register_keras_serializable("aezoo")
class BatchTopK(CodeLayer):
    """Layer that keeps the k · batch largest positive activations of a batch, and at inference those above a threshold.

    The threshold is a running mean of the smallest activation that was kept in training, and is saved with the layer.
    It is 0 before the first step. `select` makes the selection of a training step; a call is inference.

    Args:
        k: Number of activations per sample that training keeps, on average over a batch; it need not be whole.
        **kwargs: `name` and `dtype` of `keras.layers.Layer`.

    Raises:
        ValueError: If k is not positive; on build, if codes have fewer than k units.

    Example:
        >>> layer = BatchTopK(k=1)
        >>> layer.build((None, 3))
        >>> z = ops.array([[0.0, 5.0, 4.0], [1.0, 3.0, 0.0]])
        >>> layer.select(z).numpy()
        array([[0., 5., 4.],
               [0., 0., 0.]], dtype=float32)
        >>> layer(z).numpy(), float(layer.threshold)
        (array([[0., 5., 4.],
               [0., 0., 0.]], dtype=float32), 4.0)

    Reference:
        Bussmann et al., "BatchTopK sparse autoencoders", 2024, arXiv:2412.06410.
    """

    selects = True

    def __init__(self, k: float, **kwargs: Any):
        super().__init__(**kwargs)
        if not k > 0:
            raise ValueError(f"k must be positive, but k={k!r}.")
        self.k = k

    def build(self, input_shape: Shape) -> None:
        """Create the threshold and the number of steps that it is a mean of, both in single precision."""
        self.check(input_shape[-1])
        state: dict[str, Any] = {
            "shape": (),
            "dtype": "float32",
            "initializer": "zeros",
            "trainable": False,
            "aggregation": "only_first_replica",
            "autocast": False,
        }
        self.threshold = self.add_weight(name="threshold", **state)
        self.steps = self.add_weight(name="steps", **state)

    def check(self, units: int) -> None:
        """Raise a ValueError if more activations would be kept than codes have units."""
        if self.k > units:
            raise ValueError(
                f"k={self.k} activations per sample would be kept of a code that has {units} units: choose a smaller "
                "k or a larger latent_dim."
            )

    def select(self, z: Tensor, weight: Tensor | None = None) -> Tensor:
        """Keep the largest activations of a batch, and move the threshold.

        Activations that equal the smallest kept one are kept, too.

        Args:
            z: Activations >= 0, (batch, units).
            weight: Weights of the samples, (batch,), or None. If all are 0, the threshold does not move.

        Returns:
            z with the other activations set to 0.
        """
        smallest = ops.stop_gradient(batch_threshold(z, self.k, weight))
        moves = 1.0 if weight is None else ops.cast(sum_over_replicas(ops.sum(weight)) > 0, "float32")
        steps = ops.minimum(self.steps + 1.0, float(_BATCHES))
        self.threshold.assign(self.threshold + moves * (smallest - self.threshold) / steps)
        self.steps.assign(self.steps + moves)
        return z * _at_least(z, smallest)

    def call(self, z: Tensor) -> Tensor:
        return z * self.mask(z)

    def mask(self, z: Tensor) -> Tensor:
        """Return a mask of the units that inference keeps, in z's dtype and shape."""
        return _at_least(z, self.threshold)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "k": self.k}


def _at_least(z: Tensor, threshold: Tensor) -> Tensor:
    return ops.cast((as_float32(z) >= threshold) & (z > 0), z.dtype)
