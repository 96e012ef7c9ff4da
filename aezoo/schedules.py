"""Values that change while a model trains: the k of a k-sparse code, the beta of a VAE, a corruption level."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any, TypeAlias

import keras


class Schedule:
    """A value as a function of the number of finished epochs.

    Subclass it with `__call__`, `get_config` (every constructor argument) and, where they are known, `minimum` and
    `maximum`; register the subclass with `keras.saving.register_keras_serializable` so that it is saved with a model.

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
        """Returns the value in force during epoch `epoch`, counted from 0."""
        raise NotImplementedError(f"{type(self).__name__} must implement __call__(epoch)")

    @property
    def minimum(self) -> float:
        """The smallest value that the schedule ever takes; -infinity where it is not known."""
        return float("-inf")

    @property
    def maximum(self) -> float:
        """The largest value that the schedule ever takes; infinity where it is not known."""
        return float("inf")

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments."""
        raise NotImplementedError(f"{type(self).__name__} must implement get_config()")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Schedule:
        """Makes the schedule from what `get_config` returned."""
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
    """The same value in every epoch: what a plain number becomes.

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
    """Goes from `start` to `end` in equal steps over `epochs` epochs, and stays at `end` from then on.

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
                raise ValueError(f"A linear schedule goes from a number to a number, but {value!r} is none.")
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
    """Holds `values[i]` until epoch `boundaries[i]`, then goes to `values[i + 1]`.

    Args:
        boundaries: The epochs (counted from 0, increasing) at which the value changes.
        values: One value more than there are boundaries.

    Raises:
        ValueError: If the lengths do not fit or the boundaries do not increase.

    Example:
        >>> momentum = Step(boundaries=[5], values=[0.5, 0.9])
        >>> momentum(4), momentum(5)
        (0.5, 0.9)
    """

    def __init__(self, boundaries: Sequence[int], values: Sequence[float]):
        if len(values) != len(boundaries) + 1:
            raise ValueError(
                f"A step schedule needs one value more than boundaries, but there are {len(values)} values "
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
"""A number, or a schedule of it."""


def get(value: Schedulable | dict[str, Any]) -> Schedule:
    """Makes a schedule of a plain number, of a saved configuration, or of a schedule.

    Args:
        value: A number (constant), a `Schedule`, or what `keras.saving.serialize_keras_object` made of one.

    Returns:
        The schedule.

    Raises:
        TypeError: If `value` is none of these.
        ValueError: If it is a number that is not finite.

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
    """Returns what `get_config` of a model stores for a number or a schedule; `get` reads it again.

    Args:
        value: A number, a `Schedule`, or None.

    Returns:
        What JSON can hold.

    Example:
        >>> get(serialize(Linear(1.0, 0.0, epochs=4)))
        Linear(start=1.0, end=0.0, epochs=4)
    """
    return keras.saving.serialize_keras_object(value) if isinstance(value, Schedule) else value


class Scheduled(keras.layers.Layer):
    """Holds the value of a schedule in a variable, so that a new value needs no new graph.

    `aezoo.Autoencoder.fit` finds every layer of this class inside a model and moves it at the start of each epoch.

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
        """Sets the value to that of epoch `epoch`, counted from 0."""
        self.value.assign(self.schedule(epoch))
