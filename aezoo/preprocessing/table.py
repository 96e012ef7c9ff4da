"""Preprocessing of tables: standardized numbers, one-hot categories, and the way back to raw units."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from aezoo._errors import listed, marked
from aezoo._typing import Self, Shape, Tensor
from aezoo.preprocessing import _reading
from aezoo.preprocessing._reading import Batch, Source, Values
from aezoo.preprocessing.base import Preprocessing, is_lost_in_single_precision, warn_of_new_columns

#: Numbers and categories of some rows; see `TablePreprocessing.encoded`.
Encoded: TypeAlias = tuple[np.ndarray, np.ndarray]
Kind = Literal["numeric", "date", "count", "boolean", "categorical", "ordinal"]

#: Name of the category that rare categories share.
OTHER = "<other>"
# A column is called an identifier only if it has at least this many rows.
_FEWEST = 20
# The most different values that are counted per column, and the numbers that are compared to find a repeated one.
_MOST_COUNTED, _MOST_COMPARED = 20_000, 2**16
_NAME_OF_IDENTIFIER = re.compile(r"(?i:(^|[\W_])(id|index|idx|key|uuid|guid)$)|[a-z](Id|ID)$")
# A column of text has wrong values if a larger part of it, but not all, are numbers.
_MOSTLY_NUMBERS = 0.5
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*")


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table that becomes features.

    Attributes:
        name: Name of the column.
        served: Name of the column in a served request: an identifier of ASCII letters.
        kind: "numeric", "date", "count", "boolean", "categorical" or "ordinal".
        mean: Mean over the training rows, of numbers and dates.
        deviation: Standard deviation over the training rows, of numbers and dates.
        categories: The categories, or levels in their order; "" stands for empty cells.
        has_other: Whether the last category collects rare and new ones.
        missing: Fraction of empty cells in the training rows.
    """

    name: str
    served: str
    kind: Kind
    mean: float = 0.0
    deviation: float = 1.0
    categories: tuple[str, ...] = ()
    has_other: bool = False
    missing: float = 0.0

    @property
    def is_text(self) -> bool:
        """True for categories and levels."""
        return self.kind in ("categorical", "ordinal")

    @property
    def width(self) -> int:
        """Number of features."""
        return len(self.categories) if self.is_text else 1


