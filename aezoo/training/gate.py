"""Checks of data in any form, before a model sees them.

Arrays and tables are checked as a whole; `tf.data` pipelines, `PyDataset`s and generators are checked batch by batch as
they are read. A check that fails raises a `ValueError` of one sentence.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

import keras
import numpy as np
import tensorflow as tf

from aezoo import _keras, _validation, losses
from aezoo._errors import CLOSE, OPEN, marked
from aezoo._errors import readable_errors as readable_errors
from aezoo._typing import Array, ArrayLike, Data, Shape, Tensor
from aezoo.datasets import mapped
from aezoo.preprocessing.base import Preprocessing

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder
    from aezoo.training.trainer import Trainer

# Single precision turns 1.0 into 1.0000001 in a resized or rescaled image.
_SLACK = 1e-5
_EMPTY = "The data set is empty, it has no samples: give at least one."
_EMPTY_BATCH = "A batch has no samples: drop it, such as with data.filter(lambda *batch: tf.shape(batch[0])[0] > 0)."
_NOT_FINITE = "The data contain NaN or infinite values: remove or replace them, or give the model missing='mask'."


@dataclasses.dataclass(frozen=True)
class Spec:
    """Shape of a part of a sample, None for an unknown size, and the name of its dtype."""

    shape: Shape
    dtype: str

    @classmethod
    def of(cls, array: Array) -> Spec:
        """Return the specification of an array, a tensor or a `tf.TensorSpec` whose first axis is the batch axis."""
        return cls(tuple(array.shape[1:]), getattr(array.dtype, "name", str(array.dtype)))


@dataclasses.dataclass(frozen=True)
class Condition:
    """Requirements of a model for one of its conditions.

    Attributes:
        name: Name of the condition.
        spec: Shape and dtype of the condition; None before the model is built.
        bounds: The least and the largest value; None if any finite value is allowed.
    """

    name: str
    spec: Spec | None
    bounds: tuple[float, float] | None

    def check_form(self, values: Array, n: int | None) -> None:
        """Check dtype and shape of an array, a tensor or a specification, and that it has n entries."""
        if not hasattr(values, "shape") or getattr(values.shape, "rank", 1) in (None, 0) or not len(values.shape):
            one = hasattr(values, "shape")
            found = "it is a single value" if one else f"it is a {type(values).__name__}: give np.asarray({self.name})"
            raise ValueError(f"{self.name} must be an array with one entry per sample, but {found}.")
        if n is not None and values.shape[0] not in (None, n):
            raise ValueError(
                f"There are {n} samples, but {values.shape[0]} entries of {self.name}: give one entry per sample."
            )
        if self.spec is not None:
            _validation.check_condition(self.name, Spec.of(values), self.spec)
        _check_dtype(values.dtype, self.name, integers=True)

    def check_numbers(self, values: Array) -> None:
        """Check that all values are finite and inside the bounds."""
        values = np.asarray(values)
        if not values.size:
            return
        low, high = float(values.min()), float(values.max())
        if not np.isfinite(low) or not np.isfinite(high):
            raise ValueError(f"{self.name} contains NaN or infinite values: remove or replace them.")
        if self.bounds and (low < self.bounds[0] or high > self.bounds[1]):
            raise ValueError(f"{self.out_of_bounds} Its values are from {low:g} to {high:g}.")

    @property
    def out_of_bounds(self) -> str:
        """Message about values outside the bounds."""
        low, high = self.bounds or (-math.inf, math.inf)
        return f"{self.name} must be in [{low:g}, {high:g}]."


@dataclasses.dataclass(frozen=True)
class Parts:
    """Parts of a batch, or of all data: samples, conditions by name, and targets and weights or None."""

    x: Any
    conditions: Mapping[str, Any]
    y: Any
    weight: Any

    @property
    def inputs(self) -> Tensor | dict[str, Tensor]:
        """Argument x for Keras: the samples, or a dict of samples and conditions."""
        return {"x": self.x, **self.conditions} if self.conditions else self.x

    @property
    def element(self) -> tuple[Any, ...]:
        """Element of a data set for Keras."""
        if self.weight is not None:  # Keras drops the weights of samples without targets
            return self.inputs, self.x if self.y is None else self.y, self.weight
        return (self.inputs,) if self.y is None else (self.inputs, self.y)


@dataclasses.dataclass(frozen=True)
class Rules:
    """Requirements of a model for its data, without the model itself, so that worker processes can check batches.

    Attributes:
        name: Name of the model.
        kind: Name of the model's class.
        x_shape: Shape of a sample; None before the model is built.
        y_shape: Shape of a reconstruction; None before the model is built.
        bounds: Range that the model's output can reach; None without bounds, or if outputs are not compared with data.
        advice: Advice for data outside the bounds, for messages.
        largest: The largest number in the precision of the model.
        labels: Advice on how to leave out labels in this form of data, for messages.
        conditions: Requirements for the conditions.
        missing: Whether samples and targets may have missing values, NaN.
        integers: Whether samples are integers, such as tokens.
        classes: Whether targets are classes of the last axis of a reconstruction, as in a sparse cross-entropy.
        decodes: Whether the decoder is the user's own, so that targets may have any shape.
        weighs_features: Whether the error can have weights per step or per feature.
        compared: Whether outputs are compared with the data.
        tokens: Size of the vocabulary of a model of tokens; None for any other model.
    """

    name: str
    kind: str
    x_shape: Shape | None
    y_shape: Shape | None
    bounds: tuple[float, float] | None
    advice: str
    largest: float
    labels: str = "fit(x)"
    conditions: tuple[Condition, ...] = ()
    missing: bool = False
    integers: bool = False
    classes: bool = False
    decodes: bool = False
    weighs_features: bool = True
    compared: bool = True
    tokens: int | None = None

    @classmethod
    def of(cls, model: Trainer, labels: str = "fit(x)", compared: bool = True) -> Rules:
        """Return the rules of a model.

        Args:
            model: The model.
            labels: Advice on how to leave out labels, for messages.
            compared: Whether outputs are compared with the data.
        """
        return cls(
            model.name,
            type(model).__name__,
            model.x_shape if model.built else None,
            model.y_shape if model.built else None,
            model.output_bounds if compared else None,
            model.unbounded,
            float(tf.as_dtype(model.compute_dtype).max),
            labels,
            tuple(
                Condition(name, model.condition_specs.get(name), model.condition_bounds(name))
                for name in model.condition_names
            ),
            model.missing != "error",
            "int" in model.input_dtype,
            losses.takes_classes(model.reconstruction_loss),
            model.decodes_to_any_shape,
            model.weighs_features,
            compared,
            model.tokens,
        )

    @property
    def built(self) -> bool:
        """True once the model is built."""
        return self.x_shape is not None

    # === Parts of data ===

    def parts(self, x: Data, y: Data | None = None, weight: Data | None = None) -> Parts:
        """Return the parts of a user's x, y and weights; y may be the condition of a model with one condition.

        Args:
            x: Samples, or a dict of "x" and of the conditions.
            y: Targets, or the only condition.
            weight: Sample weights.

        Raises:
            ValueError: If x has other parts than the model takes; the message names them.
        """
        names = [condition.name for condition in self.conditions]
        if is_dict(x):
            if not names:
                return Parts(x["x"] if set(x) == {"x"} else x, {}, y, weight)
            if set(x) != {"x", *names}:
                got = self._named(*x)
                raise ValueError(f"{self.name!r} takes {self._named('x', *names)}, but the data have {got}.")
            return Parts(x["x"], {name: x[name] for name in names}, y, weight)
        if not names:
            return Parts(x, {}, y, weight)
        if len(names) == 1 and y is not None:
            return Parts(x, {names[0]: y}, None, weight)
        raise ValueError(f"{self.name!r} needs {self._named(*names)} beside the samples: give a dict, {self.form}.")

    def parts_of(self, element: Any) -> Parts:
        """Return the parts of an element of a data set: x, (x, y) or (x, y, sample_weight), unchanged.

        Raises:
            ValueError: As `parts`, and if the element has more parts.
        """
        if isinstance(element, (tuple, list)) and not 1 <= len(element) <= 3:
            raise ValueError(f"A batch must be x, (x, y) or (x, y, sample_weight), but it has {len(element)} parts.")
        return self.parts(*keras.utils.unpack_x_y_sample_weight(element))

    @property
    def form(self) -> str:
        """Example of a dict of samples and conditions, for messages."""
        return f"{{{', '.join(f'{name!r}: ...' for name in ('x', *(each.name for each in self.conditions)))}}}"

    @staticmethod
    def _named(*names: str) -> str:
        return " and ".join(map(repr, names))

    # === Dtypes and shapes ===

    def check_form(self, parts: Parts) -> None:
        """Check dtypes and shapes of samples, conditions, targets and weights: arrays, tensors, or specifications."""
        x, y, weight = parts.x, parts.y, parts.weight
        _one_tensor(x)
        _check_dtype(x.dtype, integers=self.integers)
        if self.tokens and "float" in getattr(x.dtype, "name", str(x.dtype)):
            raise ValueError(f"The samples are {x.dtype}, not tokens: give integers, such as x.astype('int32').")
        if getattr(x.shape, "rank", 1) is None:
            raise ValueError(
                "The shape of the samples is unknown: give the data set shapes, for example "
                "output_signature=tf.TensorSpec((None, 28, 28, 1), 'float32') of from_generator."
            )
        _validation.check_sample_shape(self, x.shape)
        for condition in self.conditions:
            if condition.name in parts.conditions:
                condition.check_form(parts.conditions[condition.name], x.shape[0])
        if y is not None:
            self._check_target_form(x, y)
        elif self.compared and self.built and not self._fits_output(x):
            raise ValueError(
                f"The decoder returns reconstructions of shape {self.y_shape} for inputs of shape "
                f"{tuple(x.shape[1:])}: end it with a layer that returns the input's shape, such as Reshape, or give "
                "targets, fit(x, y)."
            )
        if weight is not None:
            self._check_weight_form(weight, x if y is None else y)

    def _fits_output(self, y: Array) -> bool:
        shape = tuple(y.shape[1:])
        if self.y_shape is None or _validation.shapes_match(shape, self.y_shape):
            return True
        return self.classes and _validation.shapes_match(shape, self.y_shape[:-1])

    def _check_target_form(self, x: Array, y: Array) -> None:
        if getattr(getattr(y, "shape", None), "rank", 1) is None:
            _check_dtype(y.dtype, "targets", integers=True)
            return
        shape = tuple(y.shape[1:]) if hasattr(y, "shape") else ()
        wanted = tuple(x.shape[1:]) if self.y_shape is None else self.y_shape
        if self.built:
            fits = self._fits_output(y)
        else:  # the decoder will be built for the target's shape, unless targets are labels
            alike = self.classes or ((self.decodes or len(shape) == len(wanted)) and not self._are_labels(y))
            fits = bool(shape) and (_validation.shapes_match(shape, wanted) or alike)
        if not fits:
            raise ValueError(self.no_targets(shape if hasattr(y, "shape") else type(y).__name__, wanted))
        _check_dtype(y.dtype, "targets", integers=True)

    def no_targets(self, shape: Shape | str, wanted: Shape) -> str:
        """Return the message about targets of another shape than reconstructions."""
        if self.conditions:
            return (
                f"The targets have shape {shape}, but reconstructions have shape {wanted}; if they are labels, give "
                f"them as a condition or leave them out: {self.labels.replace('(x)', f'({self.form})')}."
            )
        return (
            f"The targets have shape {shape}, but reconstructions have shape {wanted}; if they are labels, leave them "
            f"out: {self.labels}."
        )

    @staticmethod
    def _are_labels(y: Array) -> bool:
        """Return whether targets of another shape than the samples are labels: integers, or one-hot rows."""
        name = getattr(y.dtype, "name", str(y.dtype))
        if "int" in name or "bool" in name:
            return True
        if len(y.shape) != 2 or tf.is_symbolic_tensor(y) or isinstance(y, tf.TensorSpec) or not hasattr(y, "__array__"):
            return False
        y = np.asarray(y)
        return bool(np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all())

    def _check_weight_form(self, weight: Array, target: Array) -> None:
        shape, wanted = tuple(weight.shape), tuple(target.shape)
        per_sample = len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)
        if not per_sample and not _validation.shapes_match(shape[1:], wanted[1 : len(shape)]):
            raise ValueError(
                f"Weights must be per sample, (n,), or have the leading axes of the targets, of shape {wanted[1:]}, "
                f"but they have shape {shape}."
            )
        if not per_sample and not self.weighs_features:
            raise ValueError(
                f"{self.kind} has no error per step or feature to weigh: give one weight per sample, (n,), not weights "
                f"of shape {shape}."
            )

    # === Values ===

    def check_numbers(self, parts: Parts) -> None:
        """Check that all numbers are finite, and that targets (without targets, samples) are inside the bounds."""
        x, y = parts.x, parts.y
        if y is not None and y is not x:
            self._finite_range(x)
        low, high = self._finite_range(x if y is None else y)
        if self.tokens and x.shape[0]:
            values = np.asarray(x)
            if values.min() < 0 or values.max() >= self.tokens:
                raise ValueError(f"{self.unknown_tokens} Their values are from {values.min()} to {values.max()}.")
        if self.bounds and (low < self.bounds[0] - _SLACK or high > self.bounds[1] + _SLACK):
            raise ValueError(f"{self.out_of_range} Their values are from {low:g} to {high:g}.")
        for condition in self.conditions:
            if condition.name in parts.conditions:
                condition.check_numbers(parts.conditions[condition.name])
        if parts.weight is not None:
            check_weights(parts.weight, x.shape[0])

    @property
    def unknown_tokens(self) -> str:
        """Message about tokens outside the vocabulary."""
        return f"Tokens must be in [0, {(self.tokens or 0) - 1}], the vocabulary of tokens={self.tokens}."

    @property
    def middle(self) -> float:
        """A value inside the bounds; 0 without bounds."""
        return 0.0 if self.bounds is None else float(np.clip(0.0, *self.bounds))

    @property
    def out_of_range(self) -> str:
        """Message about targets outside the bounds."""
        low, high = self.bounds or (0.0, 1.0)
        return (
            f"The targets go outside [{low:g}, {high:g}], the range that this model's output can reach: scale them "
            f"(pixels: x / 255; new data slightly outside: np.clip), or standardize them, {_validation.STANDARDIZED}, "
            f"and choose {self.advice}."
        )

    def _finite_range(self, array: Array) -> tuple[float, float]:
        if hasattr(array, "nnz"):  # a sparse matrix, whose entries that are not stored are 0
            array = np.append(array.data, 0)
        if not math.prod(array.shape):
            return 0.0, 0.0
        array = np.asarray(array)
        # The extremes reveal NaN and infinity; if values may be missing, they are NaN only if all values are.
        least, greatest = (np.fmin, np.fmax) if self.missing else (np.minimum, np.maximum)
        low, high = float(least.reduce(array, axis=None)), float(greatest.reduce(array, axis=None))
        if self.missing and np.isnan(low):
            raise ValueError("All values of the data are missing: give data with some observed values.")
        if not np.isfinite(low) or not np.isfinite(high):
            raise ValueError(_NOT_FINITE)
        if max(-low, high) > self.largest:
            raise ValueError(
                f"The data have values of up to {max(-low, high):.3g}, more than the {self.largest:.3g} that the "
                "model's precision can hold: scale them."
            )
        return low, high

    def checked(self, element: Tensor) -> tuple[Any, ...]:
        """Return an element of a `PyDataset` or a generator as a tuple of dense arrays, checked."""
        parts = self.checked_parts(element)
        if not parts.x.shape[0]:
            raise ValueError(_EMPTY_BATCH)
        return parts.element

    def checked_parts(self, element: Tensor) -> Parts:
        """Return the parts of an element of a data set, dense and checked."""
        found = map_parts(lambda part: dense(as_array(part, self.missing)), self.parts_of(element))
        self.check_form(found)
        self.check_numbers(found)
        return found


@dataclasses.dataclass(frozen=True)
class Validated:
    """Checked data, to pass to Keras instead of the user's.

    Attributes:
        x: Samples, a dict of samples and conditions, or data that come batch by batch.
        y: Targets, or None.
        weight: Sample weights, or None.
        x_spec: Shape and dtype of a sample.
        y_spec: Shape and dtype of a target; None if the sample is the target.
        condition_specs: Shapes and dtypes of conditions by name.
    """

    x: Any
    y: Any
    weight: Any
    x_spec: Spec
    y_spec: Spec | None
    condition_specs: Mapping[str, Spec]

    @classmethod
    def of(cls, x: Data | None, y: Data | None, weight: Data | None, first: Parts) -> Validated:
        """Return checked data, with the specifications of their first batch, whose parts are arrays or specs."""
        return cls(
            x,
            y,
            weight,
            Spec.of(first.x),
            None if first.y is None or first.y is first.x else Spec.of(first.y),
            {name: Spec.of(values) for name, values in first.conditions.items()},
        )


# === Checks by form of data ===


def validated(
    model: Trainer,
    x: Any,
    y: Data | None = None,
    weight: Data | None = None,
    *,
    labels: str = "fit(x)",
    compared: bool = True,
) -> Validated:
    """Check data for `fit`, `evaluate`, `predict` and similar methods.

    Args:
        model: The model.
        x: Data in any form that `keras.Model.fit` accepts, a DataFrame of pandas or polars, a table of pyarrow, or a
            matrix of scipy.sparse, which is made dense batch by batch; or, for a model with conditions, a dict of such
            "x" and of the conditions by name.
        y: Targets, if x is an array, or the only condition of a model.
        weight: Weights per sample, step or feature, if x is an array.
        labels: Advice on how to leave out labels, for messages.
        compared: Whether outputs are compared with the data, which must then be in the range of the outputs.

    Returns:
        The checked data, to use instead of the user's.

    Raises:
        ValueError: If the data cannot be used.
    """
    x, y = preprocessed(model, x), y if model.condition_names else preprocessed(model, y)
    if isinstance(x, tf.data.Dataset):
        return _checked_dataset(Rules.of(model, "aezoo.datasets.without_labels(data)", compared), x)
    if isinstance(x, tf.distribute.DistributedDataset):
        rules = Rules.of(model, "aezoo.datasets.without_labels(data)", compared)
        specs = tf.nest.map_structure(_keras.replica_spec, x.element_spec)
        return Validated.of(x, None, None, rules.parts_of(specs))
    if isinstance(x, keras.utils.PyDataset):
        rules = Rules.of(model, "return x alone from __getitem__", compared)
        if x.num_batches == 0:
            raise ValueError(_EMPTY)
        first = rules.parts_of(rules.checked(x[0]))
        return Validated.of(mapped.PyDataset(x, functools.partial(_checked, rules)), None, None, first)
    if hasattr(x, "__next__"):
        rules = Rules.of(model, "yield x alone", compared)
        try:
            element = next(x)
        except StopIteration:
            raise ValueError(_EMPTY) from None
        first = rules.parts_of(rules.checked(element))
        # The only iterators that Keras accepts are generators of tuples.
        return Validated.of(_checked_generator(rules, itertools.chain([element], x)), None, None, first)
    rules = Rules.of(model, labels, compared)
    parts = map_parts(lambda part: as_array(part, rules.missing), rules.parts(x, y, weight))
    x = dense(parts.x) if isinstance(parts.x, tf.SparseTensor) else parts.x
    weight = None if parts.weight is None else np.asarray(parts.weight)
    parts = dataclasses.replace(parts, x=x, weight=weight)
    if x is None or isinstance(x, (tuple, list, dict)) or not hasattr(x, "shape"):
        raise ValueError(
            f"Expected samples as one array, a table, a tf.data.Dataset, a keras.utils.PyDataset or a generator, "
            f"but got {type(x).__name__}."
        )
    _check_dtype(x.dtype, integers=rules.integers)
    if 0 in x.shape:
        raise ValueError(_EMPTY)
    rules.check_form(parts)
    if parts.y is not None and parts.y.shape[0] != x.shape[0]:
        raise ValueError(f"There are {x.shape[0]} samples, but {parts.y.shape[0]} targets: give one target per sample.")
    rules.check_numbers(parts)
    inputs, y, weight = keras.utils.unpack_x_y_sample_weight(parts.element)
    return Validated.of(inputs, y, weight, parts)


def validation(model: Trainer, data: Any) -> Any:
    """Check the `validation_data` of `fit`, and return the argument for Keras."""
    if not isinstance(data, (tuple, list)):
        return validated(model, data).x
    x, y, weight = keras.utils.unpack_x_y_sample_weight(tuple(data))
    found = validated(model, x, y, weight, labels="validation_data=(x,)")
    return found.x, found.y, found.weight


def inputs(
    model: Trainer,
    x: Data,
    conditions: Mapping[str, Any] | None = None,
    *,
    compared: bool = False,
    bounds: tuple[float, float] | None = None,
) -> tuple[Any, dict[str, Any]]:
    """Check samples and conditions for a verb, and return them as dense arrays or tensors.

    Values are not checked inside a graph, where tensors have none.

    Args:
        model: The model; a model that is not built accepts any shape.
        x: Samples, (n, ...), an array, a tensor, a table or a sparse matrix; or a dict of "x" and of the conditions.
        conditions: Conditions by name, each (n, ...) or one value for all samples.
        compared: Whether samples must be in the range that the model's output can reach.
        bounds: Another range that samples must be in.

    Returns:
        The samples, (n, ...), in single precision but not yet converted to a tensor; and the conditions by name, with
        one entry per sample.

    Raises:
        ValueError: If samples are not floating-point, not finite or have the wrong shape, or conditions are missing or
            do not fit the model.
    """
    parts = array_parts(model, x, conditions, compared=compared, bounds=bounds)
    return single(dense(parts.x)), dict(parts.conditions)


def array_parts(
    model: Trainer,
    x: Data,
    conditions: Mapping[str, Any] | None = None,
    y: Data | None = None,
    *,
    compared: bool = False,
    bounds: tuple[float, float] | None = None,
) -> Parts:
    """Check samples, conditions and targets as `inputs` does, and return them without copying the samples.

    Args:
        model: As in `inputs`.
        x: As in `inputs`.
        conditions: As in `inputs`.
        y: Targets, (n, ...), or None.
        compared: Whether the targets, or the samples without targets, must be in the range of the model's output.
        bounds: Another range that they must be in.

    Raises:
        ValueError: As `inputs`, and if targets have another shape than reconstructions, or there is not one per sample.
    """
    x, y = preprocessed(model, x), y if model.condition_names else preprocessed(model, y)
    if is_stream(x):
        raise ValueError(
            f"Expected samples as one array, not a {type(x).__name__}, which encode, reconstruct and score_samples "
            "accept: read it into an array first."
        )
    rules = Rules.of(model, compared=compared)
    rules = rules if bounds is None else dataclasses.replace(rules, bounds=bounds)
    if is_dict(x):
        if conditions:
            raise ValueError("Give conditions once: in the dict of the samples, or by name.")
        parts = rules.parts(x)
        x, conditions = parts.x, parts.conditions
    x = as_array(x, rules.missing)
    x = dense(x) if isinstance(x, tf.SparseTensor) else x
    try:
        x = x if hasattr(x, "shape") else np.asarray(x)
    except ValueError:  # such as a pair of samples and labels
        raise ValueError(f"Expected samples as one array, (n, ...), but got a {type(x).__name__}.") from None
    if not len(x.shape):
        raise ValueError("Expected samples as an array, (n, ...), not a single number.")
    if y is not None:
        y = dense(as_array(y, rules.missing))
        y = y if hasattr(y, "shape") else np.asarray(y)
        if not len(y.shape) or y.shape[0] != x.shape[0]:
            raise ValueError(
                f"There are {x.shape[0]} samples, but targets of shape {tuple(y.shape)}: give one target per sample."
            )
    found = conditions_of(model, conditions or {}, x.shape[0], rules)
    parts = Parts(x, {}, y, None)
    rules.check_form(parts)
    if not is_symbolic(x):
        rules.check_numbers(parts)
    return dataclasses.replace(parts, conditions=found)


def preprocessed(model: Trainer, x: Any) -> Any:
    """Return raw data as samples, with the preprocessing of a model, and anything else unchanged.

    Args:
        model: The model.
        x: Data in any form. Of a dict, "x" is preprocessed; of a `tf.data.Dataset`, the samples of each batch.

    Raises:
        ValueError: If raw data do not have the form that the preprocessing was fitted on.
    """
    preprocessing = model.preprocessing
    if preprocessing is None or x is None or is_symbolic(x):
        return x
    if isinstance(x, tf.data.Dataset):
        return _preprocessed_dataset(preprocessing, x)
    if preprocessing.is_raw(x):
        return preprocessing.transform(x)
    return {**x, "x": preprocessed(model, x["x"])} if is_dict(x) and "x" in x else x


def _preprocessed_dataset(preprocessing: Preprocessing, dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Map the batches of a data set whose samples have the names and dtypes of raw inputs."""
    raw, spec = preprocessing.raw_specs, dataset.element_spec
    sample = spec[0] if isinstance(spec, tuple) else spec
    if is_dict(sample):
        if not raw.keys() <= sample.keys() or set(raw) == {"x"}:
            return dataset
    elif len(raw) > 1 or getattr(sample, "dtype", None) != next(iter(raw.values())).dtype or sample.dtype.is_floating:
        return dataset

    def preprocess(x: Any, *rest: Any) -> Any:
        inputs = {name: tf.cast(x[name], s.dtype) for name, s in raw.items()} if is_dict(x) else {next(iter(raw)): x}
        samples = preprocessing.call(inputs)
        return (samples, *rest) if isinstance(spec, tuple) else samples

    return dataset.map(preprocess, num_parallel_calls=tf.data.AUTOTUNE)


