"""Going through many samples a chunk at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from aezoo import _validation
from aezoo._typing import Array
from aezoo.training import gate

#: Samples in hand at once, where nothing else is asked for.
BATCH_SIZE = 256


def chunks(x: Array, size: int = BATCH_SIZE) -> Iterator[Any]:
    """Cuts x, (n, ...) with n >= 1, into pieces of at most `size` samples."""
    _validation.check_int("batch_size", size, 1)
    x = gate.as_array(x)
    n = x.shape[0] if hasattr(x, "shape") else len(x)
    if not n:
        raise ValueError("There are no samples to evaluate.")
    return (gate.dense(x[start : start + size]) for start in range(0, n, size))


def in_chunks(function: Callable[[Any], Any], x: Array, size: int = BATCH_SIZE) -> np.ndarray:
    """What a function returns for each sample of x, (n, ...), called on at most `size` of them at once."""
    return np.concatenate([np.asarray(function(piece)) for piece in chunks(x, size)])
