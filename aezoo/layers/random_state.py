"""Random state that is saved with the model that draws from it."""

from __future__ import annotations

import random
from typing import Any

import keras
import tensorflow as tf

from aezoo._typing import Shape, Tensor


class RandomState(keras.layers.Layer):
    """A seed and a counter in a saved variable; every draw gives a fresh seed for TensorFlow's stateless functions.

    The state of `keras.random.SeedGenerator` is not saved in a `.keras` file, so that noise would start again after
    loading; this one goes on where it stopped.

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
        """Returns a seed, shape (2,), int64: another at each call, and on each replica unless `shared`."""
        context = None if shared else tf.distribute.get_replica_context()
        replica = 0 if context is None else context.replica_id_in_sync_group
        seed = tf.convert_to_tensor(self.state.value)
        self.state.assign(seed + tf.constant([0, 1], "int64"))
        return tf.random.experimental.stateless_fold_in(seed, replica, alg="philox")

    def seed_of(self, seed: int | None) -> Tensor:
        """Returns an integer as a seed, shape (2,), int64; None draws one, the same on each replica."""
        if seed is None:
            return self.draw_seed(shared=True)
        seed = tf.cast(seed, "int64")
        return tf.stack([seed, tf.zeros_like(seed)])

    def uniform(self, shape: Shape | Tensor, shared: bool = False) -> Tensor:
        """Returns uniform numbers in [0, 1), of a shape, float32; `shared` gives every replica the same."""
        return tf.random.stateless_uniform(shape, self.draw_seed(shared), alg="philox")

    def normal(self, shape: Shape | Tensor, shared: bool = False) -> Tensor:
        """Returns standard normal numbers, of a shape, float32; `shared` gives every replica the same."""
        return tf.random.stateless_normal(shape, self.draw_seed(shared), alg="philox")
