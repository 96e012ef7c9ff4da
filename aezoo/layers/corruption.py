"""The corruption process C(x̃ given x) of a denoising autoencoder."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import keras
import tensorflow as tf
from keras import ops

from aezoo import schedules
from aezoo._typing import Shape, Tensor
from aezoo.layers.random_state import RandomState

Noise = Literal["masking", "gaussian", "salt_and_pepper"]
NOISES = get_args(Noise)


@keras.saving.register_keras_serializable("aezoo")
class Corruption(keras.layers.Layer):
    """Layer that corrupts its input in training and returns it unchanged otherwise.

    - `"masking"`: sets each feature to 0 with probability `level` (ν).
    - `"gaussian"`: adds normal noise of standard deviation `level` (σ, in units of the input).
    - `"salt_and_pepper"`: sets each feature, with probability `level` (ν), to 0 or 1 by a fair coin.

    Args:
        level: ν in [0, 1] or σ >= 0; a number or an `aezoo.schedules.Schedule`.
        noise: "masking", "gaussian" or "salt_and_pepper".
        seed: Seed of the noise; its state is saved with the model.
        **kwargs: `name` and `dtype` of `keras.layers.Layer`.

    Raises:
        ValueError: If the noise is unknown or the level is out of range.

    Example:
        >>> noisy = Corruption(0.25, "masking", seed=1)(keras.ops.ones((4, 1000)), training=True)
        >>> bool(700 < keras.ops.sum(noisy[0]) < 800)
        True

    Reference:
        Vincent et al., "Stacked Denoising Autoencoders", JMLR 11 (2010), section 3.3.
    """

    def __init__(
        self,
        level: schedules.Schedulable,
        noise: Noise = "masking",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if noise not in NOISES:
            raise ValueError(f"noise={noise!r} is unknown: choose one of {', '.join(NOISES)}.")
        self.level = schedules.Scheduled(level)
        self.noise = noise
        self.seed = seed
        schedule = self.level.schedule
        ends = [end for end in (schedule.minimum, schedule(0), schedule.maximum) if math.isfinite(end)]
        if min(ends) < 0 or (noise != "gaussian" and max(ends) > 1):
            allowed = "at least 0" if noise == "gaussian" else "in [0, 1]"
            raise ValueError(f"The level of {noise} corruption must be {allowed}, but it is {level!r}.")
        self.random = RandomState(seed)

    def build(self, input_shape: Shape) -> None:
        """Create nothing: the noise takes its shape from each input."""

    def corrupt(self, x: Tensor) -> tuple[Any, Any]:
        """Return the corrupted input and a mask of the corrupted features.

        Args:
            x: Floating-point samples, (batch, ...).

        Returns:
            x̃ and a boolean mask, both with the shape of x. As in the paper, a masked feature counts as corrupted even
            if it was 0 before; with Gaussian noise every feature counts.
        """
        x = ops.convert_to_tensor(x)
        shape, level = tf.shape(x), self.level.value
        if self.noise == "gaussian":
            noise = ops.cast(level, "float32") * self.random.normal(shape)
            return x + ops.cast(noise, x.dtype), ops.ones_like(x, dtype="bool")
        u = self.random.uniform(shape)
        mask = u < level
        if self.noise == "masking":
            return ops.where(mask, ops.zeros_like(x), x), mask
        # Given u < level, u is uniform below it: its lower half is the fair coin.
        return ops.where(mask, ops.cast(u < 0.5 * ops.cast(level, "float32"), x.dtype), x), mask

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        return self.corrupt(x)[0] if training else x

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "level": schedules.serialize(self.level.schedule),
            "noise": self.noise,
            "seed": self.seed,
        }


class GivenCorruption(keras.layers.Layer):
    """Layer that corrupts its input in training with any layer or function x → x̃, and returns it unchanged otherwise.

    Args:
        noise: A Keras layer, which is called with `training=True`, or a function of x.
        **kwargs: `name` and `dtype` of `keras.layers.Layer`.

    Raises:
        ValueError: If the noise is neither, or, when it is called, if it changes the shape of x.

    Example:
        >>> layer = GivenCorruption(keras.layers.GaussianNoise(0.1))
        >>> noisy, corrupted = layer.corrupt(keras.ops.ones((4, 3)))
        >>> bool(keras.ops.all(corrupted)), bool(keras.ops.all(layer(noisy) == noisy))
        (True, True)
    """

    def __init__(self, noise: keras.layers.Layer | Callable[[Any], Any], **kwargs: Any):
        super().__init__(**kwargs)
        if isinstance(noise, type) or not callable(noise):
            raise ValueError(
                f"noise={noise!r} is unknown: choose one of {', '.join(NOISES)}, or give a Keras layer or a function."
            )
        self.noise: Callable[..., Any] = noise

    def corrupt(self, x: Tensor) -> tuple[Any, Any]:
        """Return the corrupted input and a mask of the features that differ from x, both with the shape of x.

        Args:
            x: Floating-point samples, (batch, ...).
        """
        x = ops.convert_to_tensor(x)
        is_layer = isinstance(self.noise, keras.layers.Layer)
        noisy = ops.cast(self.noise(x, training=True) if is_layer else self.noise(x), x.dtype)
        if not noisy.shape.is_compatible_with(x.shape):
            name = getattr(self.noise, "name", None) or getattr(self.noise, "__name__", type(self.noise).__name__)
            raise ValueError(
                f"The noise {name!r} changes the shape {tuple(x.shape)} of samples to {tuple(noisy.shape)}: it must "
                "keep their shape."
            )
        return noisy, ops.not_equal(noisy, x)

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        return self.corrupt(x)[0] if training else x
