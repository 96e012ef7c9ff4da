"""Gradient descent whose learning rate and momentum follow schedules of the epoch, as Hinton's recipes have them."""

from __future__ import annotations

from typing import Any

import keras
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
