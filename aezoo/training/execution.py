"""Number of steps per call, and the functions that are made for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import keras

from aezoo import _keras
from aezoo._typing import Logs

if TYPE_CHECKING:
    from aezoo.training.resident import Resident
    from aezoo.training.trainer import Trainer

_HOOKS = [f"on_{kind}batch_{end}" for kind in ("", "train_", "test_") for end in ("begin", "end")]


def has_batch_hooks(callback: keras.callbacks.Callback) -> bool:
    """Return whether a callback has per-batch hooks, which do not run when several steps are one call."""
    if "epoch" in (getattr(callback, "save_freq", None), getattr(callback, "update_freq", None)):
        return False  # Keras' own callbacks, whose hooks then do nothing
    own = [getattr(getattr(callback, hook), "__func__", callback) for hook in _HOOKS]
    return any(
        function is not getattr(keras.callbacks.Callback, hook) for function, hook in zip(own, _HOOKS, strict=True)
    )


class _ProgressBar(keras.callbacks.ProgbarLogger):
    """Progress bar that does not count the steps of the last call beyond the end (48/46), as Keras' own does."""

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        super().on_train_batch_end(self._step(batch), logs)

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        super().on_test_batch_end(self._step(batch), logs)

    def _step(self, batch: int) -> int:
        return batch if self.target is None else min(batch, self.target - 1)


def hindrance(model: Trainer, call: Mapping[str, Any]) -> str | None:
    """Return why each step must be a call of its own, as the end of a sentence; None if it need not.

    Reasons are callbacks with per-batch hooks, a given number of steps per epoch, which Keras would exceed, eager
    execution, and several replicas, with which Keras fails.

    Args:
        model: A compiled model.
        call: Arguments of `fit` or `evaluate` by name.
    """
    batchwise = [type(callback).__name__ for callback in _callbacks(call) if has_batch_hooks(callback)]
    if batchwise:
        return f"the callback {batchwise[0]} has per-batch hooks"
    counted = [name for name in ("steps_per_epoch", "validation_steps", "steps") if call.get(name) is not None]
    if counted:
        return f"{counted[0]} is given"
    if model.run_eagerly:
        return "the model runs eagerly"
    return "there are several replicas" if model.distribute_strategy.num_replicas_in_sync > 1 else None


def _callbacks(call: Mapping[str, Any]) -> list[keras.callbacks.Callback]:
    given = call.get("callbacks") or []
    return given.callbacks if isinstance(given, keras.callbacks.CallbackList) else keras.tree.flatten(given)


class Functions:
    """Functions of `fit` and `evaluate` of a model, one pair per number of steps and per form of resident data.

    Each is made once, however often trainings and evaluations alternate, also within one another.
    """

    def __init__(self) -> None:
        self._key: object = None
        self._users = 0
        self._kept: dict[object, tuple[object, tuple[Any, Any]]] = {}

    @contextmanager
    def chosen(self, model: Trainer, key: object) -> Iterator[None]:
        """Give a model the functions of a key; a call inside another one restores the functions of the other key."""
        outer = self._key
        self._exchange(model, key)
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if self._users:
                self._exchange(model, outer)

    def _exchange(self, model: Trainer, key: object) -> None:
        if key == self._key:
            return
        compilation = _keras.compilation(model)
        made_for, functions = self._kept.pop(key, (None, (None, None)))
        old = _keras.exchange_functions(model, functions if made_for is compilation else None)
        self._kept[self._key] = compilation, old
        self._key = key


@contextmanager
def default_steps_per_execution(
    model: Trainer, call: MutableMapping[str, Any], resident: Resident | None = None
) -> Iterator[None]:
    """Run `model.default_steps` steps per call, unless `compile` chose a number or something requires single steps.

    Args:
        model: A compiled model.
        call: Arguments of `fit` or `evaluate` by name; a progress bar is added to its callbacks.
        resident: The data of a `fit` on the device, which determine the number of steps.
    """
    compiled = model.steps_per_execution
    given = call.get("callbacks") or []
    callbacks = _callbacks(call)
    if resident is not None:
        model.steps_per_execution = resident.steps
    elif compiled == 1 and not hindrance(model, call):
        model.steps_per_execution = model.default_steps
    if model.steps_per_execution > 1 and callbacks is not getattr(given, "callbacks", None):
        bar = any(isinstance(callback, keras.callbacks.ProgbarLogger) for callback in callbacks)
        if call.get("verbose") != 0 and not bar:
            call["callbacks"] = [*callbacks, _ProgressBar()]
    key = model.steps_per_execution if resident is None else resident.key
    try:
        with model._functions.chosen(model, key):
            yield
    finally:
        model.steps_per_execution = compiled
