"""Number of steps per execution."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import keras

from aezoo import _keras
from aezoo._typing import Logs

if TYPE_CHECKING:
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


@contextmanager
def default_steps_per_execution(model: Trainer, call: MutableMapping[str, Any]) -> Iterator[None]:
    """Run `model.default_steps` steps per call, unless `compile` chose a number or something requires single steps.

    These require single steps: callbacks with per-batch hooks, a given number of steps per epoch, which Keras would
    exceed, eager execution, and several replicas, with which Keras fails.

    Args:
        model: A compiled model.
        call: Arguments of `fit` or `evaluate` by name; a progress bar is added to its callbacks.
    """
    compiled = model.steps_per_execution
    given = call.get("callbacks") or []
    callbacks = given.callbacks if isinstance(given, keras.callbacks.CallbackList) else keras.tree.flatten(given)
    hindered = (
        any(map(has_batch_hooks, callbacks))
        or any(call.get(name) is not None for name in ("steps_per_epoch", "validation_steps", "steps"))
        or model.run_eagerly
        or model.distribute_strategy.num_replicas_in_sync > 1
    )
    if compiled == 1 and not hindered:
        model.steps_per_execution = model.default_steps
    if model.steps_per_execution > 1 and callbacks is not getattr(given, "callbacks", None):
        bar = any(isinstance(callback, keras.callbacks.ProgbarLogger) for callback in callbacks)
        if call.get("verbose") != 0 and not bar:
            call["callbacks"] = [*callbacks, _ProgressBar()]
    if model.steps_per_execution != model._steps_of_graphs:
        _keras.forget_functions(model)  # they were made for another number
        model._steps_of_graphs = model.steps_per_execution
    try:
        yield
    finally:
        model.steps_per_execution = compiled
