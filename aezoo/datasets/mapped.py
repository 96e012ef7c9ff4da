"""A `PyDataset` of what a function makes of the batches of another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


class PyDataset(keras.utils.PyDataset):
    """The batches of a `PyDataset`, each put through a function as it is read.

    Args:
        inner: The data set, with as many workers as this one has.
        function: From a batch to a batch; a function of a module, so that a worker process can have it.
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
        """As of the data set inside."""
        return self.inner.num_batches

    def on_epoch_begin(self) -> None:
        self.inner.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self.inner.on_epoch_end()
