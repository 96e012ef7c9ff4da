"""Detection of divergence: training stops at the first step whose loss or gradients are not finite."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from aezoo import _keras
from aezoo._numerics import sum_over_replicas
from aezoo._typing import Tensor

if TYPE_CHECKING:
    from aezoo.training.trainer import Trainer

#: Values of `on_divergence`.
CHOICES = ("raise", "warn")


class Watch:
    """Record of the first step of a model that was not finite.

    Its variables are not part of the model: they are neither saved nor exported.

    Args:
        model: The model, with `on_divergence`, `epoch` and `distribute_strategy`.
    """

    def __init__(self, model: Trainer):
        with tf.init_scope(), model.distribute_strategy.scope():
            options = {"trainable": False, "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA}
            self._culprit = tf.Variable(0, dtype="int64", **options)  # 0: none yet
            self._poison = tf.Variable(0.0, dtype="float32", **options)  # NaN: later steps are skipped too
            self._unsound = tf.Variable(False, **options)  # True: an unguarded step should have been skipped
        self._names: list[str] = []
        self._warned = False
        self._guards = True

    # === Inside a step ===

    @contextmanager
    def unguarded(self) -> Iterator[None]:
        """Trace steps that are applied in any case, which is faster, and only record if one should have been skipped.

        Whoever runs such steps restores the state before them if `found_unsound` returns True, and runs guarded ones.
        """
        self._guards = False
        try:
            yield
        finally:
            self._guards = True

    def state(self, model: Trainer) -> list[tuple[Any, Any]]:
        """Return the variables that a step may change besides trainable weights, with their values before the step."""
        state = [v for v in model.non_trainable_variables if "float" in v.dtype]
        return [(variable, tf.identity(variable.value)) for variable in state]

    def guarded(
        self,
        model: Trainer,
        update: Callable[[Sequence[Any]], None],
        terms: Mapping[str, Any],
        loss: Tensor,
        gradients: Sequence[Any],
        state: Sequence[tuple[Any, Any]],
        total_weight: Tensor | None = None,
    ) -> None:
        """Call `update(gradients)` if the loss and all gradients are finite, on all replicas or none.

        A step that is not applied restores `state` and records the term that caused it. With loss scaling, checking the
        gradients is left to the optimizer, which skips steps itself. A batch in which every sample has weight zero also
        changes nothing: otherwise the moments of an optimizer would move the weights without a gradient.

        Args:
            model: The model.
            update: Function that changes the weights.
            terms: Terms of the loss by name, each this replica's share.
            loss: Sum of the terms.
            gradients: One gradient per trainable variable; None for a variable without gradient.
            state: Result of `state` before the step.
            total_weight: Sum of the sample weights on all replicas, or None without weights.
        """
        self._names = [*terms]
        total = tf.cast(loss, "float32") + self._poison
        if not hasattr(model.optimizer, "inner_optimizer"):
            parts = (g.values if isinstance(g, tf.IndexedSlices) else g for g in gradients if g is not None)
            # NaN and infinity survive a sum, which needs one pass and no memory.
            total = tf.add_n([total, *(tf.cast(tf.reduce_sum(g), "float32") for g in parts)])
        finite = tf.math.is_finite(sum_over_replicas(total))
        applied = finite if total_weight is None else finite & (total_weight > 0)
        if not self._guards:
            self._unsound.assign(self._unsound | ~applied)
            update(gradients)
            return
        values = [sum_over_replicas(tf.cast(term, "float32")) for term in terms.values()]
        variables, before = [variable for variable, _ in state], [value for _, value in state]
        skip = functools.partial(self._skip, variables, model.on_divergence == "raise")
        if not tf.distribute.has_strategy() or _keras.supports_no_merge_call():
            _branch(applied, functools.partial(update, gradients), functools.partial(skip, finite, values, before))
            return

        # TensorFlow has no branches in replica code that waits for other replicas, as optimizers do.
        def across(
            strategy: Tensor, applied: Tensor, finite: Tensor, gradients: Tensor, terms: Tensor, before: Tensor
        ) -> None:
            each = strategy.extended.call_for_each_replica
            _branch(
                strategy.experimental_local_results(applied)[0],
                functools.partial(each, update, args=(gradients,)),
                functools.partial(each, skip, args=(finite, terms, before)),
            )

        tf.distribute.get_replica_context().merge_call(across, args=(applied, finite, gradients, values, before))

    def _skip(
        self, variables: Sequence[Any], for_good: bool, finite: Tensor, terms: Sequence[Any], before: Sequence[Any]
    ) -> None:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
        bad = ~tf.math.is_finite(tf.stack([*terms, tf.constant(float("nan"))]))  # the last entry stands for gradients
        first = tf.argmax(tf.cast(bad, "int64")) + 1
        self._culprit.assign(tf.where(finite | (self._culprit != 0), self._culprit, first))
        if for_good:
            self._poison.assign(tf.where(finite, self._poison, float("nan")))

    # === Outside ===

    def watched(self, model: Trainer, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return a train function of Keras that checks after each call whether one of its steps diverged."""

        @functools.wraps(function)
        def call(iterator: Tensor) -> Tensor:
            logs = function(iterator)
            culprit = int(self._culprit.numpy())
            if culprit:
                self._report(model, culprit)
            return logs

        return call

    def found_unsound(self) -> bool:
        """Return whether an unguarded step should have been skipped, and reset this record."""
        found = bool(self._unsound.numpy())
        if found:
            self._unsound.assign(False)
        return found

    def reset(self) -> None:
        """Reset the record at the start of a training."""
        self._unsound.assign(False)
        self._culprit.assign(0)
        self._poison.assign(0.0)
        self._warned = False

    def _report(self, model: Trainer, culprit: int) -> None:
        name = [*(f"the term {name!r}" for name in self._names), "the gradient"][culprit - 1]
        what = f"Training diverged: in epoch {int(model.epoch.numpy()) + 1} {name} of {model.name!r} was not finite"
        if model.on_divergence == "raise":
            self.reset()
            raise ValueError(
                f"{what}; the weights are as before that step: choose a smaller learning rate, scale the data, or skip "
                "such steps with on_divergence='warn'."
            )
        if not self._warned:
            warnings.warn(f"{what}; this step and further ones like it are skipped.", stacklevel=2)
        self._warned = True


def _branch(finite: Tensor, update: Callable[[], Any], skip: Callable[[], Any]) -> None:
    def taken(function: Callable[[], Any]) -> Callable[[], Any]:
        def branch() -> Tensor:
            function()
            return tf.constant(0)

        return branch

    tf.cond(finite, taken(update), taken(skip))
