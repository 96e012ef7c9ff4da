"""Optimizers that Keras lacks, and Keras' Adam with TensorFlow's fused kernel."""

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

__all__ = ["DecayToFloor", "LazyAdam", "ScheduledSGD", "apply"]

_OfStep = keras.optimizers.schedules.LearningRateSchedule


@keras.saving.register_keras_serializable("aezoo")
class ScheduledSGD(keras.optimizers.SGD):
    """SGD with momentum, m ← μm - ηg, w ← w + m, where η and μ are numbers or schedules by the epoch.

    Both are variables: a new epoch needs no new graph, and they are saved with the optimizer. `aezoo.Autoencoder.fit`
    updates them; with another trainer, call `move_to(epoch)`.

    A constant `learning_rate` is set only once, so that `keras.callbacks.ReduceLROnPlateau` and other code can assign
    it. A schedule sets the rate at the start of each epoch and keeps factors applied in the meantime: after a callback
    halves the rate, it remains half of the schedule's value.

    Args:
        learning_rate: η, a number, an `aezoo.schedules.Schedule` by the epoch, or a
            `keras.optimizers.schedules.LearningRateSchedule` by the step.
        momentum: μ in [0, 1], a number or a schedule by the epoch.
        **kwargs: Arguments of `keras.optimizers.SGD`, such as `nesterov` for w ← w + μm - ηg.

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
        # Keras creates momentum buffers only if the momentum is not 0.
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
        # The rate that the schedule set last, to detect later assignments; saved together with the current rate.
        self.scheduled_rate = self.add_variable(
            shape=(), initializer=keras.initializers.Constant(self._scheduled or 0.0), name="scheduled_rate"
        )

    def move_to(self, epoch: int) -> None:
        """Set the learning rate and the momentum for an epoch, counted from 0."""
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
        old = len(store.keys()) == count - 1  # saved before `scheduled_rate` existed
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
    """Exponential decay of the learning rate to a floor: (η₀ - floor) · decayᵗ + floor at step t.

    Args:
        learning_rate: η₀, the rate at step 0.
        floor: The limit of the rate.
        decay: Factor per step of the difference between the rate and the floor.

    Example:
        >>> rate = DecayToFloor(1e-3, floor=1e-5, decay=0.9999)
        >>> [float(f"{float(rate(step)):.3g}") for step in (0, 10_000, 1_000_000)]
        [0.001, 0.000374, 1e-05]

    Reference:
        Ha & Eck, "A neural representation of sketch drawings", 2017, arXiv:1704.03477; the schedule of the
        authors' code.
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
    """Lazy Adam for large sparse codes: for sparse gradients, updates only the rows that have a gradient.

    For a row without a gradient, Adam still decays the moments and updates the weights by them. Here, the moments and
    weights of the row are unchanged until its next gradient. `aezoo.layers.UnitNormRows`, the constraint of a
    dictionary, is applied to the updated rows only. With the dense gradients of a `KSparseAE` without `by_rows`, it is
    the same as Adam.

    Args:
        learning_rate: As in `keras.optimizers.Adam`.
        **kwargs: Arguments of `keras.optimizers.Adam`, except `amsgrad`.

    Raises:
        ValueError: If `amsgrad` is true.

    Example:
        >>> from aezoo import KSparseAE
        >>> model = KSparseAE(latent_dim=32_768, k=32)
        >>> model.compile(optimizer=LazyAdam(1e-3))

    Reference:
        Kingma & Ba, "Adam: a method for stochastic optimization", 2014, arXiv:1412.6980; the lazy update as in
        TensorFlow Addons' `LazyAdam`.
    """

    def __init__(self, learning_rate: float = 1e-3, **kwargs: Any):
        if kwargs.get("amsgrad"):
            raise ValueError("LazyAdam has no amsgrad: leave it out, or use keras.optimizers.Adam.")
        super().__init__(learning_rate, **kwargs)
        self._of_rows: dict[int, Any] = {}

    def build(self, variables: list[keras.Variable]) -> None:
        super().build(variables)
        # Once, because other replicas find the constraints put aside.
        self._of_rows = {i: v.constraint for i, v in enumerate(variables) if _is_of_rows(v.constraint)}

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[keras.Variable] | None = None) -> None:
        if trainable_variables is None or self.gradient_accumulation_steps:  # accumulated gradients are dense
            super().apply(grads, trainable_variables)
            return
        grads, variables = list(grads), list(trainable_variables)
        sparse = [v for gradient, v in zip(grads, variables, strict=True) if isinstance(gradient, tf.IndexedSlices)]
        constraints = [(v, v.constraint) for v in sparse if _is_of_rows(v.constraint)]
        if not self.built:
            self.build(variables)
        try:  # Keras would apply the constraints to all rows
            for variable, _ in constraints:
                variable.constraint = None
            super().apply(grads, variables)
        finally:
            for variable, constraint in constraints:
                variable.constraint = constraint

    def update_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        m, v = _keras.adam_slots(self, variable)
        w = variable.value if isinstance(variable, keras.Variable) else variable
        rows, position = tf.unique(gradient.indices)  # gradients of several samples add up
        g = tf.math.unsorted_segment_sum(tf.cast(gradient.values, w.dtype), position, tf.shape(rows)[0])
        step = tf.cast(self.iterations + 1, w.dtype)
        rate = tf.cast(learning_rate, w.dtype) * tf.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step)
        m_rows = tf.gather(m, rows) * self.beta_1 + (1 - self.beta_1) * g
        v_rows = tf.gather(v, rows) * self.beta_2 + (1 - self.beta_2) * tf.square(g)
        m.scatter_update(tf.IndexedSlices(m_rows, rows))
        v.scatter_update(tf.IndexedSlices(v_rows, rows))
        w_rows = tf.gather(w, rows) - rate * m_rows / (tf.sqrt(v_rows) + self.epsilon)
        constraint = self._of_rows.get(_keras.variable_index(self, variable))
        w_rows = w_rows if constraint is None else constraint(w_rows)
        w.scatter_update(tf.IndexedSlices(w_rows, rows))