def is_stream(x: object) -> bool:
    """Return whether x is data that come batch by batch: a data set, a `PyDataset` or a generator."""
    kinds = (tf.data.Dataset, keras.utils.PyDataset, tf.distribute.DistributedDataset)
    return isinstance(x, kinds) or hasattr(x, "__next__")


def elements(x: Any) -> Iterator[Any]:
    """Return an iterator over the elements of data that come batch by batch.

    Args:
        x: A data set, a `PyDataset` or a generator.

    Raises:
        ValueError: If the data are infinite, or distributed over replicas.
    """
    if isinstance(x, tf.distribute.DistributedDataset):
        raise ValueError("The data set is distributed over replicas: give the data set that it was made from.")
    if isinstance(x, keras.utils.PyDataset):
        if x.num_batches is not None:
            return (x[i] for i in range(x.num_batches))
    elif not isinstance(x, tf.data.Dataset) or x.cardinality() != tf.data.INFINITE_CARDINALITY:
        return iter(x)
    raise ValueError("The data set is infinite: give a part of it, for example data.take(100).")


def samples(model: Trainer, x: Data, *, compared: bool = False, bounds: tuple[float, float] | None = None) -> Array:
    """Check samples of a model without conditions, as `inputs` does, and return them."""
    return inputs(model, x, compared=compared, bounds=bounds)[0]


