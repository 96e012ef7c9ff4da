"""Steps on arrays in few calls: each call runs many steps as one loop of a graph.

Keras assembles each batch in a pipeline of threads and hands it to one step. In training, the arrays are copied to the
device once, each epoch has one permutation, the same as in Keras' pipeline, and the loop gathers the batches.
Evaluation and prediction pass over arrays once, in order: each call gets a piece of many batches.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np
import tensorflow as tf

from aezoo import _keras
from aezoo._typing import Tensor
from aezoo.training import gate
from aezoo.training.data import FitRequest

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder
    from aezoo.training.divergence import Watch
    from aezoo.training.trainer import Trainer

Choice = Literal["auto"] | bool

#: Share of a GPU's memory that arrays may take with resident="auto".
MEMORY_SHARE = 0.25
#: Least work of a `fit`, in floating-point operations, for which XLA is worth the seconds of its compilation: about ten
#: seconds of two cores.
_LEAST_COMPILED_WORK = 1e12
#: Most steps of a call, and most floating-point operations, which two cores do in about half a second.
_MOST_STEPS, _MOST_WORK = 64, 4e10
#: Most bytes of the samples of a call of `evaluate` or `predict`.
_MOST_BYTES = 2**24


@dataclasses.dataclass(frozen=True)
class Ordered:
    """Array that `fit` visits in a given order, as `resident` of a `fit` on the data set of the same batches.

    Attributes:
        x: All samples, on the device.
        batch_size: Number of samples per step.
        order: Function that returns the indices of the samples of the next epoch.
        below: Models whose codes, one after another, are the samples of a step.
    """

    x: Tensor
    batch_size: int
    order: Callable[[], Tensor]
    below: tuple[Autoencoder, ...] = ()


class Unsuitable(Exception):
    """Reason why data cannot stay on the device, as the end of a sentence."""


@dataclasses.dataclass(frozen=True)
class Resident:
    """Arrays that a loop runs over.

    Attributes:
        parts: Element of a data set, x, (x, y) or (x, y, sample_weight), with all samples.
        size: Number of samples.
        batch_size: Number of samples per step.
        steps: Number of steps per call.
        compiled: Whether XLA compiles the loop.
        calls: For each call, parts on the device and the indices in them of its samples. In training, epoch after
            epoch, without end.
        below: Models whose codes, one after another, are the samples of a step.
        validation: Validation data on the device; None if there are none, or Keras' pipeline serves them.
    """

    parts: Any
    size: int
    batch_size: int
    steps: int
    compiled: bool
    calls: Iterator[tuple[Any, Tensor]]
    below: tuple[Autoencoder, ...] = ()
    validation: Resident | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """Value that differs if the loop must be made anew."""
        specs = tf.nest.map_structure(lambda part: (part.shape[1:], tf.as_dtype(part.dtype)), self.parts)
        of_validation = None if self.validation is None else self.validation.key
        return "resident", self.steps, self.batch_size, self.compiled, str(specs), self.below, of_validation

    @property
    def counted(self) -> tf.data.Dataset:
        """Data set with one element per batch, by which Keras counts its calls."""
        return tf.data.Dataset.range(math.ceil(self.size / self.batch_size))


def choose(model: Trainer, request: FitRequest, choice: Choice | Ordered) -> Resident | None:
    """Copy the arrays of a `fit` to the device, or return None if batches should come from Keras' pipeline.

    Args:
        model: A compiled model.
        request: The checked arguments of `fit`.
        choice: True, False, or "auto" for arrays that fit into the memory of the device; or the array that the
            request's data set makes batches of, which is as "auto".

    Raises:
        ValueError: If `choice` is True and the data cannot stay on the device, or `choice` is unknown.
    """
    if isinstance(choice, Ordered):
        return _unless_unsuitable("auto", lambda: _ordered(model, request, choice))
    return _unless_unsuitable(choice, lambda: _chosen(model, request, choice is True))


def _unless_unsuitable(choice: Choice, made: Callable[[], Resident | None]) -> Resident | None:
    if not (isinstance(choice, bool) or choice == "auto"):
        raise ValueError(f"resident must be 'auto', True or False, but it is {choice!r}.")
    if choice is False:
        return None
    try:
        return made()
    except Unsuitable as reason:
        if choice is True:
            raise ValueError(f"resident=True is impossible, since {reason}: use resident='auto'.") from None
        return None


def _ordered(model: Trainer, request: FitRequest, ordered: Ordered) -> Resident | None:
    if reason := model.hindrance_of_resident_data(request.options):
        raise Unsuitable(reason)
    x, work = ordered.x, 6.0 * operations(model) + 2.0 * sum(map(operations, ordered.below))
    size = len(x)
    whole = work * size * int(request.options["epochs"])  # also the finished ones: a resumed run computes as before
    if _bytes(x) > memory() * MEMORY_SHARE:
        return None
    steps = _steps(model, work * ordered.batch_size)
    dense = all(map(gains_from_xla, (model, *ordered.below)))
    return Resident(
        parts=(x,),
        size=size,
        batch_size=ordered.batch_size,
        steps=steps,
        compiled=bool(model.jit_compile) or (whole >= _LEAST_COMPILED_WORK and dense),
        calls=_calls((x,), _cut(ordered.order, size, ordered.batch_size * steps)),
        below=ordered.below,
    )


def _dense_data(model: Trainer, request: FitRequest, steps: tuple[str, ...]) -> Any:
    """Return the element of a data set with all samples; raise `Unsuitable` if a loop cannot run over it."""
    if reason := model.hindrance_of_resident_data(request.options, steps):
        raise Unsuitable(reason)
    data = _element(request.data.x, request.data.y, request.data.weight)
    if not _is_dense(data):
        raise Unsuitable("the data are not dense arrays")
    return data


def _chosen(model: Trainer, request: FitRequest, forced: bool) -> Resident | None:
    data = _dense_data(model, request, ("train_step", "test_step", "compute_metrics"))
    validation = request.options.get("validation_data")
    split = (request.options.get("validation_split") or 0.0) if validation is None else 0.0
    total = len(tf.nest.flatten(data)[0])
    size = math.floor(total * (1.0 - split))
    batch_size = min(int(request.options.get("batch_size") or 32), size)
    if batch_size < 1:
        raise Unsuitable("there are no training samples")
    shuffle = request.options.get("shuffle", True)
    if shuffle == "batch":
        raise Unsuitable("shuffle='batch' is given")
    work = 6.0 * operations(model)
    epochs = int(request.options.get("epochs", 1)) - int(request.options.get("initial_epoch") or 0)
    whole = work * size * epochs
    if not forced and sum(map(_bytes, tf.nest.flatten(data))) > memory() * MEMORY_SHARE:
        return None
    steps = _steps(model, work * batch_size)
    parts = _on_device(data)
    resident = Resident(
        parts=parts,
        size=size,
        batch_size=batch_size,
        steps=steps,
        compiled=bool(model.jit_compile) or (whole >= _LEAST_COMPILED_WORK and gains_from_xla(model)),
        calls=_calls(parts, calls_of(size, batch_size * steps, bool(shuffle))),
    )
    if size < total:
        parts = tf.nest.map_structure(lambda part: part[size:], parts)
    elif isinstance(validation, tuple) and _is_dense(_element(*validation)):
        parts = _on_device(_element(*validation))
    else:
        return resident
    rest = len(tf.nest.flatten(parts)[0])
    batch_size = min(int(request.options.get("validation_batch_size") or batch_size), rest)
    calls = _calls(parts, calls_of(rest, batch_size * steps, False))
    validation = dataclasses.replace(resident, parts=parts, size=rest, batch_size=batch_size, calls=calls)
    return dataclasses.replace(resident, validation=validation)


def _steps(model: Trainer, work: float) -> int:
    """Return the number of steps per call, a power of 2 unless `compile` was given one.

    Args:
        model: A compiled model.
        work: Floating-point operations of a step.
    """
    if model.steps_per_execution > 1 or model.default_steps == 1:
        return model.steps_per_execution
    return 2 ** int(math.log2(min(_MOST_STEPS, max(1.0, _MOST_WORK / max(1.0, work)))))


def sweep(model: Trainer, request: FitRequest, choice: Choice, steps: tuple[str, ...]) -> Resident | None:
    """Return the arrays of `evaluate` or `predict`, whose pieces go to the calls; None if Keras should batch them.

    Args:
        model: A model; compiled for `evaluate`.
        request: The checked arguments.
        choice: True, False, or "auto" for all dense arrays.
        steps: Names of the methods that the loop stands in for, which a subclass must not have overridden.

    Raises:
        ValueError: As `choose`.
    """

    def made() -> Resident:
        data = _dense_data(model, request, steps)
        if "predict_step" in steps and request.options.get("callbacks"):
            raise Unsuitable("there are callbacks")
        flat = tf.nest.flatten(data)
        size = len(flat[0])
        if not size:
            raise Unsuitable("there are no samples")
        batch_size = int(request.options.get("batch_size") or 32)
        per_batch = sum(map(_bytes, flat)) / size * batch_size
        count = min(_steps(model, 2.0 * operations(model) * batch_size), max(1, int(_MOST_BYTES / per_batch)))
        calls = pieces_of(data, size, batch_size * count)
        return Resident(data, size, batch_size, count, bool(model.jit_compile), calls)

    return _unless_unsuitable(choice, made)


def _element(x: Any, y: Any = None, weight: Any = None) -> Any:
    """Return an element of a data set: (x,), (x, y) or (x, y, sample_weight)."""
    return (x,) if y is None and weight is None else (x, y) if weight is None else (x, y, weight)


def _is_dense(data: Any) -> bool:
    return all(
        isinstance(part, np.ndarray) or (tf.is_tensor(part) and hasattr(part, "numpy"))
        for part in tf.nest.flatten(data)
        if part is not None
    )


def _on_device(data: Any) -> Any:
    tensors: dict[int, Any] = {}  # a target may be the sample

    def tensor(part: Any) -> Any:
        if part is not None and id(part) not in tensors:
            tensors[id(part)] = tf.convert_to_tensor(gate.single(part))
        return tensors.get(id(part))

    return tf.nest.map_structure(tensor, data)


def calls_of(size: int, samples: int, shuffle: bool) -> Iterator[Tensor]:
    """Yield the indices of the samples of each call, epoch after epoch, in the order in which Keras visits an array.

    Args:
        size: Number of training samples.
        samples: Number of samples per call; the last call of an epoch may have fewer.
        shuffle: Whether each epoch has a new order.
    """

    def permutation(_: Tensor) -> Tensor:  # as in Keras: TensorFlow's seed of a random operation is its place
        indices = tf.range(size, dtype=tf.int64)
        return tf.random.shuffle(indices) if shuffle else indices

    orders = tf.data.Dataset.range(1).map(permutation)
    return _cut(lambda: next(iter(orders)), size, samples)


def _cut(new_order: Callable[[], Tensor], size: int, samples: int) -> Iterator[Tensor]:
    while True:
        order = tf.cast(new_order(), "int64")
        yield from (order[start : start + samples] for start in range(0, size, samples))


def _calls(parts: Any, orders: Iterator[Tensor]) -> Iterator[tuple[Any, Tensor]]:
    return ((parts, order) for order in orders)


def pieces_of(data: Any, size: int, samples: int) -> Iterator[tuple[Any, Tensor]]:
    """Yield pieces of arrays in order, on the device, and the indices in each of the samples that are new in it.

    All pieces are of one length: the last one begins earlier if necessary, since XLA compiles once per length.

    Args:
        data: Element of a data set with all samples.
        size: Number of samples.
        samples: Number of samples per piece.
    """
    for start in range(0, size, samples):
        first = max(0, min(start, size - samples))
        piece = tf.nest.map_structure(lambda part, first=first: part[first : first + samples], data)
        yield _on_device(piece), tf.range(start - first, min(samples, size - first), dtype=tf.int64)


def _bytes(part: Any) -> int:
    return math.prod(part.shape) * tf.as_dtype(part.dtype).size


def memory() -> float:
    """Return the memory of the device in bytes; infinite for a CPU, whose arrays are in its memory already."""
    return _keras.device_memory() or math.inf


def gains_from_xla(model: Trainer) -> bool:
    """Return whether XLA makes steps of a model faster on a CPU.

    Dense networks in float32 are faster; convolutions and recurrences are not, and neither are products in half
    precision, for which only TensorFlow itself uses a processor's matrix units. On GPUs Keras itself chooses XLA. Keras
    does not tell `jit_compile=False` from its default, "auto".
    """
    dense = len(model.x_shape) != 2 and all(len(variable.shape) <= 2 for variable in model.trainable_variables)
    return dense and model.compute_dtype == "float32" and math.isinf(memory())


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


def _state(model: Trainer) -> list[keras.Variable]:
    """Return each variable that a step may change: weights, random states, metrics and the state of the optimizer."""
    variables = (*model.variables, *model.metrics_variables, *model.optimizer.variables)
    return list({id(variable): variable for variable in variables}.values())


def counted(request: FitRequest, resident: Resident) -> FitRequest:
    """Return a request whose data only count the batches of the resident data."""
    data = dataclasses.replace(request.data, x=resident.counted, y=None, weight=None)
    options = {name: value for name, value in request.options.items() if name not in ("batch_size", "validation_split")}
    if resident.validation is not None:
        options["validation_data"] = resident.validation.counted
        options.pop("validation_batch_size", None)
    elif options.get("validation_data") is not None:
        options["validation_batch_size"] = options.get("validation_batch_size") or resident.batch_size
    return FitRequest(data, options)


class Loop:
    """Function of Keras that runs the steps of a call as one loop over resident data.

    Args:
        model: The model.
        resident: Data of the form that the loop is made for.
        step: Method of the model, "train_step" or "test_step".
    """

    def __init__(self, model: Trainer, resident: Resident, step: str):
        self._model, self._step = model, getattr(model, step)
        self._steps, self._batch_size, self._below = resident.steps, resident.batch_size, resident.below
        any_length = tf.nest.map_structure(
            lambda part: tf.TensorSpec((None, *part.shape[1:]), part.dtype), resident.parts
        )
        self._signature = [any_length, tf.TensorSpec((None,), "int64")]
        # TensorFlow counts the graphs of a method over all models, and would warn of many; a partial is not counted.
        self._run = tf.function(functools.partial(self._any_batches), self._signature, autograph=False)
        self._run_compiled = None
        if resident.compiled:
            self._run_compiled = tf.function(functools.partial(self._full_batches), autograph=False, jit_compile=True)

    def __call__(self, resident: Resident) -> dict[str, Any]:
        """Run the steps of the next call."""
        parts, order = next(resident.calls)
        if self._run_compiled is None:
            return self._call(self._run, parts, order)
        full = len(order) // self._batch_size * self._batch_size
        # A short batch is compiled like the others, since XLA draws other noise.
        return [self._call_compiled(parts, rows) for rows in (order[:full], order[full:]) if len(rows)][-1]

    def _call_compiled(self, parts: Any, order: Tensor) -> dict[str, Any]:
        """Run full batches, or a short one, with XLA; without, if `resident` chose it and it cannot compile a step."""
        if self._run_compiled is not None:
            try:
                return self._call(self._padded, parts, order)
            except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):  # nothing has run
                if self._model.jit_compile:
                    raise
                self._run_compiled = None
        return self._call(self._run, parts, order)

    def _call(self, run: Callable[..., dict[str, Any]], parts: Any, order: Tensor) -> dict[str, Any]:
        return run(parts, order)

    def _padded(self, parts: Any, order: Tensor) -> dict[str, Any]:
        """Run the compiled loop: one serves any number of full batches, another one a short batch."""
        assert self._run_compiled is not None
        if len(order) < self._batch_size:
            return self._run_compiled(parts, order[None], tf.constant(1))
        batches = len(order) // self._batch_size
        order = tf.reshape(order, (batches, self._batch_size))
        return self._run_compiled(parts, tf.pad(order, [[0, self._steps - batches], [0, 0]]), tf.constant(batches))

    def _full_batches(self, parts: Any, order: Tensor, batches: Tensor) -> dict[str, Any]:
        return self._loop(parts, lambda i: order[i], batches)

    def _any_batches(self, parts: Any, order: Tensor) -> dict[str, Any]:
        size = self._batch_size
        batches = (tf.shape(order)[0] + size - 1) // size
        return self._loop(parts, lambda i: order[i * size : (i + 1) * size], batches)

    def _loop(self, parts: Any, rows_of: Callable[[Tensor], Tensor], batches: Tensor) -> dict[str, Any]:
        def step(i: Tensor) -> Tensor:
            rows = rows_of(i)
            batch = tf.nest.map_structure(lambda part: tf.gather(part, rows), parts)
            for stage in self._below:
                batch = (stage.encode(batch[0]),)
            self._step(batch)
            return i + 1

        tf.while_loop(lambda i: i < batches, step, [tf.constant(0)], parallel_iterations=1)
        return self._model.get_metrics_result()


class PredictionLoop:
    """Function from pieces of arrays to predictions.

    Args:
        model: A model whose `predict_step` returns tensors with one row per sample.
    """

    def __init__(self, model: Trainer):
        self.made_for = _keras.compilation(model)
        step = functools.partial(model.predict_step)
        self._step = tf.function(step, autograph=False, reduce_retracing=True, jit_compile=model.jit_compile or None)
        self._run = tf.function(functools.partial(self._batches), autograph=False, reduce_retracing=True)

    def __call__(self, resident: Resident, progress: Callable[[int], None]) -> Any:
        """Return the predictions of all samples as NumPy arrays.

        Args:
            resident: The arrays.
            progress: Function that gets the index of the last batch of each call.
        """
        results, at, batch = None, 0, -1
        for parts, order in resident.calls:
            outputs = self._run(parts, order[0], tf.constant(resident.batch_size, "int64"))
            rows = len(order)
            if results is None:
                results = tf.nest.map_structure(
                    lambda output: np.empty((resident.size, *output.shape[1:]), output.dtype.as_numpy_dtype), outputs
                )
            for result, output in zip(tf.nest.flatten(results), tf.nest.flatten(outputs), strict=True):
                result[at : at + rows] = output
            at, batch = at + rows, batch + math.ceil(rows / resident.batch_size)
            progress(batch)
        return results

    def _batches(self, parts: Any, start: Tensor, size: Tensor) -> Any:
        end = tf.shape(tf.nest.flatten(parts)[0], "int64")[0]

        def predicted(at: Tensor) -> Any:
            return self._step(tf.nest.map_structure(lambda part: part[at : at + size], parts))

        def step(at: Tensor, written: list[Any]) -> tuple[Tensor, list[Any]]:
            outputs = tf.nest.flatten(predicted(at))
            i = tf.cast((at - start) // size, "int32")
            return at + size, [array.write(i, output) for array, output in zip(written, outputs, strict=True)]

        first = predicted(start)
        count = tf.cast((end - start + size - 1) // size, "int32")
        written = [
            tf.TensorArray(output.dtype, count, element_shape=(None, *output.shape[1:])).write(0, output)
            for output in tf.nest.flatten(first)
        ]
        _, written = tf.while_loop(lambda at, _: at < end, step, [start + size, written], parallel_iterations=1)
        return tf.nest.pack_sequence_as(first, [array.concat() for array in written])


class TrainingLoop(Loop):
    """Loop of training steps.

    In a call of many steps, none skips a batch that diverges, which would cost time in each of them. If a step should
    have been skipped, the call is repeated from the state before it with steps that do. A call of one or two steps has
    such steps at once: they cost less than a copy of all weights.

    Args:
        model: The model.
        resident: Data of the form that the loop is made for.
        watch: The record of divergence that the steps of the model use.
    """

    def __init__(self, model: Trainer, resident: Resident, watch: Watch):
        super().__init__(model, resident, "train_step")
        self._watch = watch
        self._repeats = resident.steps > 2
        self._run_guarded = tf.function(functools.partial(self._guarded), self._signature, autograph=False)

    def _call(self, run: Callable[..., dict[str, Any]], parts: Any, order: Tensor) -> dict[str, Any]:
        if not self._repeats:
            return run(parts, order)
        # Values that are read here stay as they are: TensorFlow copies a variable before it changes one in use.
        before = [(variable, tf.convert_to_tensor(variable.value)) for variable in _state(self._model)]
        logs = run(parts, order)
        if self._watch.found_unsound():
            for variable, value in before:
                variable.assign(value)
            logs = self._run_guarded(parts, order)
        return logs

    def _full_batches(self, parts: Any, order: Tensor, batches: Tensor) -> dict[str, Any]:
        with self._unguarded():
            return super()._full_batches(parts, order, batches)

    def _any_batches(self, parts: Any, order: Tensor) -> dict[str, Any]:
        with self._unguarded():
            return super()._any_batches(parts, order)

    def _unguarded(self) -> contextlib.AbstractContextManager[None]:
        return self._watch.unguarded() if self._repeats else contextlib.nullcontext()

    def _guarded(self, parts: Any, order: Tensor) -> dict[str, Any]:
        return super()._any_batches(parts, order)


def function(
    loop: Loop, current: Callable[[], Resident | None], of_keras: Callable[[Any], Any]
) -> Callable[[Any], Any]:
    """Return a function of Keras that loops over resident data while `fit` or its validation asks for batches.

    Args:
        loop: The loop.
        current: Function that returns the data of the running `fit`; None outside.
        of_keras: Function of Keras for everything else, such as a single batch.
    """

    def run(iterator: Any) -> Any:
        data = current()
        if data is None or not isinstance(iterator, tf.data.Iterator):
            return of_keras(iterator)
        return loop(data)

    return run
