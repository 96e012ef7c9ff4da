"""A bounded sample of training data, in any form that `fit` accepts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from aezoo._typing import Array, Shape
from aezoo.training import gate

#: The most samples, the most numbers in these samples, and the most batches that are read.
_MOST_SAMPLES, _MOST_NUMBERS, _MOST_BATCHES = 5000, 2**24, 500


def take(
    x: Any,
    strategy: tf.distribute.Strategy | None = None,
    validation_split: float = 0.0,
    sample_weight: Array | None = None,
) -> tuple[Any, Any]:
    """Take up to 5,000 training samples: evenly spaced rows of an array, or the first batches of a data set.

    See `take_pairs`, which takes their targets, too.

    Args:
        x: Data as in `keras.Model.fit`, already checked.
        strategy: The strategy of a distributed data set.
        validation_split: Fraction of an array, at its end, that Keras does not train on.
        sample_weight: Weights of an array's samples, (n,); data sets have weights in their elements.

    Returns:
        Data to use instead of x, since a generator has been read from, and the samples, (n, *input_shape) float32.

    Example:
        >>> data, samples = take(np.arange(20_000.0)[:, None])
        >>> samples.shape, samples[:3, 0].tolist()
        ((5000, 1), [0.0, 4.0, 8.0])
    """
    return take_pairs(x, None, strategy, validation_split, sample_weight, targets=False)[:2]


def take_pairs(
    x: Any,
    y: Any = None,
    strategy: tf.distribute.Strategy | None = None,
    validation_split: float = 0.0,
    sample_weight: Array | None = None,
    targets: bool = True,
) -> tuple[Any, Any, Any]:
    """Take up to 5,000 training samples with their targets, as `take` does.

    Sample weights count: a sample of weight 0 is left out, a sample of weight 2 is taken twice. Weights per step or per
    feature count by their largest value. From a dict of samples and conditions, the samples are taken.

    Args:
        x: Data as in `keras.Model.fit`, already checked.
        y: Targets of an array of samples, (n, ...), or None; data sets have targets in their elements.
        strategy: The strategy of a distributed data set.
        validation_split: Fraction of an array, at its end, that Keras does not train on.
        sample_weight: Weights of an array's samples, (n,); data sets have weights in their elements.
        targets: Whether to take targets.

    Returns:
        Data to use instead of x, since a generator has been read from, the samples, (n, *input_shape) float32, and
        their targets, or None if there are none.

    Example:
        >>> data, samples, targets = take_pairs(np.zeros((4, 3)), np.ones((4, 2)))
        >>> samples.shape, targets.shape
        ((4, 3), (4, 2))
    """
    if gate.is_dict(x):
        return x, *take_pairs(x["x"], y, strategy, validation_split, sample_weight, targets)[1:]
    if hasattr(x, "shape"):
        n = math.floor(x.shape[0] * (1.0 - validation_split))  # as Keras splits
        rows = _spaced(n, _most(x.shape[1:]), None if sample_weight is None else sample_weight[:n])
        return x, _rows(x, rows), _rows(y, rows) if targets and y is not None else None
    if isinstance(x, keras.utils.PyDataset):
        first, _, _ = _of_element(x[0], strategy)
        batches = (x[int(i)] for i in _spaced(len(x), -(-_most(first.shape[1:]) // max(1, len(first)))))  # type: ignore[arg-type]
    else:
        batches = iter(x)
    read: list[Any] = []
    inputs: list[np.ndarray] = []
    paired: list[Any] = []
    weights: list[Any] = []
    for element in itertools.islice(batches, _MOST_BATCHES):
        read.append(element)
        batch, target, weight = _of_element(element, strategy, targets)
        inputs.append(batch)
        paired.append(target)
        weights.append(weight)
        if sum(map(len, inputs)) >= _most(batch.shape[1:]):
            break
    if batches is x:  # a generator
        x = _again(read, batches)
    samples = np.concatenate(inputs)[: _most(inputs[0].shape[1:])]
    of_samples = None if paired[0] is None else np.concatenate(paired)[: len(samples)]
    if weights[0] is not None:
        rows = _spaced(len(samples), len(samples), np.concatenate(weights)[: len(samples)])
        samples, of_samples = samples[rows], None if of_samples is None else of_samples[rows]
    return x, samples, of_samples


def _rows(x: Any, rows: np.ndarray) -> np.ndarray:
    if tf.is_tensor(x):
        return _array(tf.gather(x, rows))
    return _array(gate.dense(x[rows] if hasattr(x, "toarray") else np.asarray(x)[rows]))


def _again(batches: list[Any], rest: Iterator[Any]) -> Iterator[Any]:
    """Yield the batches that were read from a generator, then the rest of it: Keras accepts no other iterator."""
    yield from batches
    yield from rest


def _of_element(
    element: object, strategy: tf.distribute.Strategy | None, targets: bool = False
) -> tuple[np.ndarray, Any, Any]:
    """Return the samples in an element of a data set, their targets and their weights."""

    def whole(part: Array | None) -> np.ndarray | Any:
        parts = [part] if strategy is None else strategy.experimental_local_results(part)
        return None if part is None else np.concatenate([_array(part) for part in parts])

    x, y, weight = keras.utils.unpack_x_y_sample_weight(element)
    return whole(x["x"] if gate.is_dict(x) else x), whole(y) if targets else None, whole(weight)


def _array(x: Array) -> np.ndarray:
    return np.asarray(x, "float32")


def _most(shape: Shape) -> int:
    """Return the most samples of a shape to take."""
    return max(1, min(_MOST_SAMPLES, _MOST_NUMBERS // max(1, math.prod(shape))))


def _spaced(n: int, most: int, weight: Array | None = None) -> np.ndarray:
    """Return at most `most` evenly spaced rows of n; with weights, evenly spaced by weight."""
    if weight is not None:
        weight = np.maximum(np.asarray(weight, "float64"), 0)
        weight = weight.max(axis=tuple(range(1, weight.ndim)))
    if weight is None or not weight.any():
        return np.arange(min(n, most)) * n // max(1, min(n, most))
    total = np.cumsum(weight)
    count = min(most, max(np.count_nonzero(weight), round(total[-1])))
    return np.searchsorted(total, (np.arange(count) + 0.5) * (total[-1] / count), side="right")