def conditions_of(
    model: Trainer, conditions: Mapping[str, Any], n: int | Tensor | None, rules: Rules | None = None
) -> dict[str, Any]:
    """Check conditions for a verb, and return each with one entry per sample.

    Args:
        model: The model.
        conditions: Conditions by name, each (n, ...) or one value for all samples.
        n: Number of samples; None in a graph.
        rules: The rules of the model; None makes them.

    Raises:
        ValueError: If a condition is missing, unknown, or does not fit the model.
    """
    if not model.condition_names and not conditions:
        return {}
    rules = rules or Rules.of(model, compared=False)
    names = [condition.name for condition in rules.conditions]
    conditions = {name: values for name, values in conditions.items() if values is not None}
    if set(conditions) != set(names):
        if not names:
            raise ValueError(f"{model.name!r} has no condition {', '.join(map(repr, conditions))}: leave it out.")
        raise ValueError(
            f"{model.name!r} needs {', '.join(f'{name}=...' for name in names)}, or samples as a dict, {rules.form}, "
            f"but was given {', '.join(conditions) or 'no condition'}."
        )
    found = {}
    for condition in rules.conditions:
        values = as_array(conditions[condition.name])
        values = values if hasattr(values, "shape") else np.asarray(values)
        rank = len(condition.spec.shape) if condition.spec else 0
        if len(values.shape) == rank and n is not None:  # one for all samples
            values = tf.repeat(tf.convert_to_tensor(values)[None], n, axis=0)
        condition.check_form(values, n)
        if not is_symbolic(values):
            condition.check_numbers(values)
        found[condition.name] = tf.cast(values, condition.spec.dtype) if condition.spec else values
    return found


