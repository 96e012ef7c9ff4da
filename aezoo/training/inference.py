"""Verbs on data of any length: each runs as a graph that is made once and called batch by batch."""

from __future__ import annotations

import dataclasses
import itertools
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from aezoo import _keras, _validation, losses
from aezoo._typing import Array, Data, Tensor
from aezoo.training import gate
from aezoo.training.gate import Parts, Rules, Validated

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder

# The most samples of a default batch, and the most values in its largest activation.
_LARGEST_BATCH, _MOST_VALUES = 1024, 2**21
# Assumed ratio of the largest activation to a sample, for networks that accept samples of any size.
_GROWTH = 4
# Larger results, in bytes, are joined in place, in memory whose address is a multiple of this alignment.
_IN_PLACE, _ALIGNMENT = 2**24, 64
# Marks that layers put on a result for losses, which a graph would lose.
_MARKS = (
    (_keras.mask_of, _keras.set_mask),
    (losses.logits_of, losses.with_logits),
    (losses.class_logits_of, losses.with_class_logits),
)


@dataclasses.dataclass(eq=False)
class _Graphs:
    """Graphs by name, and the compilation of the model that they belong to."""

    compilation: Any
    by_name: dict[str, Any] = dataclasses.field(default_factory=dict)
    batch_size: int | None = None


class Verbs:
    """Verbs of a model as graphs.

    A graph is made on first use, for batches of any size. It reads weights as variables, so that it stays valid while
    the model trains; it is made anew after `compile`, which may change the loss.

    Args:
        model: A model with `encoder`, `decoder` and the shapes of samples and codes.
    """

    def __init__(self, model: Autoencoder):
        self._model = model
        self._lock = threading.RLock()
        self._graphs = _Graphs(None)

    def run(
        self,
        name: str,
        function: Callable[[Any, Mapping[str, Any]], Any],
        x: Data,
        conditions: Mapping[str, Any],
        batch_size: int | None = None,
        *,
        codes: bool = False,
        compared: bool = False,
    ) -> Tensor:
        """Check data, apply a function to them batch by batch, and join the results.

        Inside a graph the function is called directly.

        Args:
            name: Name of the graph.
            function: Function from a batch of samples, or codes, and its conditions by name to one row per sample.
            x: Samples or codes, (n, ...), or data that come batch by batch.
            conditions: Conditions by name, each (n, ...) or one value for all samples.
            batch_size: The most samples to process at once; None chooses a number by their size.
            codes: Whether x are codes.
            compared: Whether samples must be in the range that the model's output can reach.

        Returns:
            A tensor of n rows.

        Raises:
            ValueError: If the data do not fit the model.
        """
        given = (*(x.values() if gate.is_dict(x) else (x,)), *conditions.values())
        if not tf.executing_eagerly() or any(map(gate.is_symbolic, given)):
            parts = whole(self._model, x, conditions, codes=codes, compared=compared)
            return function(parts.x, parts.conditions)
        n, cut = pieces(self._model, x, conditions, batch_size=batch_size, codes=codes, compared=compared)
        results = (self._call(name, function, tensors(self._model, part, codes), codes) for part in cut)
        return _joined(results, n, differentiable=tf.is_tensor(x))

    def batch_size(self, shape: tuple[int, ...]) -> int:
        """Return the number of samples or codes to process at once.

        Args:
            shape: Shape of one sample or code.
        """
        model = self._model
        if None in (*model.x_shape, *model.code_shape, *model.y_shape):
            return _size_for(_GROWTH * math.prod(shape))
        graphs = self._current()
        if graphs.batch_size is None:
            sizes = [math.prod(shape) for shape in (model.x_shape, model.code_shape, model.y_shape)]
            sizes += [size for network in (model.encoder, model.decoder) for size in _activations(network)]
            graphs.batch_size = _size_for(max(sizes))
        return graphs.batch_size

    def forget(self) -> None:
        """Discard all graphs, which is necessary after layers get other variables."""
        self._graphs = _Graphs(_keras.compilation(self._model))

    def _call(self, name: str, function: Callable[..., Any], parts: Parts, codes: bool) -> Any:
        model = self._model
        if not parts.x.shape[0]:  # convolutions of no samples have wrong shapes: take one sample, and cut it off
            x, conditions = keras.tree.map_structure(
                lambda part: tf.zeros((1, *part.shape[1:]), part.dtype), (parts.x, dict(parts.conditions))
            )
            one = dataclasses.replace(parts, x=x, conditions=conditions)
            return keras.tree.map_structure(lambda part: part[:0], self._call(name, function, one, codes))
        if (
            model.run_eagerly
            or tf.config.functions_run_eagerly()
            or _keras.mask_of(parts.x) is not None  # a graph would lose the mask
        ):
            return function(parts.x, parts.conditions)
        graphs = self._current().by_name
        if name not in graphs:
            with self._lock:  # other threads wait for the graph of the first
                if name not in graphs:
                    graphs[name] = self._made(function, parts.x, codes)
        conditions = (parts.conditions[condition] for condition in model.condition_names)
        result, marks = graphs[name](parts.x, *conditions)
        for mark, (_, put) in zip(marks, _MARKS, strict=True):
            if mark is not None:
                put(result, mark)
        return result

    def _current(self) -> _Graphs:
        """Return the graphs, after discarding them if the model has been compiled since."""
        compilation = _keras.compilation(self._model)
        if self._graphs.compilation is not compilation:
            with self._lock:
                if self._graphs.compilation is not compilation:
                    self._graphs = _Graphs(compilation)
        return self._graphs

    def _made(self, function: Callable[..., Any], x: Tensor, codes: bool) -> Any:
        model = self._model
        names = model.condition_names
        specs = [tf.TensorSpec((None, *(model.code_shape if codes else model.x_shape)), x.dtype, name="x")]
        given = [model.condition_specs[name] for name in names]
        specs += [tf.TensorSpec((None, *spec.shape), spec.dtype) for spec in given]

        def of_batch(x: Tensor, *values: Any) -> tuple[Any, list[Any]]:
            result = function(x, dict(zip(names, values, strict=True)))
            return result, [get(result) for get, _ in _MARKS]

        return tf.function(of_batch, specs, autograph=False).get_concrete_function()


