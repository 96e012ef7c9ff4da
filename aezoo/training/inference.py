"""Verbs on data of any length: each is a graph that is made once, and run batch by batch."""

from __future__ import annotations

import dataclasses
import itertools
import math
import operator
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from aezoo import _keras, _validation
from aezoo._typing import Array, Data, Tensor
from aezoo.training import gate
from aezoo.training.gate import Parts, Rules, Validated

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder

# The most samples of a batch, and the most values in its largest activation, where no batch size is given.
_LARGEST_BATCH, _MOST_VALUES = 1024, 2**21
# Activations of networks that take samples of any size are taken to be so many times larger than a sample.
_GROWTH = 4
# A result of more bytes is put together in place, in memory that begins at a multiple of so many bytes.
_IN_PLACE, _ALIGNMENT = 2**24, 64

Function = Callable[..., Any]


class Verbs:
    """The verbs of a model as graphs.

    A graph is made when it is first used, for batches of any size. It reads weights as variables, so that training
    leaves it as it is; it is made anew after `compile`, which may change the loss, and for other networks.

    Args:
        model: A model with `encoder`, `decoder` and the shapes of samples and codes.
    """

    def __init__(self, model: Autoencoder):
        self._model = model
        self._lock = threading.RLock()
        self._made_for: tuple[Any, ...] = ()
        self._graphs: dict[str | None, Function] = {}
        self._batch_size: int | None = None

    def run(
        self,
        name: str,
        function: Function,
        x: Data,
        conditions: Mapping[str, Any],
        batch_size: int | None = None,
        codes: bool = False,
        compared: bool = False,
    ) -> Tensor:
        """Check data, and return what a function makes of them.

        In a graph the function is called as it is.

        Args:
            name: Name of the graph; None makes one for this call alone.
            function: From a batch of samples, or of codes, and its conditions by name to one row per sample.
            x: Samples or codes, (n, ...), or a data set of batches of them.
            conditions: Conditions by name, each (n, ...) or one for all samples.
            batch_size: The most samples at once; None takes a number that follows from their size.
            codes: Whether x are codes.
            compared: Whether samples have to be in the range that the model's output can reach.

        Returns:
            A tensor of n rows.

        Raises:
            ValueError: If the data are not what the model takes.
        """
        given = (*(x.values() if isinstance(x, Mapping) else (x,)), *conditions.values())
        if not tf.executing_eagerly() or any(map(gate.is_symbolic, given)):
            parts = whole(self._model, x, conditions, codes, compared)
            return function(parts.x, parts.conditions)
        given_pieces = pieces(self._model, x, conditions, batch_size=batch_size, codes=codes, compared=compared)
        call = self.graph(name, function, codes)
        return _joined(map(call, given_pieces), given_pieces.n, differentiable=tf.is_tensor(x))

    def graph(self, name: str | None, function: Function, codes: bool = False) -> Callable[[Parts], Any]:
        """Return a function as a graph that is called with the parts of a batch; eagerly, if the model runs so.

        Args:
            name: Name that the graph is kept by; None keeps it nowhere.
            function: As in `run`; where batches have targets, it is given them after the conditions.
            codes: Whether it takes codes.
        """
        model = self._model
        own: dict[str | None, Function] = {}

        def call(parts: Parts) -> Tensor:
            y = () if parts.y is None else (parts.y,)
            # Of no samples there is nothing to gain, and fused convolutions fail.
            if model.run_eagerly or tf.config.functions_run_eagerly() or not parts.x.shape[0]:
                return function(parts.x, parts.conditions, *y)
            graphs = own if name is None else self._current()
            graph = graphs.get(name)
            if graph is None:
                with self._lock:
                    graph = graphs.get(name)
                    if graph is None:
                        graph = graphs[name] = self._made(function, parts, codes)
            return graph(parts.x, *(parts.conditions[name] for name in model.condition_names), *y)

        return call

    def batch_size(self, shape: tuple[int, ...]) -> int:
        """Return how many samples or codes of a shape are worked on at once.

        Args:
            shape: The shape of one of them.
        """
        model = self._model
        if None in (*model.x_shape, *model.code_shape, *model.y_shape):
            return _size_for(_GROWTH * math.prod(shape))
        self._current()
        if self._batch_size is None:
            sizes = [math.prod(shape) for shape in (model.x_shape, model.code_shape, model.y_shape)]
            sizes += [size for network in (model.encoder, model.decoder) for size in _activations(network)]
            self._batch_size = _size_for(max(sizes))
        return self._batch_size

    def _current(self) -> dict[str | None, Function]:
        """Return the graphs, none where the model is another than the one that they were made for."""
        model = self._model
        state = (_keras.compilation(model), model.encoder, model.decoder)
        if len(self._made_for) != len(state) or any(a is not b for a, b in zip(self._made_for, state, strict=True)):
            with self._lock:
                self._made_for, self._graphs, self._batch_size = state, {}, None
        return self._graphs

    def _made(self, function: Function, parts: Parts, codes: bool) -> Function:
        model = self._model
        names = model.condition_names
        shapes = [model.code_shape if codes else model.x_shape]
        shapes += [model.condition_specs[name].shape for name in names]
        given = [parts.x, *(parts.conditions[name] for name in names)]
        if parts.y is not None:
            shapes, given = [*shapes, parts.y.shape[1:]], [*given, parts.y]
        specs = [tf.TensorSpec((None, *shape), values.dtype) for shape, values in zip(shapes, given, strict=True)]

        def of_batch(x: Tensor, *values: Any) -> Tensor:
            conditions = dict(zip(names, values, strict=False))
            return function(x, conditions, *values[len(names) :])

        return tf.function(of_batch, specs, autograph=False).get_concrete_function()


