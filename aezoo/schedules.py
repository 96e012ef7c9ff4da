"""Values that change during training, such as the k of a k-sparse code, the beta of a VAE or a corruption level."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any, TypeAlias

import keras

__all__ = ["Constant", "Linear", "Schedulable", "Schedule", "Scheduled", "Step", "get", "serialize"]


class Schedule:
    """Base class of values that are functions of the epoch.

    A subclass must implement `__call__` and `get_config` (every constructor argument), and should implement `minimum`
    and `maximum` if they are known. Register it with `keras.saving.register_keras_serializable`, so that it is saved
    with a model.

    Example:
        >>> @keras.saving.register_keras_serializable("mine")
        ... class Halving(Schedule):
        ...     def __init__(self, start):
        ...         self.start = start
        ...
        ...     def __call__(self, epoch):
        ...         return self.start / 2**epoch
        ...
        ...     def get_config(self):
        ...         return {"start": self.start}
        >>> [Halving(1.0)(epoch) for epoch in range(3)]
        [1.0, 0.5, 0.25]
    """

    def __call__(self, epoch: int) -> float:
        """Return the value for an epoch, counted from 0."""
        raise NotImplementedError(f"{type(self).__name__} must implement __call__(epoch)")

    @property
    def minimum(self) -> float:
        """The smallest value of the schedule, or -infinity if unknown."""
        return float("-inf")

    @property
    def maximum(self) -> float:
        """The largest value of the schedule, or infinity if unknown."""
        return float("inf")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        raise NotImplementedError(f"{type(self).__name__} must implement get_config()")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Schedule:
        """Create a schedule from the result of `get_config`."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


@keras.saving.register_keras_serializable("aezoo")
class Constant(Schedule):
    """Schedule with the same value in every epoch, to which plain numbers are converted.

    Args:
        value: The value.

    Example:
        >>> Constant(0.5)(epoch=7)
        0.5
    """

    def __init__(self, value: float):
        self.value = value

    def __call__(self, epoch: int) -> float:
        return self.value

    @property
    def minimum(self) -> float:
        return self.value

    @property
    def maximum(self) -> float:
        return self.value

    def get_config(self) -> dict[str, Any]:
        return {"value": self.value}


@keras.saving.register_keras_serializable("aezoo")
class Linear(Schedule):
    """Schedule that changes linearly from `start` to `end` over `epochs` epochs and then stays at `end`.

    Args:
        start: The value in the first epoch.
        end: The value from epoch `epochs` (counted from 0) on.
        epochs: The length of the ramp, in epochs, at least 1.

    Raises:
        ValueError: If `epochs` is less than 1.

    Example:
        >>> ramp = Linear(start=100, end=20, epochs=4)
        >>> [ramp(epoch) for epoch in range(6)]
        [100.0, 80.0, 60.0, 40.0, 20.0, 20.0]
    """

    start: float
    end: float
    epochs: int

    def __init__(self, start: float, end: float, epochs: int):
        if not isinstance(epochs, numbers.Integral) or epochs < 1:
            raise ValueError(f"A linear schedule needs a whole number of epochs >= 1, but epochs={epochs!r}.")
        for value in (start, end):
            if not isinstance(value, numbers.Real):
                raise ValueError(f"start and end of a linear schedule must be numbers, but {value!r} is not.")
        self.start = start
        self.end = end
        self.epochs = epochs

    def __call__(self, epoch: int) -> float:
        done = min(epoch / self.epochs, 1.0)
        return float(self.start + (self.end - self.start) * done)

    @property
    def minimum(self) -> float:
        return min(self.start, self.end)

    @property
    def maximum(self) -> float:
        return max(self.start, self.end)

    def get_config(self) -> dict[str, Any]:
        return {"start": self.start, "end": self.end, "epochs": self.epochs}