def is_dict(x: Any) -> TypeGuard[Mapping[str, Any]]:
    """Return whether x is a dict of samples and conditions, and not a sparse matrix of SciPy, which may be a dict."""
    return isinstance(x, Mapping) and not hasattr(x, "shape")


def is_symbolic(x: object) -> bool:
    """Return whether x is a symbolic tensor, without values."""
    return tf.is_symbolic_tensor(x) or isinstance(x, keras.KerasTensor)


def map_parts(function: Callable[[Any], Any], parts: Parts) -> Parts:
    """Apply a function to all parts that are not None."""
    x, y, weight = (None if part is None else function(part) for part in (parts.x, parts.y, parts.weight))
    return Parts(x, {name: function(values) for name, values in parts.conditions.items()}, y, weight)


def dense_single(parts: Parts) -> Parts:
    """Return parts dense and in single precision; see `dense` and `single`."""
    return map_parts(lambda part: single(dense(part)), parts)


def codes(model: Autoencoder, z: Data) -> Array:
    """Check codes for a verb: their shape and, outside a graph, that they are finite; return them."""
    codes: Array = z if hasattr(z, "shape") else np.asarray(z)
    _validation.check_code_shape(model, codes.shape)
    if not is_symbolic(codes) and math.prod(codes.shape) and not np.isfinite([np.min(codes), np.max(codes)]).all():
        raise ValueError("The codes contain NaN or infinite values: give finite codes.")
    return codes


