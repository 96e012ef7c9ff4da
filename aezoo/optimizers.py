"""Optimizers that Keras lacks, and Keras' own Adam by TensorFlow's kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from aezoo import schedules


@keras.saving.register_keras_serializable("aezoo")
class ScheduledSGD(keras.optimizers.SGD):
    """m ← μm - ηg, w ← w + m, where η and μ are numbers or schedules of the epoch.

    Both are variables: a new epoch needs no new graph, and they are saved with the optimizer. `aezoo.Autoencoder.fit`
    moves them; with another trainer, call `move_to(epoch)`.

    Args:
        learning_rate: η, a number or an `aezoo.schedules.Schedule`.
        momentum: μ in [0, 1], a number or a schedule.
        **kwargs: Those of `keras.optimizers.SGD`.

    Example:
        >>> optimizer = ScheduledSGD(0.1, momentum=schedules.Step([5], [0.5, 0.9]))

    Reference:
        Hinton, "A practical guide to training restricted Boltzmann machines", UTML TR 2010-003, sections 7 and 9.
    """

    def __init__(
        self,
        learning_rate: float | schedules.Schedule = 0.01,
        momentum: float | schedules.Schedule = 0.0,
        **kwargs: Any,
    ):
        # Keras makes momentum buffers where the momentum it is given is not 0.
        super().__init__(float(schedules.get(learning_rate)(0)), momentum=1.0, **kwargs)
        self.learning_rate_schedule = schedules.get(learning_rate)
        self.momentum_schedule = schedules.get(momentum)

    def build(self, variables: Any) -> None:
        if self.built:
            return
        super().build(variables)
        self.momentum_value = self.add_variable(
            shape=(), initializer=keras.initializers.Constant(self.momentum_schedule(0)), name="momentum_value"
        )

    def move_to(self, epoch: int) -> None:
        """Sets learning rate and momentum to those of epoch `epoch`, counted from 0."""
        self.learning_rate = self.learning_rate_schedule(epoch)
        if self.built:
            self.momentum_value.assign(self.momentum_schedule(epoch))

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        m = self.momentums[self._get_variable_index(variable)]
        rate = ops.cast(learning_rate, variable.dtype)
        momentum = ops.cast(self.momentum_value, variable.dtype)
        step = ops.subtract(ops.multiply(m, momentum), ops.multiply(ops.cast(gradient, variable.dtype), rate))
        self.assign(m, step)
        self.assign_add(variable, step)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["learning_rate"] = schedules.serialize(self.learning_rate_schedule)
        config["momentum"] = schedules.serialize(self.momentum_schedule)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> ScheduledSGD:
        return cls(**config)


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

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        m, v = self._momentums[index].value, self._velocities[index].value
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

    The equation is the same, by `tf.raw_ops.ResourceApplyAdam`; the weights differ by rounding. Adam with `amsgrad`,
    and every other optimizer, does what Keras has it do.

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
    adam = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
    if type(adam) not in (keras.optimizers.Adam, keras.optimizers.AdamW, LazyAdam) or adam.amsgrad:
        optimizer.apply(gradients, variables)
        return

    def update_step(gradient: Any, variable: Any, learning_rate: Any) -> None:
        if isinstance(gradient, tf.IndexedSlices):
            type(adam).update_step(adam, gradient, variable, learning_rate)
            return
        index = adam._get_variable_index(variable)
        w = variable.value if isinstance(variable, keras.Variable) else variable
        beta_1, beta_2, epsilon = (tf.constant(v, w.dtype) for v in (adam.beta_1, adam.beta_2, adam.epsilon))
        step = ops.cast(adam.iterations + 1, w.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=w.handle,
            m=adam._momentums[index].value.handle,
            v=adam._velocities[index].value.handle,
            beta1_power=beta_1**step,
            beta2_power=beta_2**step,
            lr=tf.cast(learning_rate, w.dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=epsilon,
            grad=tf.cast(gradient, w.dtype),
        )

    # For this call alone, and past Keras' tracking of attributes: the optimizer stays the user's. Calls of several
    # replicas overlap.
    vars(adam)["update_step"] = update_step
    try:
        optimizer.apply(gradients, variables)
    finally:
        vars(adam).pop("update_step", None)
