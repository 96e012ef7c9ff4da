"""The result of reading a user's own data: batches for training and testing, and the fitted preprocessing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import tensorflow as tf

from aezoo.preprocessing.base import Preprocessing

Split = Literal["train", "test"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Prepared:
    """The user's data, read and preprocessed: the result of `from_table` and its siblings.

    Attributes:
        train: Batches of training samples, float32 (tokens: int32), in a new order each epoch; its length is known.
        test: Batches of test samples, in the order of the data.
        preprocessing: The preprocessing, fitted on the training samples only: give it to the model.
        summary: Description for people of what was read, skipped, left out and changed.
        samples: Number of samples of each split.
        read: Function that returns the batches of a split, "train" or "test", in the order of the data; see `in_order`.
        y_train: Labels of the training samples, in the order of `in_order("train")`; None without labels.
        y_test: Labels of the test samples; None without labels.
        class_names: Names of the classes that the labels number; None without labels.

    Example:
        >>> from aezoo import datasets
        >>> series = datasets.from_series(np.arange(100.0), window=20, batch_size=32)
        >>> len(series.train), series.arrays("test").shape
        (2, (1, 20, 1))
    """

    train: tf.data.Dataset
    test: tf.data.Dataset
    preprocessing: Preprocessing
    summary: str
    samples: Mapping[str, int]
    read: Callable[[str], tf.data.Dataset] = dataclasses.field(repr=False)
    y_train: np.ndarray | None = None
    y_test: np.ndarray | None = None
    class_names: tuple[str, ...] | None = None

    def in_order(self, split: Split) -> tf.data.Dataset:
        """Return the batches of a split in the order of the data, which is the order of its labels.

        Args:
            split: "train" or "test".

        Raises:
            ValueError: If there is no such split.
        """
        if split not in ("train", "test"):
            raise ValueError(f"split={split!r} is unknown: choose 'train' or 'test'.")
        return self.read(split)

    def arrays(self, split: Split) -> np.ndarray:
        """Return all samples of a split as one array in memory, (n, *sample_shape), in the order of the data.

        Args:
            split: "train" or "test".

        Raises:
            ValueError: If there is no such split.
        """
        batches = [np.asarray(batch) for batch in self.in_order(split)]
        return np.concatenate(batches) if batches else np.zeros((0, *self.preprocessing.sample_shape), "float32")