def check_weights(weight: ArrayLike, n: int | None = None) -> None:
    """Check that sample weights are finite, not negative, and as many as the samples."""
    weight = np.asarray(weight)
    if n is not None and len(weight) != n:
        raise ValueError(f"There are {n} samples, but {len(weight)} sample weights: give one weight per sample.")
    if not np.isfinite(weight).all() or (weight < 0).any():
        raise ValueError("Sample weights must be finite and at least 0, but some are negative, NaN or infinite.")


def check_class_weight(class_weight: object) -> None:
    """Refuse class weights, which only classifiers can use."""
    if class_weight is not None:
        raise ValueError("class_weight needs labels, which an autoencoder does not have: give sample_weight.")


# === Forms of arrays ===


def as_array(x: Array, missing: bool = False) -> Array:
    """Return a table or a masked array as a NumPy array, and anything else unchanged.

    Args:
        x: A DataFrame of pandas or polars, a table of pyarrow, a masked array, or any other object.
        missing: Whether entries may be missing; they become NaN.

    Returns:
        For a table, an array (rows, columns) float32.

    Raises:
        ValueError: If columns are not numeric, or have missing values; the message names them.
    """
    columns = _columns(x)
    if columns is not None:
        return _table(columns, missing)
    if isinstance(x, np.ma.MaskedArray):
        if missing and x.dtype.kind == "f":
            return x.filled(np.nan)
        if np.ma.is_masked(x):
            raise ValueError(
                "The data contain masked values: remove them, replace them with x.filled(0), or give the model "
                "missing='mask'."
            )
        return x.data
    if type(x).__module__.split(".")[0] in ("pandas", "polars", "pyarrow") and hasattr(x, "to_numpy"):
        return x.to_numpy()  # a single column
    if isinstance(x, tf.RaggedTensor):
        raise ValueError("The samples differ in length (a ragged tensor): pad them to one length, x.to_tensor().")
    return x


