"""Preprocessing of series: windows of a table whose rows are steps in time, standardized."""

from __future__ import annotations

import dataclasses
import itertools
import re
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from aezoo._errors import listed, naming
from aezoo._typing import Self, Shape, Tensor
from aezoo.preprocessing import _reading
from aezoo.preprocessing.base import Preprocessing, is_lost_in_single_precision, warn_of_new_columns

Missing = Literal["skip", "interpolate", "keep"]
#: Two steps further apart than this many times the usual distance have a gap between them.
_GAP = 1.5
# A date of three numbers, with a year of four digits at the end or a year of two digits in any place.
_DATE = re.compile(r"^\s*(\d{1,2})([-./ ])(\d{1,2})\2(\d{4}|\d{2})(?!\d)")

# A year of four digits, also in 20250313: not the fraction of a second, a time such as 0930 or a zone such as +0100.
_YEAR = r"(?<![\d.:+])(?<!\s-)(?:1[6-9]|2\d)\d\d(?=\D|$|\d{4,10}(?:\D|$))"


@dataclasses.dataclass(frozen=True, eq=False)
class Steps:
    """A series in the order of time.

    Attributes:
        values: (steps, columns), float64, with NaN for missing values.
        times: Time of each step: values of the time column, or 0, 1, 2, ...
        breaks: Indices of the steps after a gap, ascending.
        notes: Sentences about the order, gaps and missing values, for people.
    """

    values: np.ndarray
    times: np.ndarray
    breaks: np.ndarray
    notes: tuple[str, ...]

    def part(self, start: int, stop: int) -> Steps:
        """Return the steps from `start` to `stop`, without notes."""
        inside = self.breaks[(self.breaks > start) & (self.breaks < stop)] - start
        return Steps(self.values[start:stop], self.times[start:stop], inside, ())


