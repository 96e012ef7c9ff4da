"""Tables of any origin, CSV and Parquet files, tables in memory, as batches of pyarrow in constant memory."""

from __future__ import annotations

import copy
import csv
import functools
import gzip
import itertools
import os
import re
import types
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from aezoo._errors import first_line

# pyarrow has no types that a type checker can read.
Batch: TypeAlias = Any
Values: TypeAlias = Any

#: Bytes of a CSV file, and rows of other tables, that are read at once.
_BLOCK, _ROWS = 2**20, 2**14
_DELIMITERS = ",;\t|"
_MICROSECONDS = 86_400e6
_ADVICE = 'pip install "aezoo[data]"'
#: Pattern of the digits of a code, such as a postal code, that loses its first zeros as a number.
PADDED = r"^\s*0\d+([eE][+-]?\d+)?\s*$"
_MEASUREMENT = r"^\s*([+-]\d*\.?\d*|\d*\.\d*)([eE][+-]?\d+)?\s*$"


@functools.cache
def arrow() -> Any:
    """Return the package pyarrow, with its submodules for CSV and Parquet.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.csv
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(f"Tables need pyarrow: {_ADVICE}") from error
    return pyarrow


def pandas() -> types.ModuleType:
    """Return the package pandas.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError(f"A table in raw units is a DataFrame, which needs pandas: {_ADVICE}") from error
    return pandas


def is_path(data: object) -> bool:
    """Return whether data are the path of a file."""
    return isinstance(data, (str, os.PathLike))


def is_table(data: Any) -> bool:
    """Return whether data are a DataFrame of pandas or polars, or a table or a batch of pyarrow."""
    kind = type(data).__module__.split(".")[0]
    return (
        (kind == "pandas" and hasattr(data, "columns"))
        or (kind == "polars" and hasattr(data, "columns"))
        or (kind == "pyarrow" and hasattr(data, "schema") and hasattr(data, "num_rows"))
    )