def is_table(x: object) -> bool:
    """Return whether x is a DataFrame of pandas or polars, or a table of pyarrow."""
    return _columns(x) is not None


def single(x: Array) -> Array:
    """Return double-precision numbers in the single precision of models, and anything else unchanged."""
    if getattr(getattr(x, "dtype", None), "name", "") != "float64":
        return x
    return tf.cast(x, "float32") if tf.is_tensor(x) else np.asarray(x, "float32")


def dense(x: Array) -> Array:
    """Return a sparse matrix of SciPy or a sparse tensor as a dense one, and anything else unchanged."""
    if isinstance(x, tf.SparseTensor):
        return tf.sparse.to_dense(x)
    return x.toarray() if hasattr(x, "nnz") and hasattr(x, "toarray") else x


def _columns(x: Any) -> list[tuple[str, bool, Any]] | None:
    """Return name, whether it is numeric, and a reader of each column; None if x is not a table."""
    kind = type(x).__module__.split(".")[0]
    if hasattr(x, "iloc") and hasattr(x, "columns"):  # pandas, where several columns may have the same name

        def of_pandas(column: Any) -> Callable[[], np.ndarray]:
            return lambda: column.to_numpy(dtype="float64", na_value=np.nan)

        columns = [x.iloc[:, i] for i in range(len(x.columns))]
        return [(str(column.name), column.dtype.kind in "biuf", of_pandas(column)) for column in columns]
    if kind == "polars" and hasattr(x, "collect"):
        raise ValueError("A LazyFrame has no data yet: give the result of its collect().")
    if kind == "polars" and hasattr(x, "columns"):
        float64, boolean = sys.modules["polars"].Float64, sys.modules["polars"].Boolean

        def of_polars(column: Any) -> Callable[[], np.ndarray]:
            return lambda: column.cast(float64).to_numpy()

        columns = [x[:, i] for i in range(len(x.columns))]
        return [(c.name, c.dtype.is_numeric() or c.dtype == boolean, of_polars(c)) for c in columns]
    if kind == "pyarrow" and hasattr(x, "column_names"):
        types = sys.modules["pyarrow"].types
        is_number = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal)

        def of_pyarrow(column: Any) -> Callable[[], np.ndarray]:
            column = column.cast("int8") if types.is_boolean(column.type) else column
            return lambda: column.cast("float64").to_numpy()

        columns = [x.column(i) for i in range(x.num_columns)]
        return [
            (name, any(is_(column.type) for is_ in is_number), of_pyarrow(column))
            for name, column in zip(x.column_names, columns, strict=True)
        ]
    return None