@keras.saving.register_keras_serializable("aezoo")
class SeriesPreprocessing(Preprocessing):
    """Turn a series into windows of standardized values, and windows back into values.

    A series is a table with one row per step, or an array (steps,) or (steps, columns). Without a time column the rows
    are equally spaced. With one they are sorted by it, and no window crosses a *gap*: two steps more than 1.5 times the
    median distance apart. Each column is standardized by the mean and the standard deviation of the training steps.

    Args:
        window: Number of steps per window.
        stride: Number of steps from the start of one window to the next.
        columns: Columns of the table that are the values. None takes all but the time column, and refuses a column with
            codes, digits that start with a further zero, such as 01067.
        time: Column with dates, times or numbers that grow with time, or None.
        missing: Treatment of missing values. "skip" leaves out every window with one, "interpolate" takes the line
            between the neighbors in the same column, or repeats the nearest value before the first and after the last
            one; "keep" leaves them NaN for models with `missing="mask"`.
        **kwargs: `name` of `keras.layers.Layer`.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> preprocessing = SeriesPreprocessing(window=3, stride=2).fit(np.arange(1.0, 6.0))
        >>> windows = preprocessing.transform(np.arange(1.0, 6.0))
        >>> windows[:, :, 0].round(2)
        array([[-1.41, -0.71,  0.  ],
               [ 0.  ,  0.71,  1.41]], dtype=float32)
        >>> preprocessing.restore(windows)[:, :, 0].round(2)
        array([[1., 2., 3.],
               [3., 4., 5.]], dtype=float32)
    """

    def __init__(
        self,
        window: int,
        stride: int = 1,
        columns: tuple[str, ...] | None = None,
        time: str | None = None,
        missing: Missing = "skip",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        for name, value in (("window", window), ("stride", stride)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f"{name}={value!r}: give a positive number of steps.")
        if missing not in ("skip", "interpolate", "keep"):
            raise ValueError(f"missing={missing!r} is unknown: choose 'skip', 'interpolate' or 'keep'.")
        self.window, self.stride, self.time, self.missing = int(window), int(stride), time, missing
        self.columns = None if columns is None else tuple(columns)
        self._left_out: tuple[str, ...] | None = None  # columns of the table of `fit` without a use, if they are known
        self.means: tuple[float, ...] | None = None
        self.scales: tuple[float, ...] | None = None

    # === Fitting ===

    def fit(self, raw: Any) -> Self:
        """Compute the mean and the standard deviation of each column; return self.

        If it raises an error, the result of an earlier `fit` stays.

        Args:
            raw: A series in any form that `steps` accepts, or its `Steps`.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If there are no steps, or a column has text, infinite values, no value at all, or values that
                are equal in single precision.
        """
        before = self.columns, self._left_out, self.means, self.scales
        self.means = self.scales = None  # unfitted, so that `steps` notes which columns there are
        try:
            self._fit(raw)
        except BaseException:
            self.columns, self._left_out, self.means, self.scales = before
            raise
        return self

    def _fit(self, raw: Any) -> None:
        steps = raw if isinstance(raw, Steps) else self.steps(raw)
        if not len(steps.values):
            raise ValueError("The series has no steps to train on.")
        if self.columns is None:
            self.columns = tuple(f"x{i}" for i in range(steps.values.shape[1]))
        seen = np.isfinite(steps.values)
        for name, any_seen in zip(self.columns, seen.any(axis=0), strict=True):
            if not any_seen:
                raise ValueError(f"Column {name!r} has no value in the training steps: leave it out of columns=.")
        low, high = np.nanmin(steps.values, axis=0), np.nanmax(steps.values, axis=0)
        means, scales = np.nanmean(steps.values, axis=0), np.nanstd(steps.values, axis=0)
        lost = is_lost_in_single_precision(np.maximum(-low, high), scales) & (low < high)
        if lost.any():
            i = int(lost.argmax())
            raise ValueError(
                f"Column {self.columns[i]!r} has a mean of {means[i]:g} and a deviation of only {scales[i]:.3g}, too "
                "little for float32: subtract a constant first, or leave it out of columns=."
            )
        scales[low == high] = 1.0  # rounding may have left a tiny deviation
        self.means, self.scales = tuple(means.tolist()), tuple(scales.tolist())

    @property
    def is_fitted(self) -> bool:
        return self.means is not None

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = {name: list(getattr(self, name) or ()) for name in ("columns", "means", "scales")}
        return {**state, "left_out": None if self._left_out is None else list(self._left_out)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        self.columns, self.means, self.scales = (tuple(state[name]) for name in ("columns", "means", "scales"))
        left_out = state.get("left_out")  # missing in models saved before it was recorded
        self._left_out = None if left_out is None else tuple(left_out)

    @property
    def summary(self) -> str:
        rows = zip(self.columns or (), self.means or (), self.scales or (), strict=True)
        standardized = ", ".join(f"{name} (mean {mean:.4g}, deviation {scale:.4g})" for name, mean, scale in rows)
        starts = "one starting at each step" if self.stride == 1 else f"one every {self.stride} steps"
        return f"Windows of {self.window} steps, {starts}. Standardized: {standardized}."

    # === Shapes and names ===

    @property
    def sample_shape(self) -> Shape:
        if self.means is None:
            raise ValueError("SeriesPreprocessing has no columns yet: call fit.")
        return (self.window, len(self.means))

    @property
    def raw_specs(self) -> dict[str, tf.TensorSpec]:
        return {"x": tf.TensorSpec((None, *self.sample_shape), tf.float32, name="x")}

    # === From a series to windows, and back ===

    def is_raw(self, data: Any) -> bool:
        """Return whether data are a table, the path of a series, or a dict that has all columns of training.

        Args:
            data: Any object that a user passes as samples.
        """
        if isinstance(data, Mapping):
            return bool(self.columns) and set(self.columns or ()) <= {str(name) for name in data}
        return _reading.is_path(data) or hasattr(data, "columns") or hasattr(data, "column_names")

    def steps(self, raw: Any, fill: bool = True) -> Steps:
        """Return a series in the order of time, with its gaps.

        A column that was not there in training is ignored with a warning.

        Args:
            raw: Path of a CSV, Parquet or `.npy` file; a table of pandas, polars or pyarrow, a dict of columns, or an
                array (steps,) or (steps, columns).
            fill: Whether to interpolate missing values with `missing="interpolate"`.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file has another format; or if a column is missing, or has text, infinite values or
                unreadable times; the message names the file, the column and the row.
        """
        if not _reading.is_path(raw):
            return self._in_order(raw, None, fill, "The series")
        wanted = None if self.columns is None else {name for name in (*self.columns, self.time) if name is not None}
        table, names = _read(Path(raw), wanted, self.time)
        with naming(raw):
            return self._in_order(table, names, fill, str(raw))

    def _in_order(self, raw: Any, all_names: list[str] | None, fill: bool, what: str) -> Steps:
        """Return a table or an array in the order of time.

        Args:
            raw: As in `steps`, but not a path.
            all_names: Names of all columns of the file, where `raw` has those that were read; None for another table.
            fill: As in `steps`.
            what: Name of the series in messages.
        """
        table = columns_of(raw)
        if self.columns is not None and self.time is None and not isinstance(raw, Mapping) and not self.is_raw(raw):
            if len(table) != len(self.columns):
                raise ValueError(f"The array has {len(table)} columns; training had {', '.join(self.columns)}.")
            table = dict(zip(self.columns, table.values(), strict=True))
        present = list(table) if all_names is None else all_names
        times = None
        if self.time is not None:
            if self.time not in table:
                raise ValueError(f"There is no time column {self.time!r}: the columns are {', '.join(present)}.")
            times = as_times(self.time, table.pop(self.time))
        names = tuple(table) if self.columns is None else self.columns
        if absent := [name for name in names if name not in table]:
            lacking = ", ".join(map(repr, absent))
            raise ValueError(f"There is no column {lacking}: the columns are {', '.join(present)}.")
        if not names:
            raise ValueError("The series has no columns besides the time column.")
        values = np.stack([self._as_numbers(name, table[name]) for name in names], axis=1)
        if not self.is_fitted:
            self.columns, self._left_out = names, tuple(name for name in present if name not in {*names, self.time})
        elif self._left_out is not None:
            warn_of_new_columns(what, present, {*names, self.time, *self._left_out})
        notes = []
        if times is None:
            times, breaks = np.arange(len(values)), np.zeros(0, "int64")
        else:
            order = np.argsort(times, kind="stable")
            if (order[1:] < order[:-1]).any():
                notes.append(f"The rows were not in the order of {self.time!r} and are sorted by it.")
                times, values = times[order], values[order]
            breaks, found = _gaps(times)
            notes += found
        if with_missing := int(np.isnan(values).any(axis=1).sum()):
            doing = {"skip": "windows with one are skipped", "keep": "kept as NaN", "interpolate": "interpolated"}[
                self.missing
            ]
            notes.append(f"Missing values in {with_missing:,} steps: {doing}.")
        steps = Steps(values, times, breaks, tuple(notes))
        return self.filled(steps) if fill else steps

    def _as_numbers(self, name: str, column: np.ndarray) -> np.ndarray:
        """Return a column as float64, or raise an error that names the row."""
        may_be_time = f"pass time={name!r} if it has times, or " if self.time is None else ""
        if column.dtype.kind == "M":
            advice = "give the numbers" if self.is_fitted else f"pass time={name!r}, or leave it out of columns="
            raise ValueError(f"Column {name!r} has times: {advice}.")
        texts = column if self.columns is None and column.dtype.kind in "OUT" else ()
        if (code := next(filter(_is_padded, texts), None)) is not None:
            raise ValueError(
                f"Column {name!r} has {code!r}, which starts with a zero, as codes do and numbers do not: choose the "
                "columns of numbers with columns=."
            )
        try:
            values = column.astype("float64")
        except (TypeError, ValueError):
            row = next(i for i, value in enumerate(column) if not _is_number(value))
            advice = "correct it" if self.is_fitted else f"{may_be_time}choose others with columns="
            raise ValueError(
                f"Column {name!r} has {column[row]!r} in row {row} (counted from 0), which is not a number: {advice}."
            ) from None
        if np.isinf(values).any():
            row = int(np.isinf(values).argmax())
            raise ValueError(f"Column {name!r} has an infinite value in row {row} (counted from 0): correct it.")
        return values

    def filled(self, steps: Steps) -> Steps:
        """Return a series with missing values interpolated between gaps, if `missing="interpolate"`; others unchanged.

        Args:
            steps: The series.
        """
        missing = np.isnan(steps.values)
        if self.missing != "interpolate" or not missing.any():
            return steps
        values = steps.values.copy()
        edges = [0, *steps.breaks.tolist(), len(values)]
        for (start, stop), column in itertools.product(itertools.pairwise(edges), range(values.shape[1])):
            part, gone = values[start:stop, column], missing[start:stop, column]
            if gone.any() and not gone.all():
                part[gone] = np.interp(np.flatnonzero(gone), np.flatnonzero(~gone), part[~gone])
        return dataclasses.replace(steps, values=values)

    def starts(self, steps: Steps) -> np.ndarray:
        """Return the first step of each window of a series.

        Args:
            steps: The series.

        Returns:
            int64, ascending. No window crosses a gap; with `missing="skip"` none has a missing value.
        """
        edges = set(steps.breaks.tolist()) | {0, len(steps.values)}
        if self.missing != "keep":
            gone = np.flatnonzero(np.isnan(steps.values).any(axis=1))
            edges |= set(gone.tolist()) | set((gone + 1).tolist())
        ends = sorted(edges)
        parts = [np.arange(a, b - self.window + 1, self.stride) for a, b in itertools.pairwise(ends)]
        if self.missing != "keep" and self.window == 1:
            parts = [part[~np.isnan(steps.values[part]).any(axis=1)] for part in parts]
        return np.concatenate(parts or [np.zeros(0)]).astype("int64")

    def to_arrays(self, raw: Any) -> dict[str, np.ndarray]:
        """Return the windows of a series, in raw units.

        Args:
            raw: A series in any form that `steps` accepts, or an array of windows (n, window, columns).

        Raises:
            ValueError: As `steps`; or if the series is shorter than a window, or has another number of columns.
        """
        shape = self.sample_shape
        if getattr(raw, "ndim", 0) == 3:
            windows = np.asarray(raw, "float32")
        else:
            steps = self.steps(raw)
            starts = self.starts(steps)
            if not len(starts):
                raise ValueError(self.too_short(steps, str(raw) if _reading.is_path(raw) else "The series"))
            views = np.lib.stride_tricks.sliding_window_view(steps.values.astype("float32"), self.window, axis=0)
            windows = np.ascontiguousarray(views[starts].swapaxes(1, 2))
        if windows.shape[1:] != shape:
            raise ValueError(f"The windows have shape {windows.shape[1:]}; in training (steps, columns) was {shape}.")
        return {"x": windows}

    def too_short(self, steps: Steps, what: str) -> str:
        """Return the message for a series without any window.

        Args:
            steps: The series.
            what: Name of the series in the message.
        """
        cause = "" if len(steps.values) < self.window else " in a row, without a gap or a missing value"
        return (
            f"{what} has {len(steps.values):,} steps and no window of {self.window}{cause}: give more steps or a "
            "smaller window."
        )

    def standardize(self, values: Any) -> Any:
        """Return values, (..., columns), in standard units.

        Args:
            values: Array or tensor, float.
        """
        return (values - np.asarray(self.means, "float32")) / np.asarray(self.scales, "float32")

    def call(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return self.standardize(tf.cast(inputs["x"], tf.float32))

    def invert(self, x: Tensor) -> dict[str, Tensor]:
        return {"x": tf.cast(x, tf.float32) * np.asarray(self.scales, "float32") + np.asarray(self.means, "float32")}

    def get_config(self) -> dict[str, Any]:
        columns = None if self.columns is None else list(self.columns)
        arguments = {"window": self.window, "stride": self.stride, "columns": columns, "time": self.time}
        return {**super().get_config(), **arguments, "missing": self.missing}


# === Tables ===


def _read(path: Path, only: Collection[str] | None, time: str | None) -> tuple[Any, list[str] | None]:
    """Return the columns of a table in a file by name, and the names of all its columns; or an array and None.

    Args:
        path: A CSV, Parquet or `.npy` file.
        only: Names of the columns to read; None reads all.
        time: Name of the column of times, or None.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file has another format.
    """
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}: check the path.")
    if path.suffix.lower() == ".npy":
        with naming(path):
            return np.load(path, mmap_mode="r", allow_pickle=False), None
    chosen = [name for name in (*(only or ()), time) if name is not None]
    source = _reading.Source(path, only=only, padded=chosen)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in source.names}
    for batch in source.batches() if source.names else ():  # without names, pyarrow reads all columns
        for name, column in zip(source.names, batch.columns, strict=True):
            parts[name].append(column.to_numpy(zero_copy_only=False))
    # `pop`, so that no more than one column is in memory twice
    return {name: np.concatenate(parts.pop(name) or [np.zeros(0)]) for name in source.names}, source.all_names


def columns_of(raw: Any) -> dict[str, np.ndarray]:
    """Return the columns of a table by name, or the columns of an array as "x0", "x1", ...

    Args:
        raw: A table of pandas, polars or pyarrow, a dict of columns, or an array (rows,) or (rows, columns).

    Raises:
        ValueError: If it is none of these, or columns differ in length or two share a name.
    """
    if isinstance(raw, Mapping):
        names, columns = [str(name) for name in raw], [np.asarray(column) for column in raw.values()]
    elif hasattr(raw, "column_names"):  # pyarrow
        names, columns = list(raw.column_names), [np.asarray(column.to_numpy()) for column in raw.columns]
    elif hasattr(raw, "columns"):  # pandas and polars
        names = [str(name) for name in raw.columns]
        columns = [
            np.asarray((raw.iloc[:, i] if hasattr(raw, "iloc") else raw[:, i]).to_numpy()) for i in range(len(names))
        ]
    else:
        array = np.asarray(raw)
        if array.ndim not in (1, 2):
            raise ValueError(f"A series is (steps,) or (steps, columns); this array has shape {array.shape}.")
        columns = list(array.reshape(len(array), -1).T)
        names = [f"x{i}" for i in range(len(columns))]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"Two columns are named {twice[0]!r}: rename one.")
    if len({len(column) for column in columns}) > 1:
        lengths = ", ".join(f"{name} {len(column)}" for name, column in zip(names, columns, strict=True))
        raise ValueError(f"The columns differ in length: {lengths}.")
    return dict(zip(names, columns, strict=True))