@keras.saving.register_keras_serializable("aezoo")
class Step(Schedule):
    """Schedule that has `values[i]` until epoch `boundaries[i]` and `values[i + 1]` from this epoch on.

    Args:
        boundaries: Epochs at which the value changes, counted from 0, in increasing order.
        values: Values, one more than boundaries.

    Raises:
        ValueError: If `values` is not one longer than `boundaries`, or the boundaries do not increase.

    Example:
        >>> momentum = Step(boundaries=[5], values=[0.5, 0.9])
        >>> momentum(4), momentum(5)
        (0.5, 0.9)
    """

    def __init__(self, boundaries: Sequence[int], values: Sequence[float]):
        if len(values) != len(boundaries) + 1:
            raise ValueError(
                f"A step schedule needs one more value than boundaries, but there are {len(values)} values "
                f"and {len(boundaries)} boundaries."
            )
        if list(boundaries) != sorted(set(boundaries)):
            raise ValueError(f"The boundaries of a step schedule must increase, but they are {list(boundaries)}.")
        self.boundaries = list(boundaries)
        self.values = list(values)

    def __call__(self, epoch: int) -> float:
        return self.values[sum(epoch >= boundary for boundary in self.boundaries)]

    @property
    def minimum(self) -> float:
        return min(self.values)

    @property
    def maximum(self) -> float:
        return max(self.values)

    def get_config(self) -> dict[str, Any]:
        return {"boundaries": self.boundaries, "values": self.values}


Schedulable: TypeAlias = float | Schedule
"""A number or a `Schedule`."""


def get(value: Schedulable | dict[str, Any]) -> Schedule:
    """Convert a number, a saved configuration or a schedule to a schedule.

    Args:
        value: A number (constant), a `Schedule`, or a schedule serialized by `keras.saving.serialize_keras_object`.

    Returns:
        The schedule.

    Raises:
        TypeError: If `value` has another type.
        ValueError: If `value` is a number that is not finite.

    Example:
        >>> get(0.5)
        Constant(value=0.5)
    """
    if isinstance(value, dict):
        value = keras.saving.deserialize_keras_object(value)
    if isinstance(value, Schedule):
        return value
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise ValueError(f"A value that changes in training (beta, corruption, ...) must be finite, not {value!r}.")
        return Constant(value if isinstance(value, (int, float)) else value.item())  # type: ignore[attr-defined]
    raise TypeError(f"Expected a number or an aezoo.schedules.Schedule, but got {value!r}.")


def serialize(value: Schedulable | None) -> Any:
    """Convert a number or a schedule to a form that `get_config` can store and `get` can read.

    Args:
        value: A number, a `Schedule`, or None.

    Returns:
        A value that can be stored as JSON.

    Example:
        >>> get(serialize(Linear(1.0, 0.0, epochs=4)))
        Linear(start=1.0, end=0.0, epochs=4)
    """
    return keras.saving.serialize_keras_object(value) if isinstance(value, Schedule) else value


class Scheduled(keras.layers.Layer):
    """Layer that stores the value of a schedule in a variable, so that a new value needs no new graph.

    `aezoo.Autoencoder.fit` updates all layers of this class in a model at the start of each epoch.

    Args:
        schedule: A number or a `Schedule`.
        **kwargs: `name` of `keras.layers.Layer`.

    Attributes:
        value: A scalar float32 variable, saved with the model.

    Example:
        >>> beta = Scheduled(Linear(0.0, 1.0, epochs=4))
        >>> beta.move_to(epoch=3)
        >>> float(beta.value)
        0.75
    """

    def __init__(self, schedule: Schedulable, **kwargs: Any):
        super().__init__(dtype="float32", **kwargs)
        self.schedule = get(schedule)
        self.value = self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(self.schedule(0)),
            trainable=False,
            name="value",
            aggregation="only_first_replica",
        )
        self.built = True

    def move_to(self, epoch: int) -> None:
        """Set the value for an epoch, counted from 0."""
        self.value.assign(self.schedule(epoch))
