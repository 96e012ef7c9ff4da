"""Reading of series."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from aezoo._errors import naming
from aezoo._typing import ArrayLike, Tensor
from aezoo.datasets import order
from aezoo.datasets.prepared import Prepared, Split
from aezoo.preprocessing import _reading
from aezoo.preprocessing.series import Missing, SeriesPreprocessing


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class PreparedSeries(Prepared):
    """Windows of a series, which map their scores to its steps: the result of `from_series`.

    Attributes:
        train_starts: First step of each training window, counted from the first training step.
        test_starts: First step of each test window, counted from the first test step.
        train_times: Time of each training step, or its number without a time column.
        test_times: Time of each test step.

    Example:
        >>> from aezoo import datasets
        >>> series = datasets.from_series(np.arange(20.0), window=4)
        >>> series.test_starts, series.test_times
        (array([0]), array([16, 17, 18, 19]))
    """

    train_starts: np.ndarray = dataclasses.field(repr=False)
    test_starts: np.ndarray = dataclasses.field(repr=False)
    train_times: np.ndarray = dataclasses.field(repr=False)
    test_times: np.ndarray = dataclasses.field(repr=False)

    def to_steps(self, scores: ArrayLike, split: Split = "test") -> np.ndarray:
        """Return the score of each step: the mean over the windows that cover it.

        Args:
            scores: Scores of the windows of a split in order, (windows,), or of each of their steps, (windows, window).
            split: "train" or "test".

        Returns:
            (steps,), one entry per entry of `train_times` or `test_times`; NaN where no window covers a step.

        Raises:
            ValueError: If there is no such split, or it has another number of windows.

        Example:
            >>> from aezoo import datasets
            >>> series = datasets.from_series(np.arange(10.0), window=3, test_fraction=0.5)
            >>> series.to_steps([0.0, 6.0, 0.0])
            array([0., 3., 2., 3., 0.])
        """
        if split not in ("train", "test"):
            raise ValueError(f"split={split!r} is unknown: choose 'train' or 'test'.")
        train = split == "train"
        starts, times = (self.train_starts, self.train_times) if train else (self.test_starts, self.test_times)
        window = self.preprocessing.sample_shape[0]
        values = np.asarray(scores, "float64")
        if values.shape not in ((len(starts),), (len(starts), window)):
            raise ValueError(
                f"The scores have shape {values.shape}; the split {split!r} has {len(starts)} windows of {window} "
                f"steps: give one score per window, in the order of in_order({split!r})."
            )
        per_step = np.broadcast_to(values.reshape(len(starts), -1), (len(starts), window))
        total, covering = np.zeros(len(times)), np.zeros(len(times))
        for i in range(window):
            total[starts + i] += per_step[:, i]
            covering[starts + i] += 1
        return np.where(covering > 0, total / np.maximum(covering, 1), np.nan)


def from_series(
    path_or_frame: Any,
    window: int,
    stride: int = 1,
    *,
    time: str | None = None,
    columns: tuple[str, ...] | list[str] | None = None,
    missing: Missing = "skip",
    batch_size: int = 128,
    test_fraction: float = 0.2,
    seed: int = 0,
    shuffle: bool = True,
) -> PreparedSeries:
    """Read a series with one or more columns as windows, standardized by the training steps.

    The last part of the series is for testing, and no window crosses the split. The series is in memory once, as
    float32; windows are cut from it batch by batch.

    Args:
        path_or_frame: Path of a CSV, Parquet or `.npy` file with one row per step; or a table of pandas, polars or
            pyarrow, a dict of columns, or an array (steps,) or (steps, columns).
        window: Number of steps per window.
        stride: Number of steps from the start of one window to the next.
        time: Column with dates, times or growing numbers: rows are sorted by it, and no window crosses a gap, two steps
            more than 1.5 times the median distance apart. Without it rows are taken as ordered and equally spaced.
        columns: Columns that are the values. None takes all but the time column, and refuses a column with codes,
            digits that start with a further zero, such as 01067.
        missing: "skip" leaves out every window with a missing value, "interpolate" takes the line between the
            neighbors within the training or test steps, "keep" leaves NaN for models with `missing="mask"`.
        batch_size: Number of windows per batch; the last batch may be smaller.
        test_fraction: Share of the steps that are for testing.
        seed: Seed of the order of the training windows.
        shuffle: Whether each pass over the training windows has a new order.

    Returns:
        The two splits, float32 of shape (batch, window, columns), with the fitted
        `aezoo.preprocessing.SeriesPreprocessing` and the times of the steps.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file has another format, a column cannot be used, or the series has no window; the message
            names the column and the row.

    Example:
        >>> from aezoo import datasets
        >>> table = {"hour": np.arange(100), "load": np.sin(np.arange(100.0))}
        >>> series = datasets.from_series(table, window=10, time="hour")
        >>> series.arrays("train").shape, series.arrays("test").shape
        ((71, 10, 1), (11, 10, 1))
    """
    order.check_split(test_fraction, batch_size)
    if isinstance(columns, str):
        raise ValueError(f"columns={columns!r}: give a list of names, such as [{columns!r}].")
    chosen = None if columns is None else tuple(columns)
    preprocessing = SeriesPreprocessing(window, stride, chosen, time, missing)
    path = path_or_frame if _reading.is_path(path_or_frame) else None
    steps = preprocessing.steps(path_or_frame, fill=False)
    cut = len(steps.values) - round(test_fraction * len(steps.values))
    # Interpolation after the split: no training value depends on a test value.
    edges = {"train": (0, cut), "test": (cut, len(steps.values))}
    parts = {split: preprocessing.filled(steps.part(*ends)) for split, ends in edges.items()}
    with naming(path):
        preprocessing.fit(parts["train"])
    starts = {split: preprocessing.starts(part) for split, part in parts.items()}
    for split, part in parts.items():
        if not len(starts[split]) and (split == "train" or test_fraction):
            raise ValueError(preprocessing.too_short(part, f"{path or 'The series'}: the {split} part"))
    values = {split: tf.constant(preprocessing.standardize(part.values), tf.float32) for split, part in parts.items()}

    def batches(split: str, shuffled: bool = False) -> tf.data.Dataset:
        offsets = tf.range(window, dtype=tf.int64)

        def cut_out(first: Tensor) -> Tensor:
            windows = tf.gather(values[split], first[:, None] + offsets)
            return tf.ensure_shape(windows, (None, *preprocessing.sample_shape))

        return order.drawn(starts[split], shuffled, seed).batch(batch_size).map(cut_out).prefetch(2)

    lines = [
        f"{path or 'Series'}: {len(steps.values):,} steps, "
        f"{cut:,} for training and the last {len(steps.values) - cut:,} for testing; "
        f"{len(starts['train']):,} and {len(starts['test']):,} windows.",
        preprocessing.summary,
        *steps.notes,
    ]
    same = np.nanmin(parts["train"].values, axis=0) == np.nanmax(parts["train"].values, axis=0)
    if constant := [name for name, all_same in zip(preprocessing.columns or (), same, strict=True) if all_same]:
        lines.append(f"Constant in training, and not scaled: {', '.join(constant)}.")
    return PreparedSeries(
        train=batches("train", shuffle),
        test=batches("test"),
        preprocessing=preprocessing,
        summary="\n".join(lines),
        samples={split: len(of_split) for split, of_split in starts.items()},
        read=batches,
        train_starts=starts["train"],
        test_starts=starts["test"],
        train_times=parts["train"].times,
        test_times=parts["test"].times,
    )
