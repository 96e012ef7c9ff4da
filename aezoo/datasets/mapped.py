"""A `PyDataset` that applies a function to the batches of another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


class PyDataset(keras.utils.PyDataset):
    """`PyDataset` that applies a function to each batch of another as it is read.

    Args:
        inner: The other data set. This one has the same number of workers.
        function: Function from a batch to a batch. It must be picklable, for use in worker processes.
    """

    def __init__(self, inner: keras.utils.PyDataset, function: Callable[[Any], Any]):
        super().__init__(inner.workers, inner.use_multiprocessing, inner.max_queue_size)
        self.inner: Any = inner
        self.function = function

    def __getitem__(self, index: int) -> Any:
        return self.function(self.inner[index])

    def __len__(self) -> int:
        return len(self.inner)

    @property
    def num_batches(self) -> int | None:
        """Number of batches of the inner data set, or None if it is infinite."""
        return self.inner.num_batches

    def on_epoch_begin(self) -> None:
        self.inner.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self.inner.on_epoch_end()
