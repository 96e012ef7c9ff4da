"""Random state that is saved with the model."""

from __future__ import annotations

import random
from typing import Any

import keras
import tensorflow as tf

from aezoo._typing import Shape, Tensor


class RandomState(keras.layers.Layer):
    """Saved random state: a seed and a counter, which yield a fresh seed per draw for TensorFlow's stateless functions.

    A `.keras` file does not contain the state of `keras.random.SeedGenerator`, so that noise repeats after loading.
    This state is saved and continues where it stopped.

    Args:
        seed: An integer; None draws one from Python's `random`, which `keras.utils.set_random_seed` seeds.
        **kwargs: `name` of `keras.layers.Layer`.

    Example:
        >>> random = RandomState(seed=1)
        >>> first, second = random.uniform((3,)), random.uniform((3,))
        >>> bool(tf.reduce_all(first == second)), bool(tf.reduce_all(first == RandomState(seed=1).uniform((3,))))
        (False, True)
    """

    def __init__(self, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        start = random.randrange(2**31) if seed is None else seed
        self.state = self.add_weight(
            shape=(2,),
            dtype="int64",
            initializer=lambda shape, dtype: tf.constant([start, 0], dtype),
            trainable=False,
            name="state",
            aggregation="only_first_replica",
        )
        self.built = True

    def draw_seed(self, shared: bool = False) -> Tensor:
        """Return a new seed, (2,) int64, which differs between calls and, unless `shared`, between replicas."""
        context = None if shared else tf.distribute.get_replica_context()
        replica = 0 if context is None else context.replica_id_in_sync_group
        seed = tf.convert_to_tensor(self.state.value)
        self.state.assign(seed + tf.constant([0, 1], "int64"))
        return tf.random.experimental.stateless_fold_in(seed, replica, alg="philox")

    def seed_of(self, seed: int | None) -> Tensor:
        """Convert an integer to a seed, (2,) int64; None draws one that is the same on every replica."""
        if seed is None:
            return self.draw_seed(shared=True)
        seed = tf.cast(seed, "int64")
        return tf.stack([seed, tf.zeros_like(seed)])

    def uniform(self, shape: Shape | Tensor, shared: bool = False) -> Tensor:
        """Draw uniform numbers in [0, 1), float32; `shared` draws the same numbers on every replica."""
        return tf.random.stateless_uniform(shape, self.draw_seed(shared), alg="philox")

    def normal(self, shape: Shape | Tensor, shared: bool = False) -> Tensor:
        """Draw standard normal numbers, float32; `shared` draws the same numbers on every replica."""
        return tf.random.stateless_normal(shape, self.draw_seed(shared), alg="philox")


def uniform_from_bits(shape: Shape | Tensor, seed: Tensor) -> Tensor:
    """Draw uniform numbers in (0, 1), float32, from random bits.

    XLA draws the same bits as TensorFlow, but other uniform numbers.

    Args:
        shape: Shape of the result.
        seed: Two integers, (2,); equal seeds draw equal numbers.
    """
    bits = tf.random.stateless_uniform(shape, seed, minval=None, maxval=None, dtype="uint32", alg="philox")
    return (tf.cast(tf.bitwise.right_shift(bits, tf.constant(9, "uint32")), "float32") + 0.5) * 2.0**-23