def _is_of_rows(constraint: Any) -> bool:
    """Return whether a constraint is marked as one of each row alone, as `UnitNormRows` does."""
    return bool(getattr(constraint, "of_rows", False))


def apply(optimizer: keras.Optimizer, gradients: Sequence[Any], variables: Sequence[keras.Variable]) -> None:
    """Apply gradients like `optimizer.apply`, but update Adam in one pass over the weights instead of many.

    The update is the same equation, computed by TensorFlow's fused operation, so that weights differ only by rounding.
    Adam with `amsgrad` and all other optimizers use Keras' implementation.

    Args:
        optimizer: Any Keras optimizer, optionally wrapped in a `LossScaleOptimizer`.
        gradients: One gradient per variable, of its shape. `tf.IndexedSlices` are passed on to the optimizer.
        variables: The variables to update.

    Example:
        >>> w, adam = keras.Variable([1.0, 2.0]), keras.optimizers.Adam(0.1)
        >>> apply(adam, [tf.constant([3.0, -4.0])], [w])
        >>> w.numpy().round(3)
        array([0.9, 2.1], dtype=float32)

    Reference:
        Kingma & Ba, "Adam: a method for stochastic optimization", 2014, arXiv:1412.6980.
    """
    adam: Any = getattr(optimizer, "inner_optimizer", optimizer)  # inside a LossScaleOptimizer
    if type(adam) not in (keras.optimizers.Adam, keras.optimizers.AdamW, LazyAdam) or adam.amsgrad:
        optimizer.apply(gradients, variables)
        return

    def update_step(gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        try:
            moments = None if isinstance(gradient, tf.IndexedSlices) else _keras.adam_slots(adam, variable)
        except LookupError:  # a version of Keras that stores them elsewhere
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
