"""The encoder and the decoder of Sketch-RNN.

A sketch is (steps, 5), "stroke-5": the offsets Δx and Δy from the previous point, and a pen state: p₁ = 1 draws the
line to the next point, p₂ = 1 lifts the pen after this point, p₃ = 1 ends the sketch before this point.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from aezoo._typing import DType, Tensor
from aezoo.layers.bounded import LOG_VARIANCE, bounded
from aezoo.layers.lstm import LSTM
from aezoo.layers.mixture import BivariateMixture
from aezoo.layers.random_state import uniform_from_bits

#: The small initial weights of the authors' projections to and from the code.
_SMALL = 0.001


def _seed(seed: int | None, i: int) -> int | None:
    return None if seed is None else seed + 100 * i


def _dense(units: int, inputs: int, seed: int | None, stddev: float | None = None, **kwargs: Any) -> keras.layers.Dense:
    initializer: keras.initializers.Initializer = keras.initializers.GlorotUniform(seed)
    if stddev is not None:
        initializer = keras.initializers.RandomNormal(stddev=stddev, seed=seed)
    layer = keras.layers.Dense(units, kernel_initializer=initializer, **kwargs)
    layer.build((None, inputs))
    return layer


def not_ended(x: Tensor) -> Tensor:
    """Return a mask of a sketch's points, (batch, steps) bool: the steps before the first with p₃ = 1."""
    return tf.cumsum(ops.cast(x[..., 4] > 0, "int32"), axis=1) == 0


def start_and_shift(x: Tensor) -> Tensor:
    """Return the decoder's input for each step of x: (0, 0, 1, 0, 0), followed by all steps but the last."""
    return ops.concatenate([ops.broadcast_to(_start(x.dtype), (ops.shape(x)[0], 1, 5)), x[:, :-1]], axis=1)


def _start(dtype: DType | None) -> Tensor:
    return ops.cast([0.0, 0.0, 1.0, 0.0, 0.0], dtype)


