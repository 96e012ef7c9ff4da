"""Training on arrays that stay on the device: each call runs many steps as one loop of a graph.

Keras assembles each batch in a pipeline and hands it to one step. Here Keras' pipeline orders indices alone, with the
same shuffling, and the loop gathers the batches from arrays that were copied to the device once.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np
import tensorflow as tf

from aezoo import _keras
from aezoo._typing import Tensor
from aezoo.training import gate
from aezoo.training.data import FitRequest

if TYPE_CHECKING:
    from aezoo.training.trainer import Trainer

Choice = Literal["auto"] | bool

#: Share of a GPU's memory that arrays may take with resident="auto".
MEMORY_SHARE = 0.25
#: Least work of a `fit`, in floating-point operations, for resident="auto": about two seconds of two cores.
_LEAST_WORK = 1e11
#: Most steps of a call, and most floating-point operations, which two cores do in about a quarter of a second.
_MOST_STEPS, _MOST_WORK = 64, 2e10


class Unsuitable(Exception):
    """Reason why data cannot stay on the device, as the end of a sentence."""


@dataclasses.dataclass(frozen=True)
class Resident:
    """Training data on the device.

    Attributes:
        parts: Element of a data set, x, (x, y) or (x, y, sample_weight), with all samples.
        size: Number of training samples.
        batch_size: Number of samples per step.
        steps: Number of steps per call.
        compiled: Whether XLA compiles the loop.
    """

    parts: Any
    size: int
    batch_size: int
    steps: int
    compiled: bool

    @property
    def key(self) -> tuple[Any, ...]:
        """Value that differs if the loop must be made anew."""
        specs = tf.nest.map_structure(lambda part: (part.shape[1:], part.dtype), self.parts)
        return "resident", self.steps, self.batch_size, self.compiled, str(specs)


def choose(model: Trainer, request: FitRequest, choice: Choice) -> Resident | None:
    """Copy the arrays of a `fit` to the device, or return None if batches should come from Keras' pipeline.

    Args:
        model: A compiled model.
        request: The checked arguments of `fit`.
        choice: True, False, or "auto" for arrays that fit into the memory of the device and trainings that are long
            enough to gain from it.

    Raises:
        ValueError: If `choice` is True and the data cannot stay on the device, or `choice` is unknown.
    """
    if not (isinstance(choice, bool) or choice == "auto"):
        raise ValueError(f"resident must be 'auto', True or False, but it is {choice!r}.")
    if choice is False:
        return None
    try:
        return _chosen(model, request, choice is True)
    except Unsuitable as reason:
        if choice is True:
            raise ValueError(f"resident=True is impossible, since {reason}: use resident='auto'.") from None
        return None


def _chosen(model: Trainer, request: FitRequest, forced: bool) -> Resident | None:
    if reason := model.hindrance_of_resident_data(request.options):
        raise Unsuitable(reason)
    data = (request.data.x, request.data.y, request.data.weight)
    flat = [part for part in tf.nest.flatten(data) if part is not None]
    if not all(isinstance(part, np.ndarray) or (tf.is_tensor(part) and hasattr(part, "numpy")) for part in flat):
        raise Unsuitable("the data are not dense arrays")
    size = math.floor(len(flat[0]) * (1.0 - (request.options.get("validation_split") or 0.0)))
    batch_size = min(int(request.options.get("batch_size") or 32), size)
    if batch_size < 1:
        raise Unsuitable("there are no training samples")
    work = 6.0 * operations(model)
    if not forced:
        epochs = int(request.options.get("epochs", 1)) - int(request.options.get("initial_epoch") or 0)
        if work * size * epochs < _LEAST_WORK or sum(map(_bytes, flat)) > memory() * MEMORY_SHARE:
            return None
    steps = model.steps_per_execution
    if steps == 1 and model.default_steps > 1:
        steps = 2 ** int(math.log2(min(_MOST_STEPS, max(1.0, _MOST_WORK / max(1.0, work * batch_size)))))
    tensors: dict[int, Any] = {}  # a target may be the sample

    def tensor(part: Any) -> Any:
        if id(part) not in tensors:
            tensors[id(part)] = tf.convert_to_tensor(gate.single(part))
        return tensors[id(part)]

    x, y, weight = data
    element = (x,) if y is None else (x, y) if weight is None else data
    return Resident(tf.nest.map_structure(tensor, element), size, batch_size, steps, bool(model.jit_compile))


def _bytes(part: Any) -> int:
    return math.prod(part.shape) * tf.as_dtype(part.dtype).size


def memory() -> float:
    """Return the memory of the device in bytes; infinite for a CPU, whose arrays are in its memory already."""
    return _keras.device_memory() or math.inf


def operations(model: Trainer) -> float:
    """Return the multiplications of one forward pass per sample, without layers of unknown shape."""
    total = 0.0
    for layer in _keras.all_layers(model):
        if len(_keras.all_layers(layer)) > 1:
            continue
        kernels = [math.prod(v.shape) for v in layer.trainable_variables if len(v.shape) >= 2]
        output = keras.tree.flatten(getattr(layer, "output", ()))
        places = math.prod(n or 1 for n in output[0].shape[1:-1]) if output else 1
        total += sum(kernels) * places
    return total


def indices(request: FitRequest, resident: Resident) -> FitRequest:
    """Return a request whose samples are indices into the resident data; a validation split becomes validation data."""
    data = dataclasses.replace(request.data, x=np.arange(resident.size), y=None, weight=None)
    request = dataclasses.replace(request, data=data)
    if request.options.get("validation_split") and request.options.get("validation_data") is None:
        rest = tf.nest.map_structure(lambda part: part[resident.size :], resident.parts)
        request = request.replace(validation_data=rest)
    options = {name: value for name, value in request.options.items() if name != "validation_split"}
    return dataclasses.replace(request, options={**options, "batch_size": resident.batch_size})


class Loop:
    """Train function of Keras that runs the steps of a call as one loop over resident data.

    Args:
        model: The model.
        resident: The data that the loop is made for.
    """

    def __init__(self, model: Trainer, resident: Resident):
        self._model, self._steps, self._batch_size = model, resident.steps, resident.batch_size
        self._compiled = resident.compiled
        any_length = tf.nest.map_structure(
            lambda part: tf.TensorSpec((None, *part.shape[1:]), part.dtype), resident.parts
        )
        order = tf.TensorSpec((None,), "int64")
        self._read = tf.function(self._collect, autograph=False)
        self._run = tf.function(self._loop, [any_length, order], autograph=False)
        if resident.compiled:  # XLA needs to know the size of each batch
            self._run = tf.function(self._loop, autograph=False, jit_compile=True)

    def __call__(self, parts: Any, iterator: Iterator[Any]) -> dict[str, Any]:
        """Run up to `steps` steps.

        Args:
            parts: The resident data.
            iterator: An iterator over batches of indices, (batch,).

        Raises:
            StopIteration: If the iterator has no batch left.
        """
        order = self._read(iterator)
        if not len(order):
            raise StopIteration
        if not self._compiled:
            return self._run(parts, order)
        full = len(order) // self._batch_size * self._batch_size
        logs = [self._run(parts, rows) for rows in (order[:full], order[full:]) if len(rows)]
        return logs[-1]

    def _collect(self, iterator: Any) -> Tensor:
        """Return the indices of the next batches, at most `steps`, one after the other."""

        def read(i: Tensor, order: Tensor) -> tuple[Any, ...]:
            batch = iterator.get_next_as_optional()
            rows = tf.cond(batch.has_value(), lambda: tf.nest.flatten(batch.get_value())[0], lambda: order[:0])
            rows = tf.ensure_shape(rows, (None,))
            # Only the last batch of an epoch is short.
            i = tf.where(tf.shape(rows)[0] == self._batch_size, i + 1, self._steps)
            return i, tf.concat([order, rows], 0)

        start = (tf.constant(0), tf.zeros((0,), "int64"))
        shapes = (tf.TensorShape(()), tf.TensorShape((None,)))
        return tf.while_loop(lambda i, order: i < self._steps, read, start, shapes, parallel_iterations=1)[1]

    def _loop(self, parts: Any, order: Tensor) -> dict[str, Any]:
        size = self._batch_size
        if self._compiled:  # the length is known, and all batches are of one size
            size = min(size, order.shape[0])

        def step(i: Tensor) -> Tensor:
            rows = order[i * size : (i + 1) * size]
            if self._compiled:
                rows = tf.ensure_shape(tf.slice(order, [i * size], [size]), (size,))
            self._model.train_step(tf.nest.map_structure(lambda part: tf.gather(part, rows), parts))
            return i + 1

        steps = (tf.shape(order)[0] + size - 1) // size
        tf.while_loop(lambda i: i < steps, step, [tf.constant(0)], parallel_iterations=1)
        return self._model.get_metrics_result()