class Source:
    """A table that is read batch by batch, as often as necessary.

    Args:
        data: Path of a CSV or Parquet file; a DataFrame of pandas or polars, a table of pyarrow, or a dict of columns.
        header: Whether the first row of a CSV file has the names of the columns; or the names.
        text: Names of columns to read as text, whatever they contain.
        numbers: Names of columns to read as numbers; other values are an error.
        padded: Names of columns that may be numbers although some start with a zero, such as 007; others are text then.
        drop: Names of columns that are not read.
        only: Names of the columns to read; None reads all.

    Attributes:
        path: Path of the file, or None.
        name: Name of the table, for messages.
        first_row: Number of the first row, for messages: the row in a CSV file, or else 0.
        all_names: Names of all columns.
        names: Names of the columns that are read.
        levels: Levels of ordered categories in pandas, by column.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file or the table cannot be read; the message names the row or the column.
        ImportError: If pyarrow is not installed.
    """

    def __init__(
        self,
        data: Any,
        *,
        header: bool | Sequence[str] = True,
        text: Collection[str] = (),
        numbers: Collection[str] = (),
        padded: Collection[str] = (),
        drop: Collection[str] = (),
        only: Collection[str] | None = None,
    ):
        arrow()
        self.path = Path(data) if is_path(data) else None
        self.name = "The table" if self.path is None else str(self.path)
        self._header = header
        self._text, self._numbers, self._padded = set(text), set(numbers), set(padded)
        self._types: dict[str, Any] = {}
        self.first_row = 0
        self.levels: dict[str, tuple[str, ...]] = {}
        if self.path is None:
            self._table, self.levels = table(data)
            names = list(self._table.column_names)
        else:
            _check_file(self.path)
            self._is_csv = self.path.suffix.lower() not in (".parquet", ".pq")
            names = self._names_of_csv() if self._is_csv else list(self._parquet().schema_arrow.names)
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise ValueError(f"{self.name} has several columns {twice[0]!r}: give each column a name of its own.")
        self.all_names = names
        self.names = [name for name in names if name not in set(drop) and (only is None or name in set(only))]
        if self.path is not None and self._is_csv:
            self.first_row = 2 if header is True else 1
            self._infer_types()

    def batches(self) -> Iterator[Batch]:
        """Yield the rows in order, as record batches of the columns `names`."""
        pa = arrow()
        if self.path is None:
            yield from self._table.select(self.names).to_batches(max_chunksize=_ROWS)
        elif self._is_csv:
            yield from self._csv_batches(self.names, {name: self._types[name] for name in self.names})
        else:
            try:
                yield from self._parquet().iter_batches(batch_size=_ROWS, columns=self.names)
            except (pa.ArrowException, OSError) as error:
                raise ValueError(f"{self.name} is damaged, or not a Parquet file ({first_line(error)}).") from error

    def restricted(self, names: Collection[str]) -> Source:
        """Return the same table, restricted to some columns."""
        made = copy.copy(self)
        made.names = [name for name in self.all_names if name in set(names)]
        return made

    def rows(self) -> int:
        """Return the number of rows; this reads the whole file if it is a CSV file."""
        if self.path is None:
            return int(self._table.num_rows)
        if not self._is_csv:
            return int(self._parquet().metadata.num_rows)
        first = self.names[:1] or self.all_names[:1]
        return sum(batch.num_rows for batch in self._csv_batches(first, dict.fromkeys(first, arrow().string())))

    # === Parquet ===

    def _parquet(self) -> Any:
        pa = arrow()
        try:  # a buffer keeps a large row group out of memory
            return pa.parquet.ParquetFile(self.path, buffer_size=2**16, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{self.name} is damaged, or not a Parquet file ({first_line(error)}).") from error

    # === CSV ===

    def _names_of_csv(self) -> list[str]:
        assert self.path is not None
        with (gzip.open if self.path.suffix == ".gz" else open)(self.path, "rb") as file:
            start = file.read(2**16)
        if start[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in start:
            raise ValueError(f"{self.name} is not text in UTF-8 (it looks like UTF-16): save it as UTF-8.")
        rows = start.split(b"\n", 1)[0].strip(b"\r")
        try:
            first = rows.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise ValueError(f"{self.name}, row 1, is not text in UTF-8: save the file as UTF-8.") from None
        if not start.strip():
            raise ValueError(f"{self.name} is empty: give a file with a header and rows.")
        self._delimiter = max(_DELIMITERS, key=lambda mark: (first.count(mark), -_DELIMITERS.index(mark)))
        names = next(csv.reader([first], delimiter=self._delimiter), [])
        if isinstance(self._header, bool):
            return names if self._header else [f"column_{i}" for i in range(len(names))]
        given = list(self._header)
        if len(given) != len(names):
            raise ValueError(f"{self.name} has {len(names)} columns, but header names {len(given)}: name each of them.")
        return given

    def _infer_types(self) -> None:
        """Choose one type for each column from the first block of the file that has a value in it.

        A column of whole numbers is text if any value of the file is padded with zeros.
        """
        pa = arrow()
        chosen: dict[str, Any] = {name: pa.string() for name in self.names if name in self._text}
        chosen |= {name: pa.float64() for name in self.names if name in self._numbers}
        unknown = [name for name in self.names if name not in chosen]
        if unknown:
            for found in self._open(unknown, {}).schema:
                if pa.types.is_null(found.type):
                    continue
                unknown.remove(found.name)
                chosen[found.name] = _type_of_csv(found.type)
        if unknown:  # columns whose first values come later
            late = dict.fromkeys(unknown, pa.string())
            for batch in self._csv_batches(unknown, late):
                for name in [name for name in unknown if batch.column(name).null_count < batch.num_rows]:
                    chosen[name] = _type_of_text(batch.column(name))
                    unknown.remove(name)
                if not unknown:
                    break
        found = [name for name, type_ in chosen.items() if type_ == pa.float64()]
        digits = [name for name in found if name not in self._numbers | self._padded]
        padded = set()
        # The first block tells most measurements, which are then not read as texts up to the end of the file.
        for blocks in (1, None):
            names = list(digits)
            for batch in itertools.islice(self._csv_batches(names, dict.fromkeys(names, pa.string())), blocks):
                # Codes are whole: one 05 among measurements such as 0.5 is a number.
                digits = [name for name in digits if not _has_measurements(batch.column(name))]
                padded |= {name for name in digits if first_padded(batch.column(name)) is not None}
                if not digits:
                    break
            if not digits:
                break
        chosen.update(dict.fromkeys(padded.intersection(digits), pa.string()))
        self._types = {**chosen, **dict.fromkeys(unknown, pa.null())}

    def _open(self, names: list[str], column_types: Mapping[str, Any], threads: bool = True) -> Any:
        csv_ = arrow().csv
        names_given = None if self._header is True else self.all_names
        try:
            return csv_.open_csv(
                self.path,
                csv_.ReadOptions(use_threads=threads, block_size=_BLOCK, column_names=names_given),
                csv_.ParseOptions(delimiter=self._delimiter, newlines_in_values=True),
                csv_.ConvertOptions(column_types=dict(column_types), strings_can_be_null=True, include_columns=names),
            )
        except arrow().ArrowException as error:
            if threads:
                self._raise_with_row(names, column_types)
            raise self._readable(error) from error

    def _csv_batches(self, names: list[str], column_types: Mapping[str, Any]) -> Iterator[Batch]:
        reader = self._open(names, column_types)
        while True:
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                return
            except arrow().ArrowException as error:
                reader.close()
                self._raise_with_row(names, column_types)
                raise self._readable(error) from error
            yield batch

    def _raise_with_row(self, names: list[str], column_types: Mapping[str, Any]) -> None:
        """Read the file again in one thread, since pyarrow numbers the rows only then, and raise the error."""
        try:
            for _ in self._open(names, column_types, threads=False):
                pass
        except arrow().ArrowException as error:
            raise self._readable(error) from error

    def _readable(self, error: Exception) -> ValueError:
        """Return an error of one sentence, with the row and the column, from an error of pyarrow."""
        text = first_line(error)
        if match := re.search(r"(?:Row #(\d+): )?Expected (\d+) columns, got (\d+)", text):
            row, expected, got = match.groups()
            place = self.name if row is None else f"{self.name}, row {row},"
            values = f"{got} value{'' if got == '1' else 's'}"
            return ValueError(f"{place} has {values}, but the header has {expected} columns: correct the row.")
        if match := re.search(r"In CSV column #(\d+): (?:Row #(\d+): )?CSV conversion error to ([^:]+): (.*)", text):
            column, row, kind, why = match.groups()
            name = self.all_names[int(column)]
            place = f"{self.name}, {'' if row is None else f'row {row}, '}column {name!r}:"
            if "UTF8" in why:
                return ValueError(f"{place} the text is not in UTF-8: save the file as UTF-8.")
            what = {"double": "a number", "bool": "true or false"}.get(kind, "a date")
            value = why.removeprefix("invalid value ")
            advice = f"read the column as text with categorical=[{name!r}]"
            if name in self._numbers:  # a fitted preprocessing
                advice = "leave the cell empty if the value is missing"
            return ValueError(
                f"{place} {value} is not {what}, as other values of the column are: correct it, or {advice}."
            )
        return ValueError(f"{self.name} cannot be read as CSV ({text}).")


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name one CSV or Parquet file.")
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}: check the path.")
    if path.suffix.lower() not in (".csv", ".tsv", ".txt", ".gz", ".parquet", ".pq", ""):
        raise ValueError(f"{path.name} is not a table that can be read: give a CSV (.csv, .tsv) or a Parquet file.")


def _type_of_csv(found: Any) -> Any:
    """Return the type to read a column as, from the type that pyarrow finds in the first block."""
    pa = arrow()
    if pa.types.is_integer(found) or pa.types.is_floating(found):
        return pa.float64()  # later numbers may have a fraction
    if pa.types.is_timestamp(found) and found.tz is not None:
        return pa.timestamp("us", "UTC")
    if pa.types.is_timestamp(found) or pa.types.is_date(found):
        return pa.timestamp("us")
    return found if pa.types.is_boolean(found) else pa.string()


def _type_of_text(values: Values) -> Any:
    """Return the narrowest type that fits every text: number, date or text."""
    pa = arrow()
    for wanted in (pa.float64(), pa.timestamp("us")):
        try:
            values.cast(wanted)
        except pa.ArrowException:
            continue
        return wanted
    return pa.string()


# === Tables in memory ===


def table(data: Any) -> tuple[Any, dict[str, tuple[str, ...]]]:
    """Return data as a table of pyarrow, and the levels of its ordered categories by column.

    Args:
        data: A DataFrame of pandas or polars, a table or a batch of pyarrow, or a dict of columns.

    Raises:
        ValueError: If a column has values of several types; the message names it.
    """
    pa = arrow()
    kind = type(data).__module__.split(".")[0]
    if kind == "polars":
        if hasattr(data, "collect"):
            raise ValueError("A LazyFrame has no data yet: give the result of its collect().")
        return data.to_arrow(), {}
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data]), {}
    if isinstance(data, pa.Table):
        return data, {}
    if isinstance(data, Mapping):
        columns = {str(name): np.atleast_1d(values) for name, values in data.items()}
        sizes = {name: len(values) for name, values in columns.items()}
        if len({*sizes.values()}) > 1:
            a, *_, b = sorted(sizes, key=lambda name: sizes[name])
            raise ValueError(f"The columns have different lengths: {a!r} has {sizes[a]}, {b!r} has {sizes[b]} values.")
        return pa.table({name: _array(name, values) for name, values in columns.items()}), {}
    levels = {}
    arrays = []
    names = [str(name) for name in data.columns]
    for i, name in enumerate(names):  # several columns may have the same name
        column = data.iloc[:, i]
        if getattr(column.dtype, "ordered", False):
            levels[name] = tuple(map(str, column.dtype.categories))
        arrays.append(_array(name, column))
    return pa.Table.from_arrays(arrays, names), levels