def _size_for(values: int) -> int:
    """Return a batch size, a power of 2, for activations of a number of values per sample."""
    return 2 ** math.floor(math.log2(max(1, min(_LARGEST_BATCH, _MOST_VALUES // max(1, values)))))


def _activations(network: keras.layers.Layer) -> Iterator[int]:
    """Yield the number of values in each output of a network's layers, as far as it is known."""
    for layer in _keras.all_layers(network):
        for output in keras.tree.flatten(getattr(layer, "output", ())):
            shape = tuple(output.shape[1:])
            if None not in shape:
                yield math.prod(shape)


# === Data in pieces ===


def pieces(
    model: Autoencoder,
    x: Data,
    conditions: Mapping[str, Any] | None = None,
    *,
    batch_size: int | None = None,
    compared: bool = False,
    codes: bool = False,
) -> tuple[int | None, Iterator[Parts]]:
    """Check data of any form, and cut them into pieces; build the model if necessary.

    Arrays are checked as a whole and not copied; data that come batch by batch are checked as they are read.

    Args:
        model: The model.
        x: Samples (n, ...): an array, a table, a sparse matrix, or a dict of samples and conditions. Or data that come
            batch by batch, a `tf.data.Dataset`, a `PyDataset` or a generator: samples, pairs of samples and targets
            (for a model with one condition, of samples and the condition), or dicts.
        conditions: Conditions by name, each (n, ...) or one value for all samples.
        batch_size: The most samples in a piece; None chooses a number by their size.
        compared: Whether outputs are compared with the data, which must then be in the range of the outputs.
        codes: Whether x are codes.

    Returns:
        The number of samples, or None for data that come batch by batch; and the pieces, with samples dense and in
        single precision.

    Raises:
        ValueError: If the data do not fit the model.
    """
    size = None if batch_size is None else _validation.check_int("batch_size", batch_size, 1)
    if codes:
        _validation.check_built(model)
    else:
        x = gate.preprocessed(model, x)
    if gate.is_stream(x):
        batches = _batches(model, x, conditions or {}, codes, compared, None)
        without = (dataclasses.replace(batch, y=None, weight=None) for batch in batches)
        return None, (piece for batch in without for piece in _cut(model, batch, size))
    parts = _array(model, x, conditions or {}, None, codes, compared, None)
    return parts.x.shape[0], _cut(model, parts, size)


def measured(
    model: Autoencoder,
    x: Data,
    conditions: Mapping[str, Any] | None = None,
    y: Any = None,
    *,
    batch_size: int | None = None,
    compared: bool = False,
    bounds: tuple[float, float] | None = None,
) -> Iterator[Parts]:
    """Check data for a metric, and cut them into pieces no larger than the batches of verbs.

    Args:
        model: A built model.
        x: As in `pieces`.
        conditions: As in `pieces`.
        y: Targets (n, ...), if x is an array.
        batch_size: As in `pieces`.
        compared: As in `pieces`.
        bounds: Range that the targets, or without targets the samples, must be in.

    Returns:
        The pieces, with targets if there are any.

    Raises:
        ValueError: If the data do not fit the model, or are empty.
    """
    _validation.check_built(model)
    size = None if batch_size is None else _validation.check_int("batch_size", batch_size, 1)
    x = gate.preprocessed(model, x)
    if not gate.is_stream(x):
        batches = iter([_array(model, x, conditions or {}, y, False, compared, bounds)])
    elif y is None:
        batches = _batches(model, x, conditions or {}, False, compared, bounds)
    else:
        raise ValueError("y was given beside a data set: put targets into its elements, (x, y), and leave out y.")
    for batch in batches:
        if not batch.x.shape[0]:
            raise ValueError("There are no samples to evaluate: give at least one.")
        most = model._verbs.batch_size(tuple(batch.x.shape[1:]))
        yield from _cut(model, batch, most if size is None else min(size, most))


def scores(model: Autoencoder, x: Data, batch_size: int | None = None, **conditions: Any) -> np.ndarray:
    """Compute a model's `score_samples` in pieces, so that data of any length fit; a user's class may override it."""
    cut = measured(model, x, conditions, batch_size=batch_size)
    return np.concatenate([np.asarray(model.score_samples(piece.x, **piece.conditions)) for piece in cut])


def collected(model: Autoencoder, x: Data, compared: bool = False) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Check data, and return samples and conditions as arrays, without building the model.

    Args:
        model: The model.
        x: An array, or a dict of "x" and of the conditions; or data that come batch by batch, which are read to their
            end.
        compared: Whether samples must be in the range that the model's output can reach.

    Raises:
        ValueError: If the data do not fit the model, or are empty.
    """
    x = gate.preprocessed(model, x)
    if gate.is_stream(x):
        batches = [_samples_of_element(model, element, {}, compared, None) for element in gate.elements(x)]
        if not batches:
            raise ValueError("The data set is empty: there are no samples.")
    else:
        batches = [gate.array_parts(model, x, compared=compared)]
    arrays = [{"x": gate.single(gate.dense(batch.x)), **batch.conditions} for batch in batches]
    joined = {name: np.concatenate([np.asarray(each[name]) for each in arrays]) for name in arrays[0]}
    return joined.pop("x"), joined


def _batches(
    model: Autoencoder,
    x: Data,
    conditions: Mapping[str, Any],
    codes: bool,
    compared: bool,
    bounds: tuple[float, float] | None,
) -> Iterator[Parts]:
    """Check data that come batch by batch."""
    parts = None
    batches = gate.elements(x)
    while True:
        with gate.readable_errors():
            element = next(batches, None)
        if element is None:
            break
        if codes:
            parts = _codes_of_element(model, element, conditions)
        else:
            parts = _built(model, _samples_of_element(model, element, conditions, compared, bounds))
        yield parts
    if parts is None:
        raise ValueError("The data set is empty: there are no samples.")


def whole(
    model: Autoencoder,
    x: Data,
    conditions: Mapping[str, Any] | None = None,
    *,
    codes: bool = False,
    compared: bool = False,
) -> Parts:
    """Check arrays or tensors, also symbolic ones, and return them as tensors; build the model if necessary.

    Args:
        model: The model.
        x: Samples or codes, (n, ...).
        conditions: Conditions by name, each (n, ...) or one value for all samples.
        codes: Whether x are codes.
        compared: Whether samples must be in the range that the model's output can reach.

    Raises:
        ValueError: If the data do not fit the model.
    """
    return tensors(model, _array(model, x, conditions or {}, None, codes, compared), codes)


def _array(
    model: Autoencoder,
    x: Data,
    conditions: Mapping[str, Any],
    y: Data | None = None,
    codes: bool = False,
    compared: bool = False,
    bounds: tuple[float, float] | None = None,
) -> Parts:
    """Check arrays or tensors, also symbolic ones."""
    if codes:
        return _codes(model, x, conditions)
    return _built(model, gate.array_parts(model, x, conditions, y, compared=compared, bounds=bounds))


def _built(model: Autoencoder, parts: Parts) -> Parts:
    """Build the model for samples, if it has no weights yet; return them with conditions in the model's dtypes."""
    built = model.built
    model._ensure_built(parts.x.shape, Validated.of(None, None, None, parts))
    if built:
        return parts
    return dataclasses.replace(parts, conditions=gate.conditions_of(model, parts.conditions, parts.x.shape[0]))


def _samples_of_element(
    model: Autoencoder,
    element: Tensor,
    conditions: Mapping[str, Any],
    compared: bool,
    bounds: tuple[float, float] | None,
) -> Parts:
    """Check an element of a data set; its conditions may have been given separately."""
    rules = Rules.of(model, "aezoo.datasets.without_labels(data)", compared)
    rules = rules if bounds is None else dataclasses.replace(rules, bounds=bounds)
    if conditions:
        parts = dataclasses.replace(rules, conditions=()).checked_parts(element)
        found = conditions
    else:
        parts = rules.checked_parts(element)
        found = parts.conditions
    return dataclasses.replace(parts, conditions=gate.conditions_of(model, found, parts.x.shape[0], rules))


def _codes(model: Autoencoder, z: Array, conditions: Mapping[str, Any]) -> Parts:
    """Check codes and their conditions."""
    _validation.check_built(model)
    z = gate.codes(model, z)
    return Parts(z, gate.conditions_of(model, conditions, z.shape[0]), None, None)


def _codes_of_element(model: Autoencoder, element: Tensor, conditions: Mapping[str, Any]) -> Parts:
    """Check an element of a data set: codes, a pair of codes and condition, or a dict of "z" and conditions."""
    z, condition, _ = keras.utils.unpack_x_y_sample_weight(element)
    if not conditions:
        given = {"x" if name == "z" else name: value for name, value in z.items()} if isinstance(z, Mapping) else z
        parts = Rules.of(model, compared=False).parts(given, condition)
        z, conditions = parts.x, parts.conditions
    return _codes(model, z, conditions)


def _rows(parts: Parts, rows: slice) -> Parts:
    return gate.map_parts(lambda part: part[rows], parts)


def _cut(model: Autoencoder, parts: Parts, size: int | None) -> Iterator[Parts]:
    """Cut checked data into pieces."""
    n = parts.x.shape[0]
    size = size or (1 if n == 1 else model._verbs.batch_size(tuple(parts.x.shape[1:])))
    if size < n and hasattr(parts.x, "tocsr"):
        parts = dataclasses.replace(parts, x=parts.x.tocsr())  # a format whose rows can be sliced
    for start in range(0, max(1, n), size):
        rows = slice(start, start + size)
        piece = parts if size >= n else _rows(parts, rows)
        yield gate.dense_single(piece)


def tensors(model: Autoencoder, parts: Parts, codes: bool = False) -> Parts:
    """Return checked samples, or codes, as a dense tensor of the model's dtype."""
    x, dtype = gate.single(gate.dense(parts.x)), model.variable_dtype if codes else model.input_dtype
    # TensorFlow's function saves the tenth of a millisecond that Keras' function takes.
    x = tf.convert_to_tensor(x) if isinstance(x, np.ndarray) and x.dtype == dtype else ops.convert_to_tensor(x, dtype)
    return dataclasses.replace(parts, x=x)


# === Results ===


def _joined(results: Iterator[Any], n: int | None, differentiable: bool) -> Tensor:
    """Join results of pieces along their first axis, without a second copy of the whole in memory.

    Args:
        results: Tensors.
        n: Total number of rows, or None if it is unknown.
        differentiable: Whether gradients must pass, which needs memory for a second copy.
    """
    first, second = next(results), next(results, None)
    if second is None:
        return first
    results = itertools.chain([first, second], results)
    if n is None:
        found = list(results)
        shapes = {tuple(result.shape[1:]) for result in found}
        if len(shapes) > 1:
            a, b, *_ = sorted(shapes)
            raise ValueError(
                f"Batches of the data have results of different shapes, {a} and {b}, which do not form one array: call "
                "the model batch by batch."
            )
        n = sum(result.shape[0] for result in found)
        results = (found.pop(0) for _ in range(len(found)))  # so that each is freed once it is copied
    dtype = np.dtype(first.dtype.as_numpy_dtype)
    size = n * math.prod(first.shape[1:]) * dtype.itemsize
    if differentiable or size <= _IN_PLACE or dtype.isbuiltin != 1:
        return tf.concat(list(results), axis=0)
    shape = (n, *first.shape[1:])
    del first, second
    # TensorFlow adopts NumPy memory without a copy if it is aligned like its own.
    memory = np.empty(size + _ALIGNMENT, "uint8")
    start = -memory.ctypes.data % _ALIGNMENT
    joined = memory[start : start + size].view(dtype).reshape(shape)
    at = 0
    for result in results:
        joined[at : at + result.shape[0]] = result
        at += result.shape[0]
    return tf.experimental.dlpack.from_dlpack(joined.__dlpack__())
