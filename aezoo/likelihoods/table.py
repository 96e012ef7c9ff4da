"""The distribution of a table whose columns differ in kind."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from aezoo import losses
from aezoo._numerics import as_float32
from aezoo._typing import Self, Shape, Tensor
from aezoo.layers.bounded import bounded
from aezoo.layers.log1p import Log1p
from aezoo.likelihoods.base import LOG_VARIANCE, Likelihood, stateless_seed
from aezoo.likelihoods.counts import LOG_MEAN, NegativeBinomial, log_inverse_dispersion_of, negative_binomial
from aezoo.likelihoods.elementary import log_variance_of

# Kinds of columns, and how many features a column has in x; None stands for its number of classes.
_KINDS = {
    "gaussian": 1,
    "bernoulli": 1,
    "categorical": None,
    "ordinal": None,
    "poisson": 1,
    "negative_binomial": 1,
}
# Names of kinds in `aezoo.preprocessing.TablePreprocessing.kinds`.
_ALIASES = {"numeric": "gaussian", "date": "gaussian", "boolean": "bernoulli", "count": "negative_binomial"}
_CLASSES = ("categorical", "ordinal")
_COUNTS = ("poisson", "negative_binomial")
# Bounds of log λ of a Poisson column: more than e^15 is no count, and the gradient of λ must stay finite.
_LOG_RATE = -20.0, 15.0
# The least distance between two thresholds of an ordinal column, whose probability is the difference of their sigmoids.
_LEAST_DISTANCE = 1e-3


class _Part(NamedTuple):
    """Consecutive features of one kind: one column of classes, or columns of the same kind side by side.

    Attributes:
        kind: Kind of the columns.
        features: Range of features of x.
        parameters: Range of the decoder's output.
        weights: Range of the weights that belong to the columns, among all weights of the kind.
    """

    kind: str
    features: slice
    parameters: slice
    weights: slice


@keras.saving.register_keras_serializable("aezoo")
class MixedTable(Likelihood):
    """Distribution of the rows of a table, with a distribution for each column; columns are independent given the code.

    The kind of a column determines its features in x and its distribution:

    - "gaussian" (or "numeric", "date"): one number, standardized; a Gaussian with a learned variance.
    - "bernoulli" (or "boolean"): 0 or 1; a Bernoulli distribution.
    - "categorical": one-hot, one feature per class; a softmax of one output of the decoder per class.
    - "ordinal": one-hot, in the order of the classes; cumulative logits, p(class ≤ k) = σ(cₖ - f), with one output f of
      the decoder and learned thresholds cₖ.
    - "negative_binomial" (or "count"): a count; a negative binomial distribution with a learned inverse dispersion.
    - "poisson": a count; a Poisson distribution.

    The mean of x has the probabilities of classes for "categorical" and "ordinal". A class that is unknown may be all
    zeros, and does not count. The encoder that a model builds sees log(1 + x) of counts. A value outside the domain of
    its column, such as a negative count, scores as the nearest valid value plus twice the squared distance to it.

    Args:
        columns: Columns in the order of their features: (name, kind), or (name, kind, number of classes) for
            "categorical" and "ordinal". Or a dict from each name to its range of features, a slice.
        kinds: The kind of each column by name, if `columns` is a dict.

    Raises:
        ValueError: If there is no column, or a column has an unknown kind or fewer than one class; on build, if
            samples have another number of features than the columns.

    Example:
        >>> likelihood = MixedTable([("age", "gaussian"), ("color", "categorical", 3), ("visits", "poisson")])
        >>> x = ops.array([[0.0, 0.0, 1.0, 0.0, 2.0]])
        >>> likelihood.negative_log_likelihood(x, ops.zeros((1, 5))).numpy().round(4)  # ½ log 2π, log 3, 1 + log 2
        array([[0.9189, 0.    , 1.0986, 0.    , 1.6931]], dtype=float32)
        >>> likelihood.mean(ops.zeros((1, 5))).numpy().round(4)
        array([[0.    , 0.3333, 0.3333, 0.3333, 1.    ]], dtype=float32)

    Reference:
        Nazábal et al., "Handling incomplete heterogeneous data using VAEs", Pattern Recognition 107 (2020),
        arXiv:1807.03653, for the columns; McCullagh, "Regression models for ordinal data", JRSS B 42 (1980), for
        cumulative logits.
    """

    learns = True

    def __init__(self, columns: Sequence[Sequence[Any]] | Mapping[str, slice], kinds: Mapping[str, str] | None = None):
        if isinstance(columns, Mapping):
            columns = _listed(columns, kinds or {})
        elif kinds is not None:
            raise ValueError("kinds are for a dict of columns: leave them out, or give columns as {name: slice}.")
        self.columns = [_checked(column) for column in columns]
        if not self.columns:
            raise ValueError("MixedTable needs at least one column, such as ('age', 'gaussian').")
        self._parts = _parts(self.columns)
        self._width, self._outputs = self._parts[-1].features.stop, self._parts[-1].parameters.stop
        self._weights: dict[str, Any] = {}
        self._low, self._high = np.full((2, self._width), [[-math.inf], [math.inf]], "float32")
        for part in self._parts:
            if part.kind != "gaussian":
                self._low[part.features] = 0.0
            if part.kind in ("bernoulli", *_CLASSES):
                self._high[part.features] = 1.0

    @classmethod
    def of(cls, preprocessing: Any) -> Self:
        """Return the distribution of the tables that a fitted `aezoo.preprocessing.TablePreprocessing` transforms.

        Args:
            preprocessing: The preprocessing, which has the attributes `groups` and `kinds`.

        Raises:
            ValueError: If it has no columns or kinds.
        """
        return cls(preprocessing.groups, preprocessing.kinds)

    def _of(self, kind: str) -> list[_Part]:
        return [part for part in self._parts if part.kind == kind]

    # === Weights ===

    def build(self, add_weight: Callable[..., Any], x_shape: Shape) -> None:
        if x_shape != (self._width,):
            raise ValueError(
                f"The columns of MixedTable have {self._width} features, but samples have shape {x_shape}: name every "
                "column, with the number of classes of each categorical one."
            )
        names = {"gaussian": "log_variance", "negative_binomial": "log_inverse_dispersion", "ordinal": "thresholds"}
        for kind, name in names.items():
            if parts := self._of(kind):
                shape = (parts[-1].weights.stop,)
                self._weights[kind] = add_weight(shape=shape, initializer="zeros", dtype="float32", name=name)

    def _weight(self, part: _Part) -> Tensor:
        """Return the weights of a part; 0 before they are created."""
        if part.kind not in self._weights:
            return ops.zeros(part.weights.stop - part.weights.start)
        return ops.convert_to_tensor(self._weights[part.kind])[part.weights]

    def _thresholds(self, part: _Part) -> Tensor:
        """Return c₀ < c₁ < ... of an ordinal column, (classes - 1,): a first value and positive distances."""
        first, rest = self._weight(part)[:1], self._weight(part)[1:]
        return ops.cumsum(ops.concatenate([first, ops.softplus(rest) + _LEAST_DISTANCE]))

    def initialize_from(self, x: Tensor) -> None:
        """Set variances, thresholds and inverse dispersions to their optimum without a code, or near it."""
        x = np.asarray(x, "float64")
        for kind, weights in self._weights.items():
            if not np.any(weights.numpy()):
                values = [_start(kind, x[:, part.features]) for part in self._of(kind)]
                weights.assign(np.concatenate(values))

    # === The distribution ===

    def decoder_shape(self, x_shape: Shape) -> Shape:
        return (self._outputs,)

    def negative_log_likelihood(self, y: Tensor, y_pred: Tensor) -> Tensor:
        y, y_pred = as_float32(y), as_float32(y_pred)
        valid = ops.clip(y, self._low, self._high)
        errors = [self._error(part, valid[..., part.features], y_pred[..., part.parameters]) for part in self._parts]
        return ops.concatenate(errors, axis=-1) + 2.0 * ops.square(y - valid)

    def _error(self, part: _Part, y: Tensor, y_pred: Tensor) -> Tensor:
        if part.kind == "gaussian":
            log_variance = bounded(self._weight(part), *LOG_VARIANCE)
            return losses.GaussianNegativeLogLikelihood(log_variance).elementwise(y, y_pred)
        if part.kind == "bernoulli":
            return tf.nn.sigmoid_cross_entropy_with_logits(y, y_pred)
        if part.kind in _CLASSES:
            return -y * self._log_classes(part, y_pred)
        if part.kind == "poisson":
            log_rate = bounded(y_pred, *_LOG_RATE)
            return ops.exp(log_rate) - y * log_rate + tf.math.lgamma(y + 1.0)
        return negative_binomial(y, y_pred, self._weight(part))

    def _log_classes(self, part: _Part, y_pred: Tensor) -> Tensor:
        """Return log p of each class of a categorical or ordinal column, (batch, classes)."""
        if part.kind == "categorical":
            return ops.log_softmax(y_pred, axis=-1)
        thresholds = self._thresholds(part)
        logits = thresholds - y_pred
        between = ops.log(-ops.expm1(thresholds[:-1] - thresholds[1:]))  # σ(b) - σ(a) = σ(b) σ(-a) (1 - e^(a-b))
        middle = ops.log_sigmoid(logits[..., 1:]) + ops.log_sigmoid(-logits[..., :-1]) + between
        return ops.concatenate([ops.log_sigmoid(logits[..., :1]), middle, ops.log_sigmoid(-logits[..., -1:])], axis=-1)

    def mean(self, y_pred: Tensor) -> Tensor:
        return ops.concatenate([self._mean(part, y_pred[..., part.parameters]) for part in self._parts], axis=-1)

    def _mean(self, part: _Part, y_pred: Tensor) -> Tensor:
        if part.kind in _CLASSES:
            return ops.exp(self._log_classes(part, y_pred))
        if part.kind == "bernoulli":
            return ops.sigmoid(y_pred)
        if part.kind in _COUNTS:
            return ops.exp(ops.clip(y_pred, *(_LOG_RATE if part.kind == "poisson" else LOG_MEAN)))
        return y_pred

    def sample(self, y_pred: Tensor, seed: int | Tensor) -> Tensor:
        y_pred, seed = as_float32(y_pred), stateless_seed(seed)
        return ops.concatenate(
            [
                self._sample(part, y_pred[..., part.parameters], tf.random.experimental.stateless_fold_in(seed, i))
                for i, part in enumerate(self._parts)
            ],
            axis=-1,
        )

    def _sample(self, part: _Part, y_pred: Tensor, seed: Tensor) -> Tensor:
        shape = tf.shape(y_pred)
        if part.kind == "gaussian":
            noise = tf.random.stateless_normal(shape, seed, alg="philox")
            return y_pred + ops.exp(0.5 * bounded(self._weight(part), *LOG_VARIANCE)) * noise
        if part.kind == "poisson":
            return tf.random.stateless_poisson(shape, seed, self._mean(part, y_pred), "float32")
        if part.kind == "negative_binomial":
            log_r = tf.broadcast_to(self._weight(part), shape)
            return NegativeBinomial("predicted").sample(ops.concatenate([y_pred, log_r], axis=-1), seed)
        if part.kind == "bernoulli":
            uniform = tf.random.stateless_uniform(shape, seed, alg="philox")
            return ops.cast(uniform < self._mean(part, y_pred), "float32")
        log_p = self._log_classes(part, y_pred)
        return tf.one_hot(tf.random.stateless_categorical(log_p, 1, seed)[:, 0], log_p.shape[-1])

    # === Data ===

    def encoder_layer(self) -> keras.layers.Layer | None:
        counts = [i for part in self._parts if part.kind in _COUNTS for i in range(self._width)[part.features]]
        return Log1p(counts) if counts else None

    def check_data(self, x: np.ndarray) -> None:
        x = np.asarray(x)
        for name, kind, features in self._ranges():
            values = x[..., features]
            there = values[~np.isnan(values)]
            if kind in _COUNTS and np.any(there < 0):
                raise ValueError(f"Column {name!r} has counts, but one of them is {there.min():g}.")
            outside = there[(there < 0) | (there > 1)]
            if kind == "bernoulli" and outside.size:
                raise ValueError(f"Column {name!r} must be 0 or 1, but one of its values is {outside[0]:g}.")
            if kind in _CLASSES and (np.any((there != 0) & (there != 1)) or np.any(values.sum(axis=-1) > 1)):
                raise ValueError(
                    f"Column {name!r} is {kind}, but its {values.shape[-1]} features are not one-hot: encode its "
                    "classes with keras.utils.to_categorical."
                )

    def _ranges(self) -> Iterator[tuple[str, str, slice]]:
        """Yield name, kind and features of each column."""
        start = 0
        for name, kind, *classes in self.columns:
            width = _KINDS[kind] or classes[0]
            yield name, kind, slice(start, start + width)
            start += width

    def standardized(self, x: np.ndarray) -> np.ndarray:
        return np.concatenate([x[..., part.features] for part in self._of("gaussian")] or [x[..., :0]], axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {"columns": [list(column) for column in self.columns]}


def _listed(groups: Mapping[str, slice], kinds: Mapping[str, str]) -> list[tuple[Any, ...]]:
    """Return columns as a list, in the order of their features."""
    columns: list[tuple[Any, ...]] = []
    end = 0
    for name, features in sorted(groups.items(), key=lambda item: item[1].start):
        if name not in kinds:
            raise ValueError(f"Column {name!r} has no kind: name it in kinds.")
        if features.start != end:
            raise ValueError(f"No column has feature {min(end, features.start)}, or two have: check their slices.")
        end = features.stop
        classes = [end - features.start] if kinds[name] in _CLASSES else []
        columns.append((name, kinds[name], *classes))
    return columns


def _checked(column: Sequence[Any]) -> tuple[Any, ...]:
    """Return a column as (name, kind) or (name, kind, classes)."""
    kind = None if isinstance(column, str) or len(column) not in (2, 3) else _ALIASES.get(column[1], column[1])
    if kind not in _KINDS:
        raise ValueError(
            "A column of MixedTable is (name, kind) or (name, kind, classes) with a kind of "
            f"{', '.join(map(repr, _KINDS))}, but it is {column!r}."
        )
    name, _, *classes = column
    if kind not in _CLASSES:
        if classes:
            raise ValueError(f"Column {name!r} is {kind} and has no classes: leave out {classes[0]!r}.")
        return name, kind
    if not classes or isinstance(classes[0], bool) or not isinstance(classes[0], numbers.Integral) or classes[0] < 1:
        given = repr(classes[0]) if classes else "missing"
        raise ValueError(f"The number of classes of column {name!r} must be a positive integer, but it is {given}.")
    return name, "categorical" if classes[0] == 1 else kind, int(classes[0])


def _parts(columns: Sequence[tuple[Any, ...]]) -> list[_Part]:
    """Return the parts of a table: each column of classes, and runs of other columns of the same kind."""
    parts: list[_Part] = []
    used = dict.fromkeys(_KINDS, 0)
    x = y = 0
    for _, kind, *classes in columns:
        features = _KINDS[kind] or classes[0]
        parameters = 1 if kind == "ordinal" else features
        weights = features - 1 if kind == "ordinal" else 1
        w = used[kind]
        if parts and parts[-1].kind == kind and kind not in _CLASSES:
            before = parts.pop()
            starts = before.features.start, before.parameters.start, before.weights.start
        else:
            starts = x, y, w
        x, y, used[kind] = x + features, y + parameters, w + weights
        parts.append(_Part(kind, *(slice(a, b) for a, b in zip(starts, (x, y, used[kind]), strict=True))))
    return parts


def _start(kind: str, x: np.ndarray) -> np.ndarray:
    """Return the weights of a part, (n, features), that are the optimum without a code, or near it."""
    if kind == "negative_binomial":
        return log_inverse_dispersion_of(x)
    if kind == "gaussian":
        return log_variance_of(x)
    counts = x.sum(axis=0) + 0.5
    p = np.cumsum(counts)[:-1] / counts.sum()
    thresholds = np.log(p) - np.log1p(-p)
    distances = np.maximum(np.diff(thresholds) - _LEAST_DISTANCE, _LEAST_DISTANCE)
    return np.concatenate([thresholds[:1], np.log(np.expm1(distances))])