def _array(name: str, values: Any) -> Values:
    pa = arrow()
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError):
        values = list(values)
        usual = Counter(type(value) for value in values if value is not None).most_common(1)[0][0]
        odd = next((i for i, value in enumerate(values) if not isinstance(value, (usual, type(None), float))), None)
        found = "" if odd is None else f", such as {values[odd]!r} in row {odd}"
        raise ValueError(
            f"The column {name!r} mixes {usual.__name__} with other types{found}: convert it to one type."
        ) from None


# === Columns ===


def kind_of(type_: Any) -> str:
    """Return the kind of a column's values: "number", "boolean", "date", "text", "empty", or "" for any other."""
    check = arrow().types
    if check.is_dictionary(type_):
        return kind_of(type_.value_type) and "text"
    kinds = {
        "number": (check.is_integer, check.is_floating, check.is_decimal),
        "boolean": (check.is_boolean,),
        "date": (check.is_timestamp, check.is_date),
        "text": (check.is_string, check.is_large_string, check.is_string_view),
        "empty": (check.is_null,),
    }
    return next((kind for kind, checks in kinds.items() if any(is_(type_) for is_ in checks)), "")


class NotANumber(ValueError):
    """Error for a text that is not a number, or not a date.

    Attributes:
        row: The position of the value.
        value: The value.
    """

    def __init__(self, row: int, value: str):
        super().__init__(f"{value!r} in row {row} is not a number")
        self.row, self.value = row, value