@keras.saving.register_keras_serializable("aezoo")
class SketchEncoder(keras.Model):
    """Bidirectional LSTM over the points of a sketch, whose last states determine μ and log σ² of the code.

    Args:
        latent_dim: Number of code units; 0 for a decoder without a code.
        units: LSTM units per direction.
        recurrent_dropout: Dropout rate of the LSTM in training, in [0, 1).
        seed: Seed of initial weights and of dropout.
    """

    part_name = "bidirectional LSTM"  # in `aezoo.plots.network`

    def __init__(
        self, latent_dim: int, units: int, recurrent_dropout: float = 0.0, seed: int | None = None, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.latent_dim = latent_dim
        self.units = units
        self.recurrent_dropout = recurrent_dropout
        self.seed = seed
        if latent_dim:
            dtype = self.dtype_policy
            self.forward = LSTM(units, 5, recurrent_dropout, _seed(seed, 1), dtype=dtype, name="forward")
            self.backward = LSTM(units, 5, recurrent_dropout, _seed(seed, 2), dtype=dtype, name="backward")
            self.mean = _dense(latent_dim, 2 * units, _seed(seed, 3), _SMALL, name="mean", dtype="float32")
            self.log_variance = _dense(
                latent_dim, 2 * units, _seed(seed, 4), _SMALL, name="log_variance", dtype="float32"
            )
        self.built = True

    def distribution(self, x: Tensor, training: bool = False) -> tuple[Any, Any]:
        """Return μ and log σ² of q(z given x), (batch, latent_dim) float32; log σ² is clipped to [-30, 15].

        Args:
            x: Sketches, (batch, steps, 5).
            training: Whether to drop units.
        """
        if not self.latent_dim:
            none = ops.zeros((ops.shape(x)[0], 0), "float32")
            return none, none
        points = not_ended(x)
        _, (forward, _) = self.forward(x, active=points, training=training)
        _, (backward, _) = self.backward(x, active=points, reverse=True, training=training)
        h = ops.concatenate([forward, backward], axis=-1)
        return self.mean(h), bounded(self.log_variance(h), *LOG_VARIANCE)

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """Return μ of q(z given x), (batch, latent_dim) float32."""
        return self.distribution(x, training)[0]

    def get_config(self) -> dict[str, Any]:
        names = ("latent_dim", "units", "recurrent_dropout", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable("aezoo")
class SketchDecoder(keras.Model):
    """Autoregressive LSTM that computes the distribution of the next step from the code and the previous step.

    The code determines the first state, tanh(Wz + b), and is an input of each step.

    Args:
        latent_dim: Number of code units; 0 for a decoder without a code, whose first state is 0.
        units: LSTM units.
        components: M, the number of normal distributions in the mixture of an offset.
        steps: Nmax, the number of steps to draw.
        recurrent_dropout: Dropout rate of the LSTM in training, in [0, 1).
        seed: Seed of initial weights and of dropout.
    """

    part_name = "LSTM"

    def __init__(
        self,
        latent_dim: int,
        units: int,
        components: int,
        steps: int,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.latent_dim = latent_dim
        self.units = units
        self.components = components
        self.steps = steps
        self.recurrent_dropout = recurrent_dropout
        self.seed = seed
        dtype = self.dtype_policy
        if latent_dim:
            self.state = _dense(
                2 * units, latent_dim, _seed(seed, 5), _SMALL, activation="tanh", name="state", dtype="float32"
            )
        self.lstm = LSTM(units, 5 + latent_dim, recurrent_dropout, _seed(seed, 6), dtype=dtype, name="lstm")
        self.output_parameters = _dense(3 + 6 * components, units, _seed(seed, 7), name="parameters", dtype="float32")
        self.built = True

    def first_state(self, z: Tensor) -> tuple[Any, Any]:
        """Return h and c before the first step, (batch, units) float32."""
        return tuple(ops.split(self.state(z), 2, axis=-1)) if self.latent_dim else self.lstm.zero_state(z)

    def next_state(self, z: Tensor, before: Tensor, state: tuple[Any, Any]) -> tuple[Any, Any]:
        """Return h and c after a step, given the code (batch, latent_dim), the step (batch, 5) and h and c before."""
        return self.lstm.step(self.lstm.gates(ops.concatenate([before, z], axis=-1)), state)

    def distributions(self, h: Tensor) -> tuple[Any, BivariateMixture]:
        """Return the logits of the pen states, (..., 3), and the mixture of the offset, given h (..., units)."""
        parameters = self.output_parameters(h)
        return parameters[..., :3], BivariateMixture.of(parameters[..., 3:])

    def teacher_forced(self, z: Tensor, x: Tensor, training: bool = False) -> tuple[Any, BivariateMixture]:
        """Return the distributions of each step of x, given the steps before it.

        Args:
            z: Codes, (batch, latent_dim).
            x: Sketches, (batch, steps, 5).
            training: Whether to drop units.

        Returns:
            Logits of the pen states, (batch, steps, 3), and the mixtures of the offsets.
        """
        shared = z if self.latent_dim else None
        h, _ = self.lstm(start_and_shift(x), initial_state=self.first_state(z), shared=shared, training=training)
        return self.distributions(h)

    def draw(
        self, z: Tensor, temperature: Tensor, seed: int | Tensor | None = None, begun: Tensor | None = None
    ) -> Tensor:
        """Draw sketches step by step, each step given the steps drawn before it.

        Args:
            z: Codes, (batch, latent_dim).
            temperature: τ >= 0, a scalar.
            seed: Two integers, (2,), or None for τ = 0.
            begun: First steps of all sketches, (k, 5) with k < Nmax, which are taken as they are; None draws all steps.

        Returns:
            Sketches, (batch, Nmax, 5) float32.
        """
        z = ops.cast(z, "float32")
        batch = ops.shape(z)[0]
        end = ops.cast([0.0, 0.0, 0.0, 0.0, 1.0], "float32")

        def noise(t: Tensor) -> tuple[Any, Any, Any]:
            """Draw Gumbel noise for the pen (batch, 3) and the component (batch, M), normal noise for the offset."""
            if seed is None:
                return 0.0, 0.0, ops.zeros((batch, 2), "float32")
            seed_of_step = tf.random.experimental.stateless_fold_in(seed, t, alg="philox")
            uniform = uniform_from_bits((batch, self.components + 5), seed_of_step)
            radius, angle = ops.sqrt(-2.0 * ops.log(uniform[:, :1])), 2.0 * math.pi * uniform[:, 1:2]
            gumbel = -ops.log(-ops.log(uniform[:, 2:]))
            normal = radius * ops.concatenate([ops.cos(angle), ops.sin(angle)], axis=-1)
            return gumbel[:, :3], gumbel[:, 3:], normal

        def body(t: Tensor, h: Tensor, c: Tensor, before: Tensor, steps: Tensor) -> tuple[Any, ...]:
            h, c = self.next_state(z, before, (h, c))
            logits, mixture = self.distributions(h)
            of_pen, of_component, normal = noise(t)
            pen = ops.one_hot(tf.argmax(logits + temperature * of_pen, axis=-1), 3, dtype="float32")
            offset = mixture.draw(temperature, of_component, normal)
            step = ops.concatenate([offset, pen], axis=-1)
            step = ops.where((before[:, 4:] > 0) | (pen[:, 2:] > 0), end, step)
            if begun is not None:
                given = begun[ops.minimum(t, begun.shape[0] - 1)]
                step = ops.where(t < begun.shape[0], given, step)
            return t + 1, h, c, step, steps.write(t, step)

        steps = tf.TensorArray("float32", self.steps, element_shape=(z.shape[0], 5))
        before = ops.broadcast_to(_start("float32"), (batch, 5))
        *_, steps = tf.while_loop(
            lambda t, *_: t < self.steps,
            body,
            (tf.constant(0), *self.first_state(z), before, steps),
            maximum_iterations=self.steps,
        )
        return ops.transpose(steps.stack(), (1, 0, 2))

    def call(self, z: Tensor, training: bool = False) -> Tensor:
        """Draw sketches from the most likely step each time, (batch, Nmax, 5)."""
        return self.draw(z, 0.0)

    def get_config(self) -> dict[str, Any]:
        names = ("latent_dim", "units", "components", "steps", "recurrent_dropout", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
