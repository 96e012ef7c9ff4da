"""Optimizers that Keras lacks, and Keras' own Adam by TensorFlow's kernel."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from aezoo import _keras, schedules
from aezoo._typing import Tensor

_OfStep = keras.optimizers.schedules.LearningRateSchedule


@keras.saving.register_keras_serializable("aezoo")
class ScheduledSGD(keras.optimizers.SGD):
    """m ← μm - ηg, w ← w + m, where η and μ are numbers or schedules of the epoch.

    Both are variables: a new epoch needs no new graph, and they are saved with the optimizer. `aezoo.Autoencoder.fit`
    moves them; with another trainer, call `move_to(epoch)`.

    A number is set once and then left alone, so that `keras.callbacks.ReduceLROnPlateau` and whoever else assigns
    `learning_rate` have the last word. A schedule sets the rate at the start of each epoch, times whatever factor it
    was given in the meantime: a rate that a callback halved stays half of the schedule's.

    Args:
        learning_rate: η, a number, an `aezoo.schedules.Schedule` of the epoch, or a
            `keras.optimizers.schedules.LearningRateSchedule` of the step.
        momentum: μ in [0, 1], a number or a schedule of the epoch.
        **kwargs: Those of `keras.optimizers.SGD`, `nesterov` for w ← w + μm - ηg among them.

    Raises:
        ValueError: If the momentum is outside [0, 1].

    Example:
        >>> optimizer = ScheduledSGD(0.1, momentum=schedules.Step([5], [0.5, 0.9]))

    Reference:
        Hinton, "A practical guide to training restricted Boltzmann machines", UTML TR 2010-003, sections 7 and 9.
    """

    def __init__(
        self,
        learning_rate: schedules.Schedulable | _OfStep = 0.01,
        momentum: schedules.Schedulable = 0.0,
        **kwargs: Any,
    ):
        if isinstance(learning_rate, dict):
            learning_rate = keras.saving.deserialize_keras_object(learning_rate)
        by_step = isinstance(learning_rate, _OfStep)
        schedule: Any = learning_rate if by_step else schedules.get(learning_rate)  # type: ignore[arg-type]
        momentum = schedules.get(momentum)
        for value in (momentum(0), momentum.minimum, momentum.maximum):
            if math.isfinite(value) and not 0 <= value <= 1:
                raise ValueError(f"momentum must be between 0 and 1, but it is {momentum!r}.")
        scheduled = None if by_step else float(schedule(0))
        # Keras makes momentum buffers where the momentum it is given is not 0.
        super().__init__(schedule if by_step else scheduled, momentum=1.0, **kwargs)
        self.learning_rate_schedule = schedule
        self.momentum_schedule = momentum
        self._scheduled = scheduled

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self.momentum_value = self.add_variable(
            shape=(), initializer=keras.initializers.Constant(self.momentum_schedule(0)), name="momentum_value"
        )
        # What the schedule set last, which tells what others made of it since; saved with the rate itself.
        self.scheduled_rate = self.add_variable(
            shape=(), initializer=keras.initializers.Constant(self._scheduled or 0.0), name="scheduled_rate"
        )

    def move_to(self, epoch: int) -> None:
        """Set learning rate and momentum to those of epoch `epoch`, counted from 0."""
        if self._scheduled is not None:
            rate, scheduled = float(self.learning_rate_schedule(epoch)), self._scheduled
            if self.built:
                scheduled = float(self.scheduled_rate.numpy())
                self.scheduled_rate.assign(rate)
            self._scheduled = rate
            now = float(self.learning_rate.numpy())
            changed = scheduled and now != float(np.float32(scheduled))
            self.learning_rate = rate * now / scheduled if changed else rate
        if self.built:
            self.momentum_value.assign(self.momentum_schedule(epoch))

    def update_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        m = self.momentums[_keras.variable_index(self, variable)]
        momentum = ops.cast(self.momentum_value, variable.dtype)
        step = ops.multiply(ops.cast(gradient, variable.dtype), ops.cast(learning_rate, variable.dtype))
        moved = ops.subtract(ops.multiply(m, momentum), step)
        self.assign(m, moved)
        self.assign_add(variable, ops.subtract(ops.multiply(moved, momentum), step) if self.nesterov else moved)

    def load_own_variables(self, store: Mapping[str, Tensor]) -> None:
        count = len(self.variables)
        old = len(store.keys()) == count - 1  # from before there was `scheduled_rate`
        if old:
            store = {str(i): store[str(i)] for i in range(count - 1)} | {str(count - 1): 0.0}
        super().load_own_variables(store)
        if old:
            self.scheduled_rate.assign(self.learning_rate)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if self._scheduled is not None:
            config["learning_rate"] = schedules.serialize(self.learning_rate_schedule)
        config["momentum"] = schedules.serialize(self.momentum_schedule)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> ScheduledSGD:
        return cls(**config)


@keras.saving.register_keras_serializable("aezoo")
class DecayToFloor(_OfStep):
    """(η₀ - floor) · decayᵗ + floor at step t: an exponential decay that never ends below a floor.

    Args:
        learning_rate: η₀, the rate at step 0.
        floor: The rate that is approached.
        decay: What the distance to the floor is multiplied by per step.

    Example:
        >>> rate = DecayToFloor(1e-3, floor=1e-5, decay=0.9999)
        >>> [float(f"{float(rate(step)):.3g}") for step in (0, 10_000, 1_000_000)]
        [0.001, 0.000374, 1e-05]

    Reference:
        Ha & Eck, "A neural representation of sketch drawings", 2017, arXiv:1704.03477: the rate of the authors' code.
    """

    def __init__(self, learning_rate: float, floor: float, decay: float):
        super().__init__()
        self.learning_rate, self.floor, self.decay = learning_rate, floor, decay

    def __call__(self, step: Tensor) -> Tensor:
        return (self.learning_rate - self.floor) * self.decay ** ops.cast(step, "float32") + self.floor

    def get_config(self) -> dict[str, Any]:
        """Return every constructor argument."""
        return {"learning_rate": self.learning_rate, "floor": self.floor, "decay": self.decay}


@keras.saving.register_keras_serializable("aezoo")
class LazyAdam(keras.optimizers.Adam):
    """Adam that moves only the rows that a step has used, where the gradient knows which: for large sparse codes.

    Of a row without a gradient Adam still lets the moments decay and moves the weights on by them; here all three wait
    for the row's next gradient. Where gradients are dense it is Adam.

    Args:
        learning_rate: As of `keras.optimizers.Adam`.
        **kwargs: Those of `keras.optimizers.Adam`, but for `amsgrad`.

    Raises:
        ValueError: If `amsgrad` is asked for.

    Example:
        >>> from aezoo import KSparseAE
        >>> model = KSparseAE(latent_dim=32_768, k=32)
        >>> model.compile(optimizer=LazyAdam(1e-3))

    Reference:
        Kingma & Ba, "Adam: a method for stochastic optimization", 2014, arXiv:1412.6980; the lazy update is that of
        TensorFlow Addons' `LazyAdam`.
    """

    def __init__(self, learning_rate: float = 1e-3, **kwargs: Any):
        if kwargs.get("amsgrad"):
            raise ValueError("LazyAdam has no amsgrad: leave it out, or use keras.optimizers.Adam.")
        super().__init__(learning_rate, **kwargs)

    def update_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        m, v = _keras.adam_slots(self, variable)
        w = variable.value if isinstance(variable, keras.Variable) else variable
        rows, position = tf.unique(gradient.indices)  # a row that several samples use has the sum of their gradients
        g = tf.math.unsorted_segment_sum(tf.cast(gradient.values, w.dtype), position, tf.shape(rows)[0])
        step = tf.cast(self.iterations + 1, w.dtype)
        rate = tf.cast(learning_rate, w.dtype) * tf.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step)
        m_rows = tf.gather(m, rows) * self.beta_1 + (1 - self.beta_1) * g
        v_rows = tf.gather(v, rows) * self.beta_2 + (1 - self.beta_2) * tf.square(g)
        m.scatter_update(tf.IndexedSlices(m_rows, rows))
        v.scatter_update(tf.IndexedSlices(v_rows, rows))
        w.scatter_sub(tf.IndexedSlices(rate * m_rows / (tf.sqrt(v_rows) + self.epsilon), rows))


def apply(optimizer: keras.Optimizer, gradients: Sequence[Any], variables: Sequence[keras.Variable]) -> None:
    """Does what `optimizer.apply` does; Adam passes over the weights once, where Keras' own operations do many times.

    The equation is the same, by TensorFlow's operation for it; the weights differ by rounding. Adam with `amsgrad`, and
    every other optimizer, does what Keras has it do.

    Args:
        optimizer: Any; may be wrapped in a `LossScaleOptimizer`.
        gradients: One for each variable, of its shape, dense or `tf.IndexedSlices`; these are left to the optimizer.
        variables: What is to be moved.

    Example:
        >>> w, adam = keras.Variable([1.0, 2.0]), keras.optimizers.Adam(0.1)
        >>> apply(adam, [tf.constant([3.0, -4.0])], [w])
        >>> w.numpy().round(3)
        array([0.9, 2.1], dtype=float32)

    Reference:
        Kingma & Ba, "Adam: a method for stochastic optimization", 2014, arXiv:1412.6980.
    """
    adam: Any = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
    if type(adam) not in (keras.optimizers.Adam, keras.optimizers.AdamW, LazyAdam) or adam.amsgrad:
        optimizer.apply(gradients, variables)
        return

    def update_step(gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        try:
            moments = None if isinstance(gradient, tf.IndexedSlices) else _keras.adam_slots(adam, variable)
        except LookupError:  # a Keras that keeps them elsewhere
            moments = None
        if moments is None:
            type(adam).update_step(adam, gradient, variable, learning_rate)
            return
        w = variable.value if isinstance(variable, keras.Variable) else variable
        beta_1, beta_2, epsilon = (tf.constant(v, w.dtype) for v in (adam.beta_1, adam.beta_2, adam.epsilon))
        step, rate = ops.cast(adam.iterations + 1, w.dtype), tf.cast(learning_rate, w.dtype)
        _keras.adam_step(w, moments, tf.cast(gradient, w.dtype), step, rate, beta_1, beta_2, epsilon)

    with _keras.replaced_update_step(adam, update_step):
        optimizer.apply(gradients, variables)