def numbers(values: Values, dates: bool = False) -> np.ndarray:
    """Return values as float64, dates as days since 1970-01-01, with NaN for missing ones.

    Args:
        values: Values of pyarrow.
        dates: Whether texts are dates.

    Raises:
        NotANumber: If a value is text that is not a number, or not a date.
    """
    pa = arrow()
    kind = kind_of(values.type)
    if kind == "text":
        values, wanted = texts(values), pa.timestamp("us") if dates else pa.float64()
        try:
            values = values.cast(wanted)
        except pa.ArrowException:
            raise _first_that_is_no(wanted, values) from None
        kind = "date" if dates else "number"
    if kind == "date":
        zone = values.type.tz if pa.types.is_timestamp(values.type) else None
        return _floats(values.cast(pa.timestamp("us", zone), safe=False))  # nanoseconds are rounded
    return _floats(values.cast(pa.int8()) if kind == "boolean" else values)


def _first_that_is_no(wanted: Any, values: Values) -> NotANumber:
    pa = arrow()
    low, high = 0, len(values)
    while high - low > 1:  # the first value that cannot be converted, by bisection
        middle = (low + high) // 2
        try:
            values[low:middle].cast(wanted)
            low = middle
        except pa.ArrowException:
            high = middle
    return NotANumber(low, values[low].as_py())


def _has_measurements(values: Values) -> bool:
    """Return whether some text is a number with a sign or a decimal point."""
    compute = arrow().compute
    return bool(compute.index(compute.match_substring_regex(values, _MEASUREMENT), True).as_py() >= 0)


def first_padded(values: Values) -> int | None:
    """Return the position of the first text of digits that is padded with zeros, such as 01067, or None.

    Args:
        values: Strings of pyarrow.
    """
    compute = arrow().compute
    position = compute.index(compute.match_substring_regex(values, PADDED), True).as_py()
    return None if position < 0 else int(position)


def _floats(values: Values) -> np.ndarray:
    pa = arrow()
    if pa.types.is_timestamp(values.type):
        return _floats(values.cast(pa.int64())) / _MICROSECONDS
    # Integers of more than 53 bits are rounded.
    return np.asarray(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), "float64")


def texts(values: Values) -> Values:
    """Return values as strings of pyarrow; empty strings and NaN are missing values.

    Whole numbers have no decimal point, also where missing values made them floating-point.
    """
    pa = arrow()
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_floating(values.type):
        found = numbers(values)
        missing = np.isnan(found)
        if np.all(missing | (np.isfinite(found) & (found == np.trunc(found)) & (np.abs(found) < 2**53))):
            values = pa.array(np.nan_to_num(found).astype("int64"), mask=missing)
        else:
            values = pa.compute.if_else(pa.array(missing), pa.scalar(None, values.type), values)
    values = values.cast(pa.string())
    return pa.compute.if_else(pa.compute.equal(values, ""), pa.scalar(None, pa.string()), values)