def _table(columns: list[tuple[str, bool, Any]], missing: bool) -> np.ndarray:
    if not columns:
        raise ValueError("The table has no columns: give at least one column of numbers.")
    if text := [name for name, numeric, _ in columns if not numeric]:
        raise ValueError(
            f"The table has columns that are not numeric ({_named(text)}): encode categories and text, for example "
            "with sklearn.preprocessing.OneHotEncoder, or leave them out."
        )
    with np.errstate(over="ignore"):
        table = np.stack([numbers() for _, _, numbers in columns], axis=1).astype("float32")
    finite = (np.isfinite(table) | (missing & np.isnan(table))).all(axis=0)
    if lacking := [name for (name, _, _), whole in zip(columns, finite, strict=True) if not whole]:
        raise ValueError(
            f"The table has missing, NaN or infinite values ({_named(lacking)}): remove or replace them, for example "
            "with sklearn.impute.SimpleImputer, or give the model missing='mask'."
        )
    return table


def _named(columns: list[str]) -> str:
    return ", ".join(repr(name[:40]) for name in columns[:5]) + (", ..." if len(columns) > 5 else "")


def _one_tensor(x: object) -> None:
    if isinstance(x, dict):
        raise ValueError(
            f"The elements of the data are dicts ({', '.join(map(repr, x))}): select the samples, for example with "
            f"aezoo.datasets.without_labels(data, key={next(iter(x), 'image')!r})."
        )
    if isinstance(x, (tuple, list)):
        raise ValueError(f"The samples are a {type(x).__name__} of {len(x)} parts, not one array: give one.")
    if isinstance(x, (tf.RaggedTensor, tf.RaggedTensorSpec)):
        raise ValueError(
            "The samples differ in length (a ragged batch): pad them to one length, for example with padded_batch."
        )