@keras.saving.register_keras_serializable("aezoo")
class TablePreprocessing(Preprocessing):
    """Turn the rows of a table into samples: standardize numbers, one-hot encode categories.

    The kind of each column follows from its type. In CSV, a column of whole numbers is of texts if one has a leading
    zero, such as the postal code 01067. Numbers get mean 0 and variance 1 over the training rows. Dates become days
    since 1970-01-01, which are standardized too. Booleans become 0 and 1. Texts become one feature per category.
    Identifiers, which are different in almost every row, and columns that are constant, also to the precision of
    float32, are left out; `summary` names them.

    Missing numbers stay NaN, for models with `missing="mask"` or `"learn"`; other models refuse them. A category that
    `fit` has not seen is 0 in all features of its column, or 1 in the last one, "<other>", if the column has more than
    `max_categories` categories.

    Args:
        categorical: Names of columns to read as categories although they contain numbers, such as years.
        counts: Names of columns of counts: whole numbers of at least 0, also such as 007, which are not standardized.
        ordinal: Levels of columns of ordered categories, from the lowest to the highest, by name.
        label: Name of the column of labels, which is not part of the samples.
        drop: Names of columns to leave out.
        keep: Names of columns that are not left out, although they look like identifiers.
        max_categories: The most features per column of categories: the most frequent ones are kept.
        empty: How to treat empty cells of categories: "category" makes them a category of their own if training rows
            have some; "missing" makes all features of the column NaN, for models with `missing="mask"`.
        **kwargs: `name` of `keras.layers.Layer`.

    Raises:
        ValueError: If an argument is out of range, or a column is named in two of them.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame({"age": [20.0, 40.0, 60.0], "city": ["Rome", "Oslo", "Rome"]})
        >>> preprocessing = TablePreprocessing().fit(table)
        >>> preprocessing.feature_names
        ['age', 'city=Oslo', 'city=Rome']
        >>> preprocessing.transform(table).round(2).tolist()
        [[-1.22..., 0.0, 1.0], [0.0, 1.0, 0.0], [1.22..., 0.0, 1.0]]
        >>> preprocessing.restore(preprocessing.transform(table))["city"].tolist()
        ['Rome', 'Oslo', 'Rome']
    """

    def __init__(
        self,
        *,
        categorical: Collection[str] = (),
        counts: Collection[str] = (),
        ordinal: Mapping[str, Sequence[str]] | None = None,
        label: str | None = None,
        drop: Collection[str] = (),
        keep: Collection[str] = (),
        max_categories: int = 100,
        empty: Literal["category", "missing"] = "category",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        named = {"categorical": categorical, "counts": counts, "ordinal": ordinal or (), "drop": drop, "keep": keep}
        for argument, names in named.items():
            if isinstance(names, str):
                raise ValueError(f"{argument} must be a sequence of names, such as [{names!r}], but it is {names!r}.")
        named["label"] = () if label is None else (label,)
        for one, other in itertools.combinations(("categorical", "counts", "ordinal", "drop", "label"), 2):
            if both := sorted(set(named[one]) & set(named[other])):
                raise ValueError(f"The column {both[0]!r} is named in {one}= and in {other}=; name it once.")
        if empty not in ("category", "missing"):
            raise ValueError(f"empty={empty!r} is unknown: choose 'category' or 'missing'.")
        if max_categories < 2:
            raise ValueError(f"max_categories must be at least 2, but it is {max_categories!r}.")
        self.categorical = tuple(categorical)
        self.counts = tuple(counts)
        self._ordinal = tuple((name, tuple(map(str, levels))) for name, levels in (ordinal or {}).items())
        self.label = label
        self.drop = tuple(drop)
        self.keep = tuple(keep)
        self.max_categories = max_categories
        self.empty = empty
        self._columns: tuple[Column, ...] = ()
        self._left_out: tuple[tuple[str, str], ...] = ()

    @property
    def ordinal(self) -> dict[str, tuple[str, ...]]:
        """Levels of columns of ordered categories by name, as given."""
        return dict(self._ordinal)

    # === Fitting ===

    def fit(self, raw: Any) -> Self:
        """Compute statistics and categories in one pass over a table, in constant memory; return self.

        Args:
            raw: Path of a CSV or Parquet file; a DataFrame of pandas or polars, a table of pyarrow, a dict of columns;
                or an iterator over parts of one table.

        Raises:
            ValueError: If the table has no rows, no column is left, or a value does not have the type of its column.
            FileNotFoundError: If there is no such file.
            ImportError: If pyarrow is not installed.
        """
        self._columns = ()
        return self.fit_sources((self.source(part) for part in raw) if hasattr(raw, "__next__") else [self.source(raw)])

    def source(self, data: Any, header: bool | Sequence[str] = True) -> Source:
        """Return a table to read batch by batch: all columns before `fit`, the fitted columns after it.

        Args:
            data: As in `fit`.
            header: Whether the first row of a CSV file has the names of the columns; or the names.
        """
        if not self._columns:
            text = (*self.categorical, *self.ordinal)
            return Source(data, header=header, text=text, padded=self.counts, drop=self.drop)
        text = tuple(column.name for column in self._columns if column.is_text)
        numbers = [column.name for column in self._columns if column.kind in ("numeric", "count")]
        return Source(data, header=header, text=text, numbers=numbers, only=list(self.kinds))

    def fit_sources(
        self,
        sources: Iterable[Source],
        part: Callable[[int, int], np.ndarray] | None = None,
        on_batch: Callable[[Batch], None] | None = None,
    ) -> Self:
        """Compute statistics and categories from one or several tables of the same columns; return self.

        Args:
            sources: The tables.
            part: Function from the number of the first row and a number of rows to a mask of the rows to use.
            on_batch: Function that is called with each batch of pyarrow.

        Raises:
            ValueError: As `fit`.
        """
        found: dict[str, _Numbers | _Texts] = {}
        names: list[str] = []
        rows = used = 0
        where = "The table"
        for source in sources:
            where = source.name
            for batch in source.batches():
                if not names:
                    names = list(batch.schema.names)
                    self._check_names(source)
                    ordinal = {**source.levels, **self.ordinal}
                    fields = [field for field in batch.schema if field.name != self.label]
                    found = {field.name: self._statistic(field, ordinal, where) for field in fields}
                elif batch.schema.names != names:
                    raise ValueError(f"{where} has parts with different columns: give each part the same columns.")
                mask = None if part is None else part(rows, batch.num_rows)
                for name, statistic in found.items():
                    values = batch.column(name)
                    statistic.add(values, mask, _Place(where, name, source.first_row + rows))
                if on_batch is not None:
                    on_batch(batch)
                rows += batch.num_rows
                used += batch.num_rows if mask is None else int(mask.sum())
        if not used:
            raise ValueError(
                f"{where} has no rows{' to train on' if rows else ''}: give at least one below the header."
            )
        left_out = [(name, "named in drop") for name in self.drop]
        left_out += [] if self.label is None else [(self.label, "label")]
        columns: list[Column] = []
        served: set[str] = set()
        for name, statistic in found.items():
            reason = statistic.reason_to_leave_out(name, used)
            if reason and not (name in self.keep and "identifier" in reason):
                left_out.append((name, reason))
            else:
                columns.append(statistic.column(name, _served(name, served), used))
        if not columns:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out[:5])
            raise ValueError(f"{where} has no column to learn from ({reasons}): add columns, or name some in keep=.")
        self._columns, self._left_out = tuple(columns), tuple(left_out)
        return self

    def _check_names(self, source: Source) -> None:
        given: dict[str, Collection[str]] = {
            "categorical": self.categorical,
            "counts": self.counts,
            "ordinal": self.ordinal,
            "label": () if self.label is None else (self.label,),
            "drop": self.drop,
            "keep": self.keep,
        }
        for argument, columns in given.items():
            if unknown := [name for name in columns if name not in source.all_names]:
                raise ValueError(
                    f"{argument}= names the column {unknown[0]!r}, which is not in the table: its columns are "
                    f"{listed(source.all_names)}."
                )

    def _statistic(self, field: Any, ordinal: Mapping[str, Sequence[str]], where: str) -> _Numbers | _Texts:
        kind = _reading.kind_of(field.type)
        if field.name in ordinal:
            return _Texts("ordinal", self, tuple(ordinal[field.name]))
        if kind == "text" or (field.name in self.categorical and kind):
            return _Texts("categorical", self)
        if field.name in self.counts:
            return _Numbers("count")
        if not kind:
            raise ValueError(
                f"{where} has the column {field.name!r} of type {field.type}, which has no numbers, texts or dates: "
                f"leave it out with drop=[{field.name!r}]."
            )
        kinds: dict[str, Kind] = {"number": "numeric", "empty": "numeric", "boolean": "boolean", "date": "date"}
        return _Numbers(kinds[kind])

    @property
    def is_fitted(self) -> bool:
        """True once `fit` has run."""
        return bool(self._columns)

    def state(self) -> dict[str, Any]:
        columns = [{**dataclasses.asdict(c), "categories": list(c.categories)} for c in self._columns]
        return {"columns": columns, "left_out": [list(pair) for pair in self._left_out]}

    def set_state(self, state: Mapping[str, Any]) -> None:
        self._columns = tuple(Column(**{**c, "categories": tuple(c["categories"])}) for c in state["columns"])
        self._left_out = tuple((name, reason) for name, reason in state["left_out"])

    def get_config(self) -> dict[str, Any]:
        names = ("categorical", "counts", "drop", "keep")
        config: dict[str, Any] = {name: list(getattr(self, name)) for name in names}
        config["ordinal"] = {name: list(levels) for name, levels in self._ordinal}
        config["label"] = self.label
        return {**super().get_config(), **config, "max_categories": self.max_categories, "empty": self.empty}

    # === Description ===

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that become features, in the order of the features."""
        return self._columns

    @property
    def left_out(self) -> dict[str, str]:
        """Reasons for leaving columns out, by name."""
        return dict(self._left_out)

    @property
    def kinds(self) -> dict[str, Kind]:
        """Kind of each column: "numeric", "date", "count", "boolean", "categorical" or "ordinal", by name."""
        return {column.name: column.kind for column in self._columns}

    @property
    def groups(self) -> dict[str, slice]:
        """Range of features of each column, by name, in the order of the features."""
        ends = itertools.accumulate(column.width for column in self._columns)
        return {column.name: slice(end - column.width, end) for column, end in zip(self._columns, ends, strict=True)}

    @property
    def feature_names(self) -> list[str]:
        """Name of each feature: the column, or for categories "column=category"."""
        names = []
        for column in self._columns:
            names += [f"{column.name}={each}" for each in column.categories] if column.is_text else [column.name]
        return names

    @property
    def sample_shape(self) -> Shape:
        """(features,)."""
        return (sum(column.width for column in self._columns),)

    @property
    def raw_specs(self) -> dict[str, tf.TensorSpec]:
        """One input of shape (None,) per column: strings for categories, float32 for all others.

        Dates are days since 1970-01-01. Characters of a column's name other than ASCII letters, digits and "_" become
        "_".
        """
        return {
            column.served: tf.TensorSpec((None,), "string" if column.is_text else "float32", name=column.served)
            for column in self._columns
        }

    @property
    def summary(self) -> str:
        """Description of the treatment of each column."""
        said = {
            "numeric": "numbers, standardized",
            "date": "dates, as days, standardized",
            "count": "counts, as they are",
            "boolean": "booleans, as 0 and 1",
            "categorical": "categories, one-hot",
            "ordinal": "ordered categories, one-hot",
        }
        lines = [f"{len(self._columns)} columns become {sum(c.width for c in self._columns)} features:"]
        for kind, what in said.items():
            names = [f"{c.name} ({c.width})" if c.is_text else c.name for c in self._columns if c.kind == kind]
            if names:
                lines.append(f"  {what} ({len(names)}): {listed(names, 12)}")
        lines += [f"Left out: {name} ({reason})" for name, reason in self._left_out]
        missing = [c for c in self._columns if c.missing and (not c.is_text or self.empty == "missing")]
        if missing:
            parts = listed([f"{c.name} ({c.missing:.2%})" for c in missing], 12)
            lines.append(f'Missing values: {parts}; give the model missing="mask", which leaves them out of the error.')
        return "\n".join(lines)

    # === From a table to samples ===

    def is_raw(self, data: Any) -> bool:
        """Return whether data are a table, the path of one, or a dict that has columns of the table.

        Args:
            data: Any object that a user passes as samples.
        """
        if isinstance(data, Mapping) and not hasattr(data, "shape"):
            names = self.kinds.keys()
            has_conditions = "x" in data and ("x" not in names or _reading.is_table(data["x"]))
            return bool(names & data.keys()) and not has_conditions
        return _reading.is_path(data) or _reading.is_table(data)

    def to_arrays(self, raw: Any) -> dict[str, np.ndarray]:
        """Return a table as one array per column, (n,) float32 or strings; empty cells are NaN or "".

        Args:
            raw: A table in any form that `fit` accepts, except an iterator.

        Raises:
            ValueError: If a column is missing, or has text that is not a number; the message names it.
        """
        source = self.source(raw)
        self._check_columns(source)
        parts: list[dict[str, Any]] = list(self._parts(source))
        arrays = {}
        for column in self._columns:
            values = [part[column.name] for part in parts]
            if column.is_text:
                cells = [cell for value in values for cell in value.fill_null("").to_pylist()]
                arrays[column.served] = np.array(cells, object)
            else:
                arrays[column.served] = np.concatenate(values) if values else np.zeros(0, "float32")
        return arrays

    def transform(self, raw: Any) -> np.ndarray | tf.data.Dataset:
        """Return a table as samples, (n, features) float32; the path of a file as a stream of batches of them.

        Args:
            raw: A table in any form that `fit` accepts, except an iterator.

        Raises:
            ValueError: As `to_arrays`.
        """
        source = self.source(raw)
        if source.path is not None:
            return self.stream(source)
        blocks = list(self.blocks(source))
        return np.concatenate(blocks) if blocks else np.zeros((0, *self.sample_shape), "float32")

    def stream(self, raw: Any, batch_size: int = 1024) -> tf.data.Dataset:
        """Return the rows of a table in order, as batches of samples, in constant memory.

        Args:
            raw: A table in any form that `fit` accepts, except an iterator.
            batch_size: Number of rows per batch.
        """
        source = raw if isinstance(raw, Source) else self.source(raw)
        self._check_columns(source)
        rows = source.rows()  # Keras warns about data sets of unknown length
        return batched(lambda: self.blocks(source, checked=True), batch_size, *self.sample_shape, rows=rows)

    def blocks(self, source: Source, checked: bool = False) -> Iterator[np.ndarray]:
        """Yield the samples of a table in order, as arrays of a few thousand rows.

        Args:
            source: The table.
            checked: Whether the names of the columns have been checked.
        """
        if not checked:
            self._check_columns(source)
        return self.decoded(self.encoded(source))

    def encoded(self, source: Source) -> Iterator[Encoded]:
        """Yield the rows of a table in order, with 4 bytes per value.

        Args:
            source: The table.

        Returns:
            Standardized numbers, (n, columns of numbers) float32, and the index of the feature that is 1, (n, columns
            of categories) int32: -1 for none, -2 for a cell whose features are all NaN.
        """
        texts = [column for column in self._columns if column.is_text]
        others = [column for column in self._columns if not column.is_text]
        groups = self.groups
        for values in self._parts(source):
            n = len(next(iter(values.values())))
            numbers, features = np.empty((n, len(others)), "float32"), np.empty((n, len(texts)), "int32")
            for i, column in enumerate(others):
                numbers[:, i] = (values[column.name] - np.float32(column.mean)) / np.float32(column.deviation)
            for i, column in enumerate(texts):
                codes, empty = self._codes(column, values[column.name])
                features[:, i] = np.where(codes < 0, -1, groups[column.name].start + codes)
                if self.empty == "missing":
                    features[empty, i] = -2
            yield numbers, features

    def decoded(
        self, encoded: Iterable[Encoded], part: Callable[[int, int], np.ndarray] | None = None
    ) -> Iterator[np.ndarray]:
        """Yield the samples of encoded rows: `call` for tables, which is faster and in constant memory.

        Args:
            encoded: The rows, as `encoded` yields them.
            part: Function from the number of the first row and a number of rows to a mask of the rows to yield.
        """
        groups = [self.groups[column.name] for column in self._columns if column.is_text]
        others = [self.groups[column.name].start for column in self._columns if not column.is_text]
        first = 0
        for numbers, features in encoded:
            if part is not None:
                mask = part(first, len(numbers))
                first += len(numbers)
                numbers, features = numbers[mask], features[mask]
            x = np.zeros((len(numbers), *self.sample_shape), "float32")
            x[:, others] = numbers
            rows, columns = np.nonzero(features >= 0)
            x[rows, features[rows, columns]] = 1.0
            for group, column in zip(groups, features.T, strict=True):
                x[column == -2, group] = np.nan
            yield x

    def _check_columns(self, source: Source) -> None:
        if lacking := [column.name for column in self._columns if column.name not in source.all_names]:
            raise ValueError(
                f"{source.name} has no column {listed(lacking)}, which the preprocessing was fitted on: its columns "
                f"are {listed(source.all_names)}."
            )
        warn_of_new_columns(source.name, source.all_names, {*self.kinds, *self.left_out})

    def _parts(self, source: Source) -> Iterator[dict[str, Any]]:
        """Yield the columns of each batch by name: float32 arrays, or pyarrow strings with nulls for empty cells."""
        rows = 0
        for batch in source.batches():
            made: dict[str, Any] = {}
            for column in self._columns:
                values = batch.column(column.name)
                kind = _reading.kind_of(values.type)
                if not kind or kind in (("number", "boolean") if column.kind == "date" else ("date",)):
                    raise ValueError(
                        f"{source.name} has the column {column.name!r} of type {values.type}, which the preprocessing "
                        f"was fitted on as {column.kind}: convert it."
                    )
                if column.is_text:
                    made[column.name] = _reading.texts(values)
                    continue
                place = _Place(source.name, column.name, source.first_row + rows, fitted=True)
                made[column.name] = _single(values, place, column.kind, dates=column.kind == "date")
            yield made
            rows += batch.num_rows

    def _codes(self, column: Column, values: Values) -> tuple[np.ndarray, np.ndarray]:
        """Return the index of each value's category, -1 for none, and whether the value is empty."""
        pa = _reading.arrow()
        empty = np.asarray(values.is_null().to_numpy(zero_copy_only=False))
        known = column.categories[:-1] if column.has_other else column.categories
        found = pa.compute.index_in(values.fill_null(""), value_set=pa.array(known, pa.string()))
        codes = np.asarray(found.fill_null(-1).to_numpy(zero_copy_only=False))
        if column.has_other:
            codes = np.where(codes < 0, len(known), codes)
        return codes, empty

    def call(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return samples, (n, features) float32; runs in a graph.

        Args:
            inputs: Tensors (n,) by the names of `raw_specs`.
        """
        parts = []
        for column in self._columns:
            value = tf.convert_to_tensor(inputs[column.served])
            if not column.is_text:
                parts.append(((tf.cast(value, "float32") - column.mean) / column.deviation)[:, None])
                continue
            known = column.categories[:-1] if column.has_other else column.categories
            hits = tf.equal(value[:, None], tf.constant(known)[None])
            if column.has_other:
                hits = tf.concat([hits, ~tf.reduce_any(hits, axis=1, keepdims=True)], axis=1)
            features = tf.cast(hits, "float32")
            if self.empty == "missing":
                features = tf.where(tf.equal(value, "")[:, None], math.nan, features)
            parts.append(features)
        return tf.concat(parts, axis=1)

    # === Back to raw units ===

    def invert(self, x: Tensor) -> dict[str, Tensor]:
        """Return samples or reconstructions in raw units, (n,) by the names of `raw_specs`; runs in a graph.

        Categories are decoded as the category with the largest feature; booleans round at 0.5.

        Args:
            x: (n, features).
        """
        x = tf.cast(x, "float32")
        made = {}
        for column, group in zip(self._columns, self.groups.values(), strict=True):
            features = x[:, group]
            if column.is_text:
                missing = tf.math.is_nan(features)
                best = tf.argmax(tf.where(missing, -math.inf, features), axis=1)
                labels = tf.gather(tf.constant(column.categories), best)
                made[column.served] = tf.where(tf.reduce_all(missing, axis=1), "", labels)
            elif column.kind == "boolean":
                value = features[:, 0]
                made[column.served] = tf.where(tf.math.is_nan(value), value, tf.cast(value >= 0.5, "float32"))
            else:
                made[column.served] = features[:, 0] * column.deviation + column.mean
        return made

    def restore(self, x: Any) -> Any:
        """Return samples or reconstructions as a DataFrame of pandas in raw units, with the columns of the table.

        Args:
            x: (n, features).

        Raises:
            ImportError: If pandas is not installed.
        """
        pd: Any = _reading.pandas()
        arrays = self.invert(tf.convert_to_tensor(x))
        made = {}
        for column in self._columns:
            values = np.asarray(arrays[column.served])
            if column.is_text:
                cells = [value.decode() for value in values]
                made[column.name] = np.array([cell or None for cell in cells], object)
            elif column.kind == "date":
                made[column.name] = pd.to_datetime(values.astype("float64"), unit="D").round("s")
            elif column.kind == "boolean":
                made[column.name] = values >= 0.5 if np.isfinite(values).all() else values
            else:
                made[column.name] = values
        return pd.DataFrame(made)

    def dummy(self, n: int) -> dict[str, np.ndarray]:
        """Return n raw rows for a warm-up, by the names of `raw_specs`: means, and first categories.

        Args:
            n: Number of rows.
        """
        return {
            c.served: np.full(n, c.categories[0], object) if c.is_text else np.full(n, c.mean, "float32")
            for c in self._columns
        }


# === Statistics ===


@dataclasses.dataclass(frozen=True)
class _Place:
    """Origin of values, for messages.

    Attributes:
        table: Name of the table.
        column: Name of the column.
        first: Number of the first row.
        fitted: Whether the preprocessing is fitted, and reads the column anyway.
    """

    table: str
    column: str
    first: int
    fitted: bool = False

    def error(self, row: int, problem: str) -> ValueError:
        """Return an error about the value in a row, counted from the first."""
        return ValueError(f"{self.table}, row {self.first + row}, column {self.column!r}: {problem}.")


def _single(values: Values, place: _Place, kind: Kind, dates: bool = False) -> np.ndarray:
    """Return values as float32, with NaN for missing ones.

    Args:
        values: Values of pyarrow.
        place: Where they come from.
        kind: Kind of the column.
        dates: Whether texts are dates.

    Raises:
        ValueError: If a value is not a number, infinite, too large for float32, or not of the kind of its column, for
            counts and booleans.
    """
    try:
        with np.errstate(over="ignore"):
            made = _reading.numbers(values, dates).astype("float32")
    except _reading.NotANumber as error:
        what = "a date" if dates else "a number"
        raise place.error(error.row, f"{error.value!r} is not {what}; correct it") from None
    if np.isinf(made).any():
        row = int(np.flatnonzero(np.isinf(made))[0])
        advice = "" if place.fitted else f", or give drop=[{place.column!r}]"
        raise place.error(row, f"the value is infinite or too large; correct it{advice}")
    if kind in ("count", "boolean"):
        right = (made >= 0) & (made == np.trunc(made)) if kind == "count" else (made == 0) | (made == 1)
        if wrong := np.flatnonzero(~right & ~np.isnan(made)).tolist():
            what = "a count, a whole number of at least 0" if kind == "count" else "a boolean, 0 or 1"
            raise place.error(wrong[0], f"{made[wrong[0]]:g} is not {what}; correct it")
    return made


class _Numbers:
    """Mean, deviation and range of a column, in one pass (Chan et al. 1979), and whether it counts or names rows.

    Args:
        kind: Kind of the column.
    """

    def __init__(self, kind: Kind):
        self.kind: Kind = kind
        self.count = 0
        self.mean = self.squares = 0.0
        self.low, self.high = math.inf, -math.inf
        self.whole = self.different = True
        self.seen = np.zeros(0)

    def add(self, values: Values, mask: np.ndarray | None, place: _Place) -> None:
        """Take in a batch.

        Args:
            values: Values of pyarrow.
            mask: The rows to use; None uses all.
            place: Where the values come from.
        """
        if self.kind != "count" and _reading.kind_of(values.type) == "text":  # in a later part of the table
            texts = _reading.texts(values)
            if (row := _reading.first_padded(texts)) is not None:
                problem = f"{texts[row].as_py()!r} starts with a zero, but the parts before have numbers"
                raise place.error(row, f"{problem}; read the column as text with categorical=[{place.column!r}]")
        found = _single(values, place, self.kind)
        found = (found if mask is None else found[mask]).astype("float64")
        found = found[~np.isnan(found)]
        n = len(found)
        if not n:
            return
        total = self.count + n
        mean = found.mean()
        step = mean - self.mean
        self.squares += float(np.square(found - mean).sum() + step**2 * self.count * n / total)
        self.mean += float(step * n / total)
        self.count = total
        self.low, self.high = min(self.low, float(found.min())), max(self.high, float(found.max()))
        if self.kind == "numeric" and self.whole and self.different and len(self.seen) < _MOST_COMPARED:
            exact = _reading.numbers(values)  # in float32, neighboring large numbers are equal
            exact = exact if mask is None else exact[mask]
            exact = exact[~np.isnan(exact)]
            self.whole = bool((exact == np.trunc(exact)).all())
            self.seen = np.concatenate([self.seen, exact])
            self.different = len(np.unique(self.seen)) == len(self.seen)

    def reason_to_leave_out(self, name: str, rows: int) -> str:
        if not self.count:
            return "empty"
        if self.low == self.high:
            return f"constant, {self.low:g}" + ("" if self.count == rows else " where it is not empty")
        if self.kind in ("numeric", "date") and is_lost_in_single_precision(max(-self.low, self.high), self.deviation):
            return f"differences around {self.mean:g} that are too small for float32"
        identifies = self.kind == "numeric" and self.whole and self.different and self.count == rows >= _FEWEST
        if identifies and self.high - self.low + 1 >= rows:  # otherwise some numbers repeat
            counts_rows = self.high - self.low + 1 <= 2 * rows
            if counts_rows or _NAME_OF_IDENTIFIER.search(name):
                return "identifier, a different whole number in each row"
        return ""

    @property
    def deviation(self) -> float:
        return math.sqrt(self.squares / self.count)

    def column(self, name: str, served: str, rows: int) -> Column:
        missing = 1 - self.count / rows
        if self.kind in ("boolean", "count"):
            return Column(name, served, self.kind, missing=missing)
        return Column(name, served, self.kind, self.mean, self.deviation, missing=missing)


class _Texts:
    """Counts of the categories of a column.

    Args:
        kind: Kind of the column.
        owner: The preprocessing, for its arguments.
        levels: The ordered categories, or None to find them.
    """

    def __init__(self, kind: Kind, owner: TablePreprocessing, levels: tuple[str, ...] | None = None):
        self.kind: Kind = kind
        self.owner = owner
        self.levels = levels
        self.count = self.numbers = self.commas = 0
        self.odd: ValueError | None = None
        self.padded = False
        self.counts: Counter[str] = Counter()
        self.pruned = 0

    def add(self, values: Values, mask: np.ndarray | None, place: _Place) -> None:
        """Take in a batch; see `_Numbers.add`."""
        pa = _reading.arrow()
        values = _reading.texts(values)
        found = pa.compute.value_counts((values if mask is None else values.filter(pa.array(mask))).drop_null())
        new = dict(zip(found.field(0).to_pylist(), found.field(1).to_pylist(), strict=True))
        self.count += sum(new.values())
        self.counts.update(new)
        if self.levels is not None:
            if unknown := [text for text in new if text not in self.levels]:
                row = pa.compute.index(values, unknown[0]).as_py()
                raise place.error(row, f"{unknown[0]!r} is none of the levels {listed(self.levels)}; add the level")
        elif place.column not in self.owner.categorical:
            self.numbers += sum(count for text, count in new.items() if _is_number(text))
            self.commas += sum(count for text, count in new.items() if _DECIMAL_COMMA.fullmatch(text))
            # Rows for testing count, too, since they decide how a CSV file is read.
            everything = found.field(0) if mask is None else values.drop_null().unique()
            self.padded = self.padded or _reading.first_padded(everything) is not None
            if self.odd is None:
                odd = [text for text in everything.to_pylist() if not _is_number(text)]
                self.odd = self._odd(odd, values, place)
        if len(self.counts) > _MOST_COUNTED:  # keeps memory constant; the counts of rare categories become estimates
            self.pruned += len(self.counts) - _MOST_COUNTED // 2
            self.counts = Counter(dict(self.counts.most_common(_MOST_COUNTED // 2)))

    @staticmethod
    def _odd(texts: Sequence[str], values: Values, place: _Place) -> ValueError | None:
        """Return the error about the first non-numeric text of a column of numbers."""
        if not texts:
            return None
        row = _reading.arrow().compute.index(values, texts[0]).as_py()
        problem = f"{texts[0]!r} is not a number, as most values of the column are; correct it"
        if _DECIMAL_COMMA.fullmatch(texts[0]):
            problem = f"{texts[0]!r} has a decimal comma; write numbers with a decimal point"
        return place.error(row, f"{problem}, or read the column as text with categorical=[{place.column!r}]")

    @property
    def distinct(self) -> int:
        return self.pruned + len(self.counts)

    def reason_to_leave_out(self, name: str, rows: int) -> str:
        if not self.count:
            return "empty"
        if self.levels is not None:
            return ""
        excused = self.padded and not self.commas  # codes, which are text although digits
        if self.odd is not None and not excused and self.numbers + self.commas > _MOSTLY_NUMBERS * self.count:
            raise self.odd
        filled = self.count == rows or self.owner.empty == "missing"
        if self.distinct == 1 and filled:
            return f"constant, {next(iter(self.counts))!r}"
        chosen = name in self.owner.categorical
        if not chosen and self.count >= _FEWEST and self.distinct > self.count / 2:
            return f"identifier or free text, {self.distinct:,} different texts in {self.count:,} rows"
        return ""

    def column(self, name: str, served: str, rows: int) -> Column:
        missing = 1 - self.count / rows
        if self.levels is not None:
            return Column(name, served, self.kind, categories=self.levels, missing=missing)
        has_empty = self.count < rows and self.owner.empty == "category"
        kept = [category for category, _ in sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))]
        most = self.owner.max_categories - has_empty
        has_other = len(kept) > most or self.pruned > 0
        categories = sorted(kept[: most - 1] if has_other else kept)
        categories = [""] * has_empty + categories + [OTHER] * has_other
        return Column(name, served, self.kind, categories=tuple(categories), has_other=has_other, missing=missing)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _served(name: str, taken: set[str]) -> str:
    """Return the name of a column in requests, and add it to the names that are taken."""
    served = re.sub(r"[^A-Za-z0-9_]", "_", name)
    served = served if served[:1].isalpha() else f"column_{served}"
    while served in taken:
        served += "_"
    taken.add(served)
    return served


# === Batches ===


def batched(
    blocks: Callable[[], Iterable[np.ndarray]], batch_size: int, *shape: int, rows: int | None = None
) -> tf.data.Dataset:
    """Return blocks of samples, arrays of any number of rows, as batches of equal size.

    Args:
        blocks: Function that returns an iterator over the blocks, called for each pass.
        batch_size: Number of rows per batch; the last batch may be smaller.
        *shape: Shape of a sample.
        rows: Total number of rows, if it is known.
    """

    def groups() -> Iterator[np.ndarray]:
        held = np.zeros((0, *shape), "float32")
        with marked():
            for block in blocks():
                held = np.concatenate([held, block]) if len(held) else block
                whole = len(held) // batch_size * batch_size
                if whole:
                    yield held[:whole].reshape(-1, batch_size, *shape)
                held = held[whole:]
            if len(held):
                yield held[None]

    # A generator of whole batches would be called too often, and `unbatch` handles single rows.
    spec = tf.TensorSpec((None, None, *shape), "float32")
    made = tf.data.Dataset.from_generator(groups, output_signature=spec).flat_map(tf.data.Dataset.from_tensor_slices)
    if rows is not None:
        made = made.apply(tf.data.experimental.assert_cardinality(math.ceil(rows / batch_size)))
    return made.prefetch(2)