def _size_for(values: int) -> int:
    """Return a batch size for activations of so many values per sample, a power of 2."""
    return 2 ** math.floor(math.log2(max(1, min(_LARGEST_BATCH, _MOST_VALUES // max(1, values)))))


def _activations(network: keras.layers.Layer) -> Iterator[int]:
    """The number of values of each output of a network's layers, as far as they are known."""
    for layer in _keras.all_layers(network):
        for output in keras.tree.flatten(getattr(layer, "output", ())):
            shape = tuple(output.shape[1:])
            if None not in shape:
                yield math.prod(shape)


# === Data in pieces ===


class Pieces:
    """Data in pieces of so many samples, checked.

    Attributes:
        n: How many samples there are; None of data that come batch by batch.
    """

    def __init__(self, n: int | None, parts: Iterable[Parts]):
        self.n = n
        self._parts = parts

    def __iter__(self) -> Iterator[Parts]:
        return iter(self._parts)


def pieces(
    model: Autoencoder,
    x: Data,
    conditions: Mapping[str, Any] | None = None,
    y: Data | None = None,
    *,
    batch_size: int | None = None,
    compared: bool = False,
    bounds: tuple[float, float] | None = None,
    targets: bool = False,
    codes: bool = False,
) -> Pieces:
    """Check data of any kind, and cut them in pieces; build the model if need be.

    Arrays are checked as a whole, and no copy is made of them; data that come batch by batch are checked as they come.

    Args:
        model: The model.
        x: Samples (n, ...), an array, a table, a sparse matrix, or a dict of them and of the conditions; or data that
            come batch by batch, a `tf.data.Dataset`, a `PyDataset` or a generator, of samples, of pairs of samples and
            targets (of a model with one condition: and the condition), or of dicts.
        conditions: Conditions by name, each (n, ...) or one for all samples.
        y: Targets (n, ...), where x is an array.
        batch_size: The most samples in a piece; None takes a number that follows from their size.
        compared: Whether outputs are compared with the data, which have to be in the range of these.
        bounds: Another range that they have to be in.
        targets: Whether the pieces have the targets, where there are some.
        codes: Whether x are codes.

    Returns:
        The pieces: samples, conditions and targets as tensors.

    Raises:
        ValueError: If the data are not what the model takes.
    """
    size = None if batch_size is None else _validation.check_int("batch_size", batch_size, 1)
    conditions = conditions or {}
    if not gate.is_stream(x):
        parts = _array(model, x, conditions, y, codes, compared, bounds)
        return Pieces(parts.x.shape[0], _cut(model, parts, size, codes))
    if codes:
        _validation.check_built(model)
    if y is not None:
        raise ValueError("A data set has its targets in its elements, (x, y): leave out y.")

    def batches() -> Iterator[Parts]:
        parts = None
        for element in gate.elements(x):
            if codes:
                parts = _codes_of_element(model, element, conditions)
            else:
                parts = _built(model, _samples_of_element(model, element, conditions, compared, bounds))
            parts = parts if targets else dataclasses.replace(parts, y=None)
            yield from _cut(model, parts, size, codes)
        if parts is None:
            raise ValueError("The data set is empty: there are no samples.")

    return Pieces(None, batches())


def whole(
    model: Autoencoder,
    x: Data,
    conditions: Mapping[str, Any] | None = None,
    codes: bool = False,
    compared: bool = False,
) -> Parts:
    """Check arrays, or tensors, which may be those of a graph, and return them as tensors; build the model if need be.

    Args:
        model: The model.
        x: (n, ...), samples or codes.
        conditions: Conditions by name, each (n, ...) or one for all samples.
        codes: Whether x are codes.
        compared: Whether samples have to be in the range that the model's output can reach.

    Raises:
        ValueError: If the data are not what the model takes.
    """
    return _tensors(model, _array(model, x, conditions or {}, None, codes, compared), codes)


def _array(
    model: Autoencoder,
    x: Data,
    conditions: Mapping[str, Any],
    y: Data | None = None,
    codes: bool = False,
    compared: bool = False,
    bounds: tuple[float, float] | None = None,
) -> Parts:
    """Check arrays or tensors, which may be those of a graph."""
    if codes:
        return _codes(model, x, conditions)
    return _built(model, gate.array_parts(model, x, conditions, y, compared=compared, bounds=bounds))


def _built(model: Autoencoder, parts: Parts) -> Parts:
    """Build the model for samples, if it has no weights yet; return them, with conditions of the dtypes it takes."""
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
    """Check an element of a data set; conditions that were given beside it are not in it."""
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
    """Check an element of a data set: codes, a pair of codes and a condition, or a dict of "z" and of conditions."""
    z, condition, _ = keras.utils.unpack_x_y_sample_weight(element)
    if not conditions:
        given = {"x" if name == "z" else name: value for name, value in z.items()} if isinstance(z, Mapping) else z
        parts = Rules.of(model, compared=False).parts(given, condition)
        z, conditions = parts.x, parts.conditions
    return _codes(model, z, conditions)


def _cut(model: Autoencoder, parts: Parts, size: int | None, codes: bool) -> Iterator[Parts]:
    """Cut checked data in pieces of tensors."""
    n = parts.x.shape[0]
    size = size or (1 if n == 1 else model._verbs.batch_size(tuple(parts.x.shape[1:])))
    if size < n and hasattr(parts.x, "tocsr"):
        parts = dataclasses.replace(parts, x=parts.x.tocsr())  # of which rows can be taken
    for start in range(0, max(1, n), size):
        rows = slice(start, start + size)
        yield _tensors(model, parts if size >= n else gate.map_parts(operator.itemgetter(rows), parts), codes)


def _tensors(model: Autoencoder, parts: Parts, codes: bool) -> Parts:
    """Return samples or codes as a dense tensor of the dtype that the model takes, and targets in single precision."""
    x, dtype = gate.single(gate.dense(parts.x)), model.variable_dtype if codes else model.input_dtype
    # Keras' function takes a tenth of a millisecond.
    x = tf.convert_to_tensor(x) if isinstance(x, np.ndarray) and x.dtype == dtype else ops.convert_to_tensor(x, dtype)
    y = None if parts.y is None else tf.convert_to_tensor(gate.single(gate.dense(parts.y)))
    return Parts(x, parts.conditions, y, None)


# === Results ===


def _joined(results: Iterable[Any], n: int | None, differentiable: bool) -> Tensor:
    """Join results of pieces along their first axis, in memory for one of them.

    Args:
        results: Tensors.
        n: How many rows they have together, or None.
        differentiable: Whether gradients go through, for which memory for two is taken.
    """
    results = iter(results)
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
                f"Batches of the data give results of several shapes, {a} and {b}, that are no one array: call the "
                "model batch by batch."
            )
        n = sum(result.shape[0] for result in found)
        results = (found.pop(0) for _ in range(len(found)))  # so that each is given up once it is copied
    dtype = np.dtype(first.dtype.as_numpy_dtype)
    size = n * math.prod(first.shape[1:]) * dtype.itemsize
    if differentiable or size <= _IN_PLACE or not dtype.isbuiltin:
        return tf.concat(list(results), axis=0)
    shape = (n, *first.shape[1:])
    del first, second
    # TensorFlow takes over memory of NumPy's that begins where its own would.
    memory = np.empty(size + _ALIGNMENT, "uint8")
    start = -memory.ctypes.data % _ALIGNMENT
    joined = memory[start : start + size].view(dtype).reshape(shape)
    at = 0
    for result in results:
        joined[at : at + result.shape[0]] = result
        at += result.shape[0]
    return tf.experimental.dlpack.from_dlpack(joined.__dlpack__())
