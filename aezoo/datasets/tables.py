"""Tables of the user, CSV and Parquet files and tables in memory, as batches of samples in constant memory."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from aezoo.datasets import order
from aezoo.datasets.prepared import Prepared
from aezoo.preprocessing import _reading
from aezoo.preprocessing.table import Encoded, TablePreprocessing, batched

# Bytes of samples that are shuffled together, and of rows that are kept in memory after the first epoch.
_POOL, _KEPT = 2**24, 2**25
# A column is called a time only if it grows over at least this many rows; if it is not of dates, by its name too.
_FEWEST_STEPS = 20
_NAME_OF_TIME = re.compile(r"(?i:(^|[\W_])(t|time|timestamp|datetime|date|step|ds|epoch)$)|[a-z](Time|Date)$")


def from_table(
    data: Any,
    *,
    label: str | None = None,
    drop: Collection[str] = (),
    keep: Collection[str] = (),
    categorical: Collection[str] = (),
    counts: Collection[str] = (),
    ordinal: Mapping[str, Sequence[str]] | None = None,
    max_categories: int = 100,
    empty: Literal["category", "missing"] = "category",
    header: bool | Sequence[str] = True,
    batch_size: int = 128,
    test_fraction: float = 0.2,
    seed: int = 0,
    shuffle: bool = True,
) -> Prepared:
    """Read a table to train on: numbers are standardized, categories one-hot encoded, missing values NaN.

    The kinds of columns, the statistics and the categories come from the training rows; see `TablePreprocessing`. The
    table is read once for these, and again in each epoch, batch by batch: memory does not depend on the number of rows.
    Rows that need at most 32 MiB, at 4 bytes per value, are kept in memory after the first epoch.

    A row belongs to the test part if a hash of its number and of the seed says so, which depends neither on other rows
    nor on how the file is read.

    Args:
        data: Path of a CSV file, in UTF-8 with any delimiter of `,;|` and tab, or of a Parquet file; a DataFrame of
            pandas or polars, a table of pyarrow, or a dict of columns. In CSV, empty cells, NA, NaN, N/A, NULL and
            their like are missing, and a column of whole numbers is text if one has a leading zero, such as 01067.
        label: Name of the column of labels, which are returned as `y_train` and `y_test`, and not part of the samples.
        drop: Names of columns to leave out.
        keep: Names of columns that are not left out, although they look like identifiers.
        categorical: Names of columns to read as categories although they contain numbers.
        counts: Names of columns of counts, which are not standardized.
        ordinal: Levels of columns of ordered categories, from the lowest to the highest, by name.
        max_categories: The most features per column of categories.
        empty: How to treat empty cells of categories: as a "category", or as "missing", NaN.
        header: Whether the first row of a CSV file has the names of the columns; or the names.
        batch_size: Number of rows per batch; the last batch may be smaller.
        test_fraction: Expected fraction of the rows for testing, in [0, 1).
        seed: Seed of the split and of the order of training rows.
        shuffle: Whether training rows come in a new order each epoch. They are shuffled within a moving window of 16
            MiB: shuffle the rows of a larger file once if it is sorted.

    Returns:
        Batches for training and testing, float32 of shape (batch, features), and the fitted preprocessing.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the table cannot be used; the message names the file, the row or the column.
        ImportError: If pyarrow is not installed.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame({"age": [20.0, 40.0, 60.0, 30.0], "city": ["Rome", "Oslo", "Rome", "Oslo"]})
        >>> data = from_table(table, test_fraction=0.0)
        >>> data.arrays("train").shape
        (4, 3)
        >>> print(data.summary)
        The table: 4 rows, 4 for training and 0 for testing (seed 0)
        2 columns become 3 features:
          numbers, standardized (1): age
          categories, one-hot (1): city (2)
    """
    order.check_split(test_fraction, batch_size)
    preprocessing = TablePreprocessing(
        categorical=categorical,
        counts=counts,
        ordinal=ordinal,
        label=label,
        drop=drop,
        keep=keep,
        max_categories=max_categories,
        empty=empty,
    )

    def in_test(first: int, n: int) -> np.ndarray:
        return _uniform(np.arange(first, first + n, dtype="uint64"), seed) < test_fraction

    def in_train(first: int, n: int) -> np.ndarray:
        return ~in_test(first, n)

    parts = {"train": in_train, "test": in_test}
    rows = {"train": 0, "test": 0}
    labels: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    times = _Times(label)

    def on_batch(batch: Any) -> None:
        first = sum(rows.values())
        times.add(batch)
        for split, part in parts.items():
            mask = part(first, batch.num_rows)
            rows[split] += int(mask.sum())
            if label is not None:
                labels[split].append(batch.column(label).to_numpy(zero_copy_only=False)[mask])

    source = preprocessing.source(data, header)
    preprocessing.fit_sources([source], in_train, on_batch)
    source = source.restricted(preprocessing.kinds)

    total = sum(rows.values())
    fits = 4 * total * len(preprocessing.columns) <= _KEPT
    kept: list[Encoded] = []

    def encoded() -> Iterator[Encoded]:
        if kept:
            yield from kept
            return
        found = []
        for block in preprocessing.encoded(source):
            if fits:
                found.append(block)
            yield block
        kept[:] = found

    def read(split: str) -> tf.data.Dataset:
        blocks = lambda: preprocessing.decoded(encoded(), parts[split])  # noqa: E731  # the function of one pass
        return batched(blocks, batch_size, *preprocessing.sample_shape, rows=rows[split])

    if shuffle:
        epochs = itertools.count()

        def shuffled() -> Iterator[np.ndarray]:
            rng = np.random.default_rng([seed, next(epochs)])
            return _shuffled(lambda: preprocessing.decoded(encoded(), in_train), rng)

        train = batched(shuffled, batch_size, *preprocessing.sample_shape, rows=rows["train"])
    else:
        train = read("train")
    said = f"{total:,} rows, {rows['train']:,} for training and {rows['test']:,} for testing (seed {seed})"
    return Prepared(
        train=train,
        test=read("test"),
        preprocessing=preprocessing,
        summary="\n".join([f"{source.name}: {said}", preprocessing.summary, *times.advice(total)]),
        samples=rows,
        read=read,
        y_train=None if label is None else _joined(labels["train"]),
        y_test=None if label is None else _joined(labels["test"]),
    )


class _Times:
    """The columns of dates, or of numbers with the name of a time, that grow from row to row, as in a series.

    Args:
        label: Name of the column of labels, which is not looked at.
    """

    def __init__(self, label: str | None):
        self._label = label
        self._last: dict[str, float] | None = None  # of each column that has grown so far

    def add(self, batch: Any) -> None:
        """Take in the next rows, a batch of pyarrow."""
        if self._last is None:
            kinds = {field.name: _reading.kind_of(field.type) for field in batch.schema if field.name != self._label}
            names = [name for name, kind in kinds.items() if kind == "date"]
            names += [name for name, kind in kinds.items() if kind == "number" and _NAME_OF_TIME.search(name)]
            self._last = dict.fromkeys(names, -np.inf)
        for name, last in list(self._last.items()):
            values = np.concatenate([[last], _reading.numbers(batch.column(name))])
            if (np.diff(values) > 0).all():  # not so with a missing value
                self._last[name] = values[-1]
            else:
                del self._last[name]

    def advice(self, rows: int) -> list[str]:
        """Return a sentence on how to read the table as a series, or nothing if it does not look like one."""
        if not self._last or rows < _FEWEST_STEPS:
            return []
        name = next(iter(self._last))
        return [
            f"Read as a table of independent rows, although {name!r} grows from row to row: for a series, use "
            f"from_series(window=N, time={name!r})."
        ]


def labels_of(path: str | os.PathLike[str], label: str) -> np.ndarray:
    """Return the labels of all rows of a table in a file, as `from_table` reads them.

    Args:
        path: The file.
        label: Name of the column of labels.

    Raises:
        ValueError: If the table has no such column, or cannot be read.
    """
    source = _reading.Source(path, only=[label])
    if not source.names:
        raise ValueError(f"{source.name} has no column {label!r}, which has the labels: add it.")
    return _joined([batch.column(0).to_numpy(zero_copy_only=False) for batch in source.batches()])


def _joined(labels: list[np.ndarray]) -> np.ndarray:
    """Return labels as one array: whole numbers as int64, text as strings."""
    joined = np.concatenate(labels) if labels else np.zeros(0)
    if joined.dtype.kind == "f" and np.isfinite(joined).all() and (joined == np.trunc(joined)).all():
        return joined.astype("int64")
    if joined.dtype == object and all(isinstance(value, str) for value in joined):
        return joined.astype(str)
    return joined


def _uniform(rows: np.ndarray, seed: int) -> np.ndarray:
    """Return a number in [0, 1) per row, by a hash of its number and of the seed (SplitMix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        z = (rows + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + _mixed(np.uint64(seed % 2**64))
        return (_mixed(z) >> np.uint64(11)).astype("float64") / 2**53


def _mixed(z: Any) -> Any:
    with np.errstate(over="ignore"):
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def _shuffled(blocks: Callable[[], Iterator[np.ndarray]], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield the rows of blocks in a random order, within a window of `_POOL` bytes that moves by half its size."""
    held: list[np.ndarray] = []
    for block in blocks():
        held.append(block)
        if sum(part.nbytes for part in held) >= _POOL:
            pool = np.concatenate(held)
            order = rng.permutation(len(pool))  # `rng.shuffle` swaps rows one by one, which takes ten times as long
            yield pool.take(order[: len(pool) // 2], axis=0)
            held = [pool.take(order[len(pool) // 2 :], axis=0)]
    if held:
        pool = np.concatenate(held)
        yield pool.take(rng.permutation(len(pool)), axis=0)