def _is_padded(value: Any) -> bool:
    return isinstance(value, str) and re.match(_reading.PADDED, value) is not None


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return value is None
    return True


def as_times(name: str, column: np.ndarray) -> np.ndarray:
    """Return a time column as numbers or as datetime64.

    Args:
        name: Name of the column.
        column: Numbers, times, or text in a format that pandas reads, such as ISO 8601. In dates of three numbers
            without a year of four digits in front, such as 13/03/2025 or 12/31/99, day, month and year have the order
            in which all rows are dates. Years of two digits are 1969 to 2068.

    Raises:
        ValueError: If an entry is missing or is not a time, has no year of four digits beside the name of a month, or
            if rows are dates in several orders; the message names the row.
    """
    if column.dtype.kind == "O" and len(column) and all(hasattr(value, "isoformat") for value in column):
        column = column.astype(str)
    wanted = "a time"
    if column.dtype.kind in "OUST":
        import pandas

        wanted = "a time with a year of four digits, such as 2025-03-13 12:00"
        text = _year_first(name, pandas.Series(column, dtype="str"))
        text = text.where(text.str.contains(_YEAR, na=False))  # for others pandas guesses the year, or takes today
        with warnings.catch_warnings():  # about texts that are read one by one
            warnings.simplefilter("ignore", UserWarning)
            times = pandas.to_datetime(text, errors="coerce", utc=True).dt.tz_localize(None).to_numpy()
    else:
        times = column
    unknown = np.isnat(times) if times.dtype.kind == "M" else np.isnan(times.astype("float64"))
    if unknown.any():
        row = int(unknown.argmax())
        raise ValueError(
            f"The time column {name!r} has {column[row]!r} in row {row} (counted from 0), which is not {wanted}: "
            "correct it."
        )
    return times


