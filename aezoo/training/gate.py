"""The one gate for data: whatever form samples come in, they are checked here before a model sees them.

Arrays and tables are checked at once, `tf.data` pipelines, `PyDataset`s and generators batch by batch as they are read.
A check that fails is a `ValueError` of one sentence.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from aezoo import _validation

# The sentence of a check that fails inside a pipeline of TensorFlow or a thread of Keras stands between these two.
_OPEN, _CLOSE = "<<aezoo: ", ">>"
# Single precision turns 1.0 into 1.0000001 in a resized or rescaled image.
_SLACK = 1e-5
_EMPTY = "The data set is empty: there are no samples."
_NOT_FINITE = "The data contain NaN or infinite values: remove or replace them."


@dataclasses.dataclass(frozen=True)
class Rules:
    """What a model takes: all that checking a batch needs, without the model itself, so that a worker can have it.

    Attributes:
        name: Name of the model.
        x_shape: Shape of a sample, None before the model is built.
        bounds: The values that its output can reach, None where there is no bound or nobody compares.
        advice: What to choose for data outside the bounds.
        largest: The largest number of the precision that the model computes in.
        labels: How to leave out labels, for this form of data.
    """

    name: str
    x_shape: tuple[int | None, ...] | None
    bounds: tuple[float, float] | None
    advice: str
    largest: float
    labels: str = "fit(x)"

    @classmethod
    def of(cls, model: Any, labels: str = "fit(x)", compared: bool = True) -> Rules:
        """Make the rules of a model; `compared` says that outputs are compared with the data."""
        return cls(
            model.name,
            model.x_shape if model.built else None,
            _validation.target_range(model) if compared else None,
            model.unbounded,
            float(tf.as_dtype(model.compute_dtype).max),
            labels,
        )

    @property
    def built(self) -> bool:
        """Whether the model has a shape of its own."""
        return self.x_shape is not None

    # === What is known of a batch without its numbers ===

    def check_form(self, x: Any, y: Any = None, weight: Any = None) -> None:
        """Check dtype and shape of samples, targets and weights: arrays, tensors, or their specifications."""
        _one_tensor(x)
        _check_dtype(x.dtype)
        if getattr(x.shape, "rank", 1) is None:
            raise ValueError(
                "The shape of the samples is unknown: give the data set shapes, for example "
                "output_signature=tf.TensorSpec((None, 28, 28, 1), 'float32') of from_generator."
            )
        _validation.check_sample_shape(self, x.shape)
        if y is not None:
            known = getattr(getattr(y, "shape", None), "rank", 1) is not None
            if not hasattr(y, "shape") or (
                known and not _validation.shapes_match(tuple(y.shape[1:]), tuple(x.shape[1:]))
            ):
                shape = tuple(y.shape[1:]) if hasattr(y, "shape") else type(y).__name__
                raise ValueError(
                    f"The targets have shape {shape}, but reconstructions have shape {tuple(x.shape[1:])}; if they "
                    f"are labels, leave them out: {self.labels}."
                )
            _check_dtype(y.dtype, "targets", integers=True)
        if weight is not None and len(weight.shape) != 1:
            raise ValueError(
                f"Give one weight per sample, (n,), not weights of shape {tuple(weight.shape)}: weights per feature "
                "or per step are not supported."
            )

    # === What its numbers say ===

    def check_numbers(self, x: Any, y: Any = None, weight: Any = None) -> None:
        """Check that all numbers are finite, and those that outputs are compared with inside the bounds."""
        if y is not None and y is not x:
            self._finite_range(x)
        low, high = self._finite_range(x if y is None else y)
        if self.bounds and (low < self.bounds[0] - _SLACK or high > self.bounds[1] + _SLACK):
            raise ValueError(f"{self.out_of_range} Theirs are from {low:g} to {high:g}.")
        if weight is not None:
            check_weights(weight, x.shape[0])

    @property
    def out_of_range(self) -> str:
        """The sentence about targets outside the bounds."""
        low, high = self.bounds or (0.0, 1.0)
        return (
            f"The targets go outside [{low:g}, {high:g}], which is all that this model's output can reach: scale them "
            f"(pixels: x / 255; new data a little outside: np.clip), or standardize them, {_validation.STANDARDIZED}, "
            f"and choose {self.advice}."
        )

    def _finite_range(self, array: Any) -> tuple[float, float]:
        if hasattr(array, "nnz"):  # a sparse matrix: the entries that it does not store are 0
            array = np.append(array.data, 0)
        if not math.prod(array.shape):
            return 0.0, 0.0
        low, high = float(np.min(array)), float(np.max(array))  # NaN and infinity come out in one of them
        if not np.isfinite(low) or not np.isfinite(high):
            raise ValueError(_NOT_FINITE)
        if max(-low, high) > self.largest:
            raise ValueError(
                f"The data have values of up to {max(-low, high):.3g}, more than the {self.largest:.3g} that the "
                "model's precision can hold: scale them."
            )
        return low, high

    def checked(self, element: Any) -> tuple[Any, ...]:
        """Return an element of a `PyDataset` or a generator as a tuple of dense arrays, checked."""
        if isinstance(element, (tuple, list)) and not 1 <= len(element) <= 3:
            raise ValueError(f"A batch is x, (x, y) or (x, y, sample_weight), but this one has {len(element)} parts.")
        parts = element if isinstance(element, (tuple, list)) else (element,)
        parts = tuple(None if part is None else dense(as_array(part)) for part in parts)
        x, y, weight = (*parts, None, None)[:3]
        self.check_form(x, y, weight)
        self.check_numbers(x, y, weight)
        return parts


@dataclasses.dataclass(frozen=True)
class Validated:
    """Data that have passed: what Keras is to be given in place of them.

    Attributes:
        x: Samples.
        y: Targets, or None.
        weight: Sample weights, or None.
        shape: The shape of the first batch, its first axis of any size.
    """

    x: Any
    y: Any
    weight: Any
    shape: Any


# === The ways in ===


def validated(
    model: Any, x: Any, y: Any = None, weight: Any = None, *, labels: str = "fit(x)", compared: bool = True
) -> Validated:
    """Check data for `fit`, `evaluate`, `predict` and their likes.

    Args:
        model: The model.
        x: Whatever `keras.Model.fit` takes as x, a DataFrame of pandas or polars, a table of pyarrow, or a matrix
            of scipy.sparse, which is made dense batch by batch.
        y: Targets, where x is an array.
        weight: Sample weights, (n,), where x is an array.
        labels: How to leave out labels, for the error message.
        compared: Whether outputs are compared with the data, which then have to be in their range.

    Returns:
        The data, to be used in place of those given.

    Raises:
        ValueError: If the data cannot be used.
    """
    if isinstance(x, tf.data.Dataset):
        rules = Rules.of(model, "dataset.map(lambda image, label: image)", compared)
        return Validated(*_checked_dataset(rules, x), shape=_first_spec(x).shape)
    if isinstance(x, tf.distribute.DistributedDataset):
        spec = _first_spec(x)
        return Validated(x, None, None, getattr(spec, "_value_specs", [spec])[0].shape)
    if isinstance(x, keras.utils.PyDataset):
        rules = Rules.of(model, "return x alone from __getitem__", compared)
        if x.num_batches == 0:
            raise ValueError(_EMPTY)
        return Validated(CheckedPyDataset(x, rules), None, None, rules.checked(x[0])[0].shape)
    if hasattr(x, "__next__"):
        rules = Rules.of(model, "yield x alone", compared)
        try:
            first = next(x)
        except StopIteration:
            raise ValueError(_EMPTY) from None
        shape = rules.checked(first)[0].shape
        # Keras takes no other kind of iterator than a generator, and of it only tuples.
        return Validated(_checked_generator(rules, itertools.chain([first], x)), None, None, shape)
    x, y = as_array(x), None if y is None else as_array(y)
    x = dense(x) if isinstance(x, tf.SparseTensor) else x
    if x is None or isinstance(x, (tuple, list, dict)) or not hasattr(x, "shape"):
        raise ValueError(
            f"Expected samples as one array, a table, a tf.data.Dataset, a keras.utils.PyDataset or a generator, "
            f"but got {type(x).__name__}."
        )
    rules = Rules.of(model, labels, compared)
    weight = None if weight is None else np.asarray(as_array(weight))
    _check_dtype(x.dtype)
    if 0 in x.shape:
        raise ValueError(_EMPTY)
    rules.check_form(x, y, weight)
    if y is not None and y.shape[0] != x.shape[0]:
        raise ValueError(f"There are {x.shape[0]} samples, but {y.shape[0]} targets.")
    rules.check_numbers(x, y, weight)
    if weight is not None and y is None:
        y = x  # Keras drops the weights of samples that have no target
    return Validated(x, y, weight, x.shape)


def validation(model: Any, data: Any) -> Any:
    """Check the `validation_data` of `fit`, and return what Keras is to be given."""
    if not isinstance(data, (tuple, list)):
        return validated(model, data).x
    x, y, weight = keras.utils.unpack_x_y_sample_weight(tuple(data))
    found = validated(model, x, y, weight, labels="validation_data=(x,)")
    return found.x, found.y, found.weight


def samples(model: Any, x: Any, *, compared: bool = False, bounds: tuple[float, float] | None = None) -> Any:
    """Check samples for a verb, and return them as a dense array or a tensor.

    Numbers are looked at where there are some: not in a graph.

    Args:
        model: The model; one that is not built takes any shape.
        x: (n, ...), an array, a tensor, a table or a sparse matrix.
        compared: Whether they have to be in the range that the model's output can reach.
        bounds: Another range that they have to be in.

    Returns:
        (n, ...), not yet converted to a tensor, but in single precision.

    Raises:
        ValueError: If they are not floating-point, of another shape than the model takes, or not finite.
    """
    if isinstance(x, (tf.data.Dataset, keras.utils.PyDataset)):
        raise ValueError(
            f"Expected samples as one array, not a {type(x).__name__}: use model.predict or model.encoder.predict."
        )
    x = dense(as_array(x))
    x = x if hasattr(x, "shape") else np.asarray(x)
    rules = Rules.of(model, compared=compared)
    rules = dataclasses.replace(rules, bounds=bounds or rules.bounds)
    rules.check_form(x)
    if not tf.is_symbolic_tensor(x) and not isinstance(x, keras.KerasTensor):
        rules.check_numbers(x)
    return single(x)


def codes(model: Any, z: Any) -> Any:
    """Check codes for a verb: their shape and, outside a graph, that they are finite; return them."""
    z = z if hasattr(z, "shape") else np.asarray(z)
    _validation.check_code_shape(model, z.shape)
    if not tf.is_symbolic_tensor(z) and not isinstance(z, keras.KerasTensor) and not np.isfinite(z).all():
        raise ValueError("The codes contain NaN or infinite values: there is nothing to decode.")
    return z


def check_weights(weight: Any, n: int | None = None) -> None:
    """Check that sample weights are finite, not negative, and as many as there are samples."""
    weight = np.asarray(weight)
    if n is not None and len(weight) != n:
        raise ValueError(f"There are {n} samples, but {len(weight)} sample weights: give one weight per sample.")
    if not np.isfinite(weight).all() or (weight < 0).any():
        raise ValueError("Sample weights must be finite and at least 0, but some are negative, NaN or infinite.")


def check_class_weight(class_weight: Any) -> None:
    """Refuse the class weights that `fit` of a classifier takes."""
    if class_weight is not None:
        raise ValueError("class_weight needs labels, which an autoencoder has none of: give sample_weight.")


# === Forms of arrays ===


def as_array(x: Any) -> Any:
    """Return a table or a masked array as a NumPy array; leave anything else as it is.

    Args:
        x: A DataFrame of pandas or polars, a table of pyarrow, a masked array, or anything.

    Returns:
        Of a table, (rows, columns) float32.

    Raises:
        ValueError: If columns are not numbers, or lack some; the message names them.
    """
    columns = _columns(x)
    if columns is not None:
        return _table(columns)
    if isinstance(x, np.ma.MaskedArray):
        if np.ma.is_masked(x):
            raise ValueError("The data contain masked values, NaN for the model: remove or replace them, x.filled(0).")
        return x.data
    if type(x).__module__.split(".")[0] in ("pandas", "polars", "pyarrow") and hasattr(x, "to_numpy"):
        return x.to_numpy()  # one column
    if isinstance(x, tf.RaggedTensor):
        raise ValueError("The samples differ in length (a ragged tensor): pad them to one length, x.to_tensor().")
    return x


def is_table(x: Any) -> bool:
    """Return whether x is a DataFrame of pandas or polars, or a table of pyarrow."""
    return _columns(x) is not None


def single(x: Any) -> Any:
    """Return double-precision numbers in single precision, which models compute in; leave anything else as it is."""
    if getattr(getattr(x, "dtype", None), "name", "") != "float64":
        return x
    return tf.cast(x, "float32") if tf.is_tensor(x) else np.asarray(x, "float32")


def dense(x: Any) -> Any:
    """Return a sparse matrix of SciPy, or a sparse tensor, as a dense one; leave anything else as it is."""
    if isinstance(x, tf.SparseTensor):
        return tf.sparse.to_dense(x)
    return x.toarray() if hasattr(x, "nnz") and hasattr(x, "toarray") else x


def _columns(x: Any) -> list[tuple[str, bool, Any]] | None:
    """Of each column its name, whether it has numbers, and a function that gets them; None where x is no table."""
    kind = type(x).__module__.split(".")[0]
    if hasattr(x, "iloc") and hasattr(x, "columns"):  # pandas, in which several columns may have one name

        def of_pandas(column: Any) -> Any:
            return lambda: column.to_numpy(dtype="float64", na_value=np.nan)

        columns = [x.iloc[:, i] for i in range(len(x.columns))]
        return [(str(column.name), column.dtype.kind in "biuf", of_pandas(column)) for column in columns]
    if kind == "polars" and hasattr(x, "collect"):
        raise ValueError("A LazyFrame has no data yet: give what its collect() returns.")
    if kind == "polars" and hasattr(x, "columns"):
        float64, boolean = sys.modules["polars"].Float64, sys.modules["polars"].Boolean

        def of_polars(column: Any) -> Any:
            return lambda: column.cast(float64).to_numpy()

        columns = [x[:, i] for i in range(len(x.columns))]
        return [(c.name, c.dtype.is_numeric() or c.dtype == boolean, of_polars(c)) for c in columns]
    if kind == "pyarrow" and hasattr(x, "column_names"):
        types = sys.modules["pyarrow"].types
        is_number = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal)

        def of_pyarrow(column: Any) -> Any:
            column = column.cast("int8") if types.is_boolean(column.type) else column
            return lambda: column.cast("float64").to_numpy()

        columns = [x.column(i) for i in range(x.num_columns)]
        return [
            (name, any(is_(column.type) for is_ in is_number), of_pyarrow(column))
            for name, column in zip(x.column_names, columns, strict=True)
        ]
    return None


def _table(columns: list[tuple[str, bool, Any]]) -> np.ndarray:
    if not columns:
        raise ValueError("The table has no columns.")
    if text := [name for name, numeric, _ in columns if not numeric]:
        raise ValueError(
            f"The table has columns that hold no numbers ({_named(text)}): encode categories and text, for example "
            "with sklearn.preprocessing.OneHotEncoder, or leave them out."
        )
    with np.errstate(over="ignore"):
        table = np.stack([numbers() for _, _, numbers in columns], axis=1).astype("float32")
    finite = np.isfinite(table).all(axis=0)
    if lacking := [name for (name, _, _), whole in zip(columns, finite, strict=True) if not whole]:
        raise ValueError(
            f"The table has missing, NaN or infinite values ({_named(lacking)}): remove or replace them, for example "
            "with sklearn.impute.SimpleImputer."
        )
    return table


def _named(columns: list[str]) -> str:
    return ", ".join(repr(name[:40]) for name in columns[:5]) + (", ..." if len(columns) > 5 else "")


def _one_tensor(x: Any) -> None:
    if isinstance(x, dict):
        raise ValueError(
            f"The elements of the data are dicts ({', '.join(map(repr, x))}): take out the samples, for example "
            f"dataset.map(lambda element: element[{next(iter(x), 'image')!r}])."
        )
    if isinstance(x, (tuple, list)):
        raise ValueError(f"The samples are a {type(x).__name__} of {len(x)} parts, not one array: give one.")
    if isinstance(x, (tf.RaggedTensor, tf.RaggedTensorSpec)):
        raise ValueError(
            "The samples differ in length (a ragged batch): pad them to one length, for example with padded_batch."
        )


def _check_dtype(dtype: Any, what: str = "samples", integers: bool = False) -> None:
    name = getattr(dtype, "name", str(dtype))
    if name == "bool" or "int" in name:
        if integers:
            return
        raise ValueError(
            f"The {what} are {name}, not floating-point: scale them first, images by x.astype('float32') / 255, and "
            "one-hot encode categories and token ids."
        )
    if name in ("object", "string") or name.startswith("str"):
        raise ValueError(
            f"The {what} are {name}, not floating-point: encode text and categories, for example with "
            "sklearn.preprocessing.OneHotEncoder, and convert numbers with np.asarray(x, 'float32')."
        )
    if "float" not in name:
        raise ValueError(f"The {what} are {name}, not floating-point: convert them with x.astype('float32').")


# === Data that come batch by batch ===


class CheckedPyDataset(keras.utils.PyDataset):
    """A `PyDataset` of which every batch is checked as it is read.

    Args:
        inner: The data set.
        rules: What to check.
    """

    def __init__(self, inner: keras.utils.PyDataset, rules: Rules):
        super().__init__(inner.workers, inner.use_multiprocessing, inner.max_queue_size)
        self.inner = inner
        self.rules = rules

    def __getitem__(self, index: int) -> Any:
        with marked():
            parts = self.rules.checked(self.inner[index])
        return parts if len(parts) > 1 else parts[0]

    def __len__(self) -> int:
        return len(self.inner)

    @property
    def num_batches(self) -> Any:
        """As of the data set inside."""
        return self.inner.num_batches

    def on_epoch_begin(self) -> None:
        self.inner.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self.inner.on_epoch_end()


def _checked_generator(rules: Rules, elements: Iterator[Any]) -> Iterator[tuple[Any, ...]]:
    for element in elements:
        with marked():
            parts = rules.checked(element)
        yield parts


def _first_spec(dataset: Any) -> Any:
    return keras.tree.flatten(keras.utils.unpack_x_y_sample_weight(dataset.element_spec)[0])[0]


def _checked_dataset(rules: Rules, dataset: tf.data.Dataset) -> tuple[tf.data.Dataset, None, None]:
    parts = dataset.element_spec
    if isinstance(parts, (tuple, list)) and not 1 <= len(parts) <= 3:
        raise ValueError(f"A batch is x, (x, y) or (x, y, sample_weight), but these have {len(parts)} parts.")
    x, y, weight = keras.utils.unpack_x_y_sample_weight(parts)
    if int(dataset.cardinality()) == 0:
        raise ValueError(_EMPTY)
    rules.check_form(x, y, weight)

    def check(*element: Any) -> Any:
        element = tf.nest.map_structure(dense, element)
        x, y, weight = keras.utils.unpack_x_y_sample_weight(element)
        # After the cast that the model makes, which turns too large numbers into infinity.
        parts = [tf.cast(part, "float32") for part in (x, y) if part is not None]
        assertions = [(tf.reduce_all(tf.abs(part) <= rules.largest), _NOT_FINITE) for part in parts]
        if rules.bounds:
            (low, high), target = rules.bounds, parts[-1]
            inside = (tf.reduce_min(target) >= low - _SLACK) & (tf.reduce_max(target) <= high + _SLACK)
            assertions.append((inside, rules.out_of_range))
        if weight is not None:
            fine = tf.reduce_all((weight >= 0) & tf.math.is_finite(tf.cast(weight, "float32")))
            assertions.append((fine, "Sample weights must be finite and at least 0."))
        with tf.control_dependencies([tf.debugging.Assert(true, [_OPEN + text + _CLOSE]) for true, text in assertions]):
            return tf.nest.map_structure(tf.identity, element[0] if len(element) == 1 else element)

    return dataset.map(check), None, None


@contextmanager
def marked() -> Iterator[None]:
    """Mark the sentence of a check, so that it is found again in what Keras and TensorFlow make of the error."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{_OPEN}{error}{_CLOSE}") from error


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turn the failure of a check inside a pipeline into its sentence."""
    try:
        yield
    except (tf.errors.OpError, ValueError) as error:
        found = re.search(f"{_OPEN}(.*?){_CLOSE}", getattr(error, "message", str(error)))
        if not found:
            raise
        raise ValueError(found.group(1).replace("\\'", "'")) from None  # TensorFlow escapes quotes
