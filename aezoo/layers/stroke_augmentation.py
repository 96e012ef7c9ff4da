"""The data augmentation of Sketch-RNN."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from aezoo._typing import Shape, Tensor
from aezoo.layers.random_state import RandomState


@keras.saving.register_keras_serializable("aezoo")
class StrokeAugmentation(keras.layers.Layer):
    """Layer that stretches sketches and drops points of their lines in training, and returns them unchanged otherwise.

    Each axis of a sketch is stretched by its own factor, uniform in [1 - scale, 1 + scale]. In each line, every point
    except the first two and the last is dropped with probability `drop`; the others keep their positions.

    Args:
        scale: Maximum relative change of the scale of an axis, in [0, 1).
        drop: Probability of dropping a point, in [0, 1).
        seed: Seed of the noise; its state is saved with the model.
        **kwargs: `name` and `dtype` of `keras.layers.Layer`.

    Example:
        >>> sketch = [[[1, 2, 1, 0, 0], [3, 0, 0, 1, 0], [0, 0, 0, 0, 1]]]
        >>> StrokeAugmentation(scale=0.15)(keras.ops.array(sketch, "float32"), training=True).shape
        TensorShape([1, 3, 5])

    Reference:
        Ha & Eck, "A neural representation of sketch drawings", 2017, arXiv:1704.03477.
    """

    def __init__(self, scale: float = 0.0, drop: float = 0.0, seed: int | None = None, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        self.scale = scale
        self.drop = drop
        self.seed = seed
        self.random = RandomState(seed)

    def build(self, input_shape: Shape) -> None:
        """Create nothing: the noise takes its shape from each input."""

    def noise(self, x: Tensor) -> tuple[Any, Any]:
        """Draw noise for sketches x, (batch, steps, 5): a number in [0, 1) for each axis and for each point."""
        batch, steps = ops.shape(x)[0], ops.shape(x)[1]
        return self.random.uniform((batch, 1, 2)), self.random.uniform((batch, steps))

    def augment(self, x: Tensor, noise: tuple[Any, Any]) -> Tensor:
        """Apply noise to x; equal sketches with equal noise stay equal.

        Args:
            x: Sketches in stroke-5, (batch, steps, 5).
            noise: Result of `noise`.
        """
        of_axes, of_points = noise
        x = ops.convert_to_tensor(x)
        if self.scale:
            factor = ops.cast(1.0 + self.scale * (2.0 * of_axes - 1.0), x.dtype)
            x = ops.concatenate([x[..., :2] * factor, x[..., 2:]], axis=-1)
        return self._without_points(x, of_points < self.drop) if self.drop else x

    def _without_points(self, x: Tensor, left_out: Tensor) -> Tensor:
        steps = ops.shape(x)[1]
        at = ops.arange(steps, dtype="int32")[None, :] + ops.zeros_like(x[..., 0], "int32")
        down = x[..., 2] > 0
        # A point is neither one of the first two points of its line nor the last if the pen is down at this point and
        # at the two before it.
        before, two_before = (ops.pad(down, ((0, 0), (n, 0)))[:, :-n] for n in (1, 2))
        left_out = left_out & down & before & two_before
        # The kept points move to the front, in order, with new offsets between them; the rest becomes the end.
        order = tf.argsort(ops.where(left_out, at + steps, at), axis=1)
        stays = ops.arange(steps)[None, :, None] < ops.sum(ops.cast(~left_out, "int32"), axis=1)[:, None, None]
        position, pen = tf.cumsum(x[..., :2], axis=1), x[..., 2:]
        position = tf.gather(position, order, axis=1, batch_dims=1)
        offset = position - ops.concatenate([ops.zeros_like(position[:, :1]), position[:, :-1]], axis=1)
        end = ops.concatenate([ops.zeros_like(offset), ops.zeros_like(pen[..., :2]), ops.ones_like(pen[..., :1])], -1)
        return ops.where(stays, ops.concatenate([offset, tf.gather(pen, order, axis=1, batch_dims=1)], -1), end)

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        return self.augment(x, self.noise(x)) if training else x

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale, "drop": self.drop, "seed": self.seed}