def _check_dtype(dtype: object, what: str = "samples", integers: bool = False) -> None:
    name = getattr(dtype, "name", str(dtype))
    if name == "bool" or "int" in name:
        if integers:
            return
        raise ValueError(
            f"The {what} are {name}, not floating-point: scale images with x.astype('float32') / 255, and one-hot "
            "encode categories and token ids."
        )
    if name in ("object", "string") or name.startswith("str"):
        raise ValueError(
            f"The {what} are {name}, not floating-point: encode text and categories, for example with "
            "sklearn.preprocessing.OneHotEncoder, and convert numbers with np.asarray(x, 'float32')."
        )
    if "float" not in name:
        raise ValueError(f"The {what} are {name}, not floating-point: convert them with x.astype('float32').")


# === Data that come batch by batch ===


def _checked(rules: Rules, element: Any) -> Any:
    """Return an element of a `PyDataset`, checked as it is read."""
    with marked():
        parts = rules.checked(element)
    return parts if len(parts) > 1 else parts[0]


def _checked_generator(rules: Rules, elements: Iterator[Any]) -> Iterator[tuple[Any, ...]]:
    for element in elements:
        with marked():
            parts = rules.checked(element)
        yield parts


def _checked_dataset(rules: Rules, dataset: tf.data.Dataset) -> Validated:
    if int(dataset.cardinality()) == 0:
        raise ValueError(_EMPTY)
    specs = rules.parts_of(dataset.element_spec)
    rules.check_form(specs)

    @tf.autograph.experimental.do_not_convert  # conversion is not needed, and takes longer than the rest
    def check(*element: Any) -> Tensor:
        # A dict comes as one argument, a tuple as several.
        parts = map_parts(dense, rules.parts(*element))
        some = tf.shape(parts.x)[0] > 0
        # Check after the cast that the model makes, which turns too large numbers into infinity.
        numbers = [tf.cast(part, "float32") for part in (parts.x, parts.y) if part is not None]
        if rules.missing:
            numbers = [tf.where(tf.math.is_nan(part), tf.constant(rules.middle), part) for part in numbers]
        assertions = [(some, _EMPTY_BATCH)]
        assertions += [(tf.reduce_all(tf.abs(part) <= rules.largest), _NOT_FINITE) for part in numbers]
        if rules.tokens:
            assertions.append((tf.reduce_all((parts.x >= 0) & (parts.x < rules.tokens)), rules.unknown_tokens))
        if rules.bounds:
            (low, high), target = rules.bounds, numbers[-1]
            inside = (tf.reduce_min(target) >= low - _SLACK) & (tf.reduce_max(target) <= high + _SLACK)
            assertions.append((inside, rules.out_of_range))
        for condition in rules.conditions:
            values = tf.cast(parts.conditions[condition.name], "float32")
            low, high = condition.bounds or (-rules.largest, rules.largest)
            assertions.append((tf.reduce_all((values >= low) & (values <= high)), condition.out_of_bounds))
        if parts.weight is not None:
            fine = tf.reduce_all((parts.weight >= 0) & tf.math.is_finite(tf.cast(parts.weight, "float32")))
            assertions.append((fine, "Sample weights must be finite and at least 0."))
        if not rules.built and not rules.classes and parts.y is not None and parts.y.shape.rank == 2:
            shape, wanted = tuple(parts.y.shape[1:]), tuple(parts.x.shape[1:])
            if not _validation.shapes_match(shape, wanted):
                one_hot = tf.reduce_all((parts.y == 0) | (parts.y == 1)) & tf.reduce_all(tf.reduce_sum(parts.y, 1) == 1)
                # A last batch of a single sample is too small to decide.
                labels = one_hot & (tf.shape(parts.y)[0] > 1)
                assertions.append((~labels, rules.no_targets(shape, wanted)))
        with tf.control_dependencies([tf.debugging.Assert(true, [OPEN + text + CLOSE]) for true, text in assertions]):
            element = parts.element
            return tf.nest.map_structure(tf.identity, element[0] if len(element) == 1 else element)

    return Validated.of(dataset.map(check), None, None, specs)