def _year_first(name: str, text: Any) -> Any:
    """Return texts with dates such as 13/03/2025 written as 2025-03-13.

    Args:
        name: Name of the column, for the message.
        text: Series of pandas.

    Raises:
        ValueError: If rows are dates in several orders of day, month and year.
    """
    found = text.str.extract(_DATE).dropna()
    a, b, c = (found[i].astype(int) for i in (0, 2, 3))
    short = found[3].str.len() == 2
    orders = [(c, b, a), (c, a, b)] + [(a, b, c)] * bool(short.all())  # year, month, day
    fitting = [int((month.between(1, 12) & day.between(1, 31)).sum()) for _, month, day in orders]
    (year, month, day), *others = (order for order, n in zip(orders, fitting, strict=True) if n == max(fitting))
    for other in others:
        differ = (other[0] != year) | (other[1] != month) | (other[2] != day)
        if differ.any():
            row = differ.idxmax()
            raise ValueError(
                f"The time column {name!r} has {text[row]!r} in row {row} (counted from 0), and no row tells the order "
                "of day, month and year: write the year first, with four digits, as in 2025-03-13."
            )
    year = year.mask(short, year + 1900 + 100 * (year < 69))  # as in POSIX
    rest = text[found.index].str.replace(_DATE, "", regex=True)
    text = text.copy()
    text[found.index] = [f"{y}-{m:02}-{d:02}{end}" for y, m, d, end in zip(year, month, day, rest, strict=True)]
    return text


def _gaps(times: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return each step that follows a gap in time, and sentences about what was found."""
    distances = np.diff(times)
    if distances.dtype.kind == "m":
        distances = distances / np.timedelta64(1, "s")
    notes = []
    if same := int((distances == 0).sum()):
        notes.append(f"Steps with the time of the step before: {same:,}.")
    if not (distances > 0).any():
        return np.zeros(0, "int64"), notes
    usual = float(np.median(distances[distances > 0]))
    breaks = np.flatnonzero(distances > _GAP * usual) + 1
    if len(breaks):
        unit = ""
        if times.dtype.kind == "M":
            unit, times = " seconds", times.astype("datetime64[s]")
        shown = listed((f"{times[i - 1]} to {times[i]}" for i in breaks), 3)
        notes.append(f"Gaps in time, which no window crosses (a step is {usual:g}{unit}): {shown}.")
    return breaks, notes
