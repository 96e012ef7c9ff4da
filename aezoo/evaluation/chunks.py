"""Going through many samples a chunk at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from aezoo import checks

#: Samples in hand at once, where nothing else is asked for.
BATCH_SIZE = 256


def chunks(x: Any, size: int = BATCH_SIZE) -> Iterator[Any]:
    """Cuts x, (n, ...) with n >= 1, into pieces of at most `size` samples."""
    checks.whole("batch_size", size, 1)
    if not len(x):
        raise ValueError("There are no samples to evaluate.")
    return (x[start : start + size] for start in range(0, len(x), size))


def in_chunks(function: Callable[[Any], Any], x: Any, size: int = BATCH_SIZE) -> np.ndarray:
    """What a function returns for each sample of x, (n, ...), called on at most `size` of them at once."""
    return np.concatenate([np.asarray(function(piece)) for piece in chunks(x, size)])
