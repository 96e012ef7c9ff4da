"""Frequency tables: the distribution of a channel's integers, as an entropy coder uses it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from aezoo._typing import ArrayLike

#: Sum of the frequencies of a table. Single precision represents every multiple of 1/TOTAL in [0, 1] exactly.
TOTAL = 2**22
# A table leaves out each tail of less than this probability, and has at most this many integers.
_TAIL = 2.0**-16
_WIDEST = 4095
_FARTHEST = 2**20


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """Frequencies of the integers low, low + 1, ..., followed by the frequency of the escape for all other integers.

    Frequencies are integers, so that two processes cannot disagree about them in a last bit.

    Attributes:
        low: The smallest integer in the table.
        frequencies: (integers + 1,) int64, each at least 1, with sum `TOTAL`.

    Raises:
        ValueError: If the frequencies or `low` are not of this form.

    Example:
        >>> table = Table.of([0.25, 0.5], low=-1)  # of -1 and 0; the last quarter is the escape's
        >>> table.bits().round(3)
        array([2., 1., 2.])
    """

    low: int
    frequencies: np.ndarray

    def __post_init__(self) -> None:
        frequencies = self.frequencies
        if frequencies.ndim != 1 or not len(frequencies) or frequencies.dtype.kind not in "iu":
            raise ValueError(
                f"The frequencies of a table must be whole numbers, (integers + 1,), but they are {frequencies.dtype} "
                f"of shape {frequencies.shape}."
            )
        if frequencies.min() < 1 or frequencies.max() > TOTAL or frequencies.sum() != TOTAL:
            raise ValueError(
                f"The frequencies of a table must be at least 1 and sum to {TOTAL}, but the smallest is "
                f"{frequencies.min()} and the sum {frequencies.sum()}."
            )
        if not isinstance(self.low, int) or abs(self.low) >= 2**31:
            raise ValueError(f"A table must begin at a whole number within ±2³¹, but it begins at {self.low!r:.40}.")

    @classmethod
    def of(cls, probabilities: ArrayLike, low: int) -> Table:
        """Return the table of a distribution.

        Args:
            probabilities: Probabilities of low, low + 1, ..., (integers,); the escape has the rest up to 1.
            low: The first integer.

        Returns:
            The table, in which each integer has a frequency of at least 1, however small its probability.

        Raises:
            ValueError: If the probabilities are negative or NaN, or sum to more than 1.
        """
        p = np.asarray(probabilities, "float64")
        if not (p >= 0).all() or p.sum() > 1 + 1e-9:
            raise ValueError("The probabilities of a table must be at least 0 and sum to at most 1.")
        # Rounding the cumulative, and adding 1 for each integer, keeps every frequency at 1 or more.
        edges = np.rint(np.minimum(np.cumsum(p), 1.0) * (TOTAL - len(p) - 1)).astype("int64") + np.arange(1, len(p) + 1)
        return cls(int(low), np.diff(edges, prepend=0, append=TOTAL))

    @property
    def escape(self) -> int:
        """Index of the escape, which is the number of integers in the table."""
        return len(self.frequencies) - 1

    def bits(self) -> np.ndarray:
        """Return the bits that each integer and the escape cost, -log₂(frequency / TOTAL), (integers + 1,)."""
        return -np.log2(self.frequencies / TOTAL)


def tables(cumulative: Callable[[np.ndarray], np.ndarray], channels: int) -> tuple[Table, ...]:
    """Return a table for the integers of each channel of a density.

    Args:
        cumulative: Cumulative distribution function, (n, channels) → (n, channels) float64.
        channels: Number of channels.

    Returns:
        One table per channel, with the integers around its median that have all but 2⁻¹⁵ of the probability, at most
        4095 of them.

    Raises:
        ValueError: If the density is NaN, as after a training that diverged.

    Example:
        >>> (table,) = tables(lambda y: 1 / (1 + np.exp(-np.clip(y, -50, 50) / 0.1)), channels=1)
        >>> table.low, table.escape  # a narrow density around 0: from -1, three integers
        (-1, 3)
    """

    def quantile(q: float, least: Any, greatest: Any) -> np.ndarray:
        """Search the least k with c(k + ½) >= q in each channel, or `greatest`, by splitting a range in 64 parts."""
        least, greatest = (np.broadcast_to(end, channels).astype("int64") for end in (least, greatest))
        while (least < greatest).any():
            step = -((least - greatest) // 64)
            grid = np.minimum(least + step * np.arange(65)[:, None], greatest)
            reached = (cumulative(grid + 0.5) >= q) | (grid == greatest)
            first = reached.argmax(axis=0)
            found = np.take_along_axis(grid, first[None], axis=0)[0]
            least, greatest = np.where(first == 0, least, found - step + 1), found
            least = np.minimum(least, greatest)
        return least

    if not np.isfinite(cumulative(np.zeros((1, channels)))).all():
        raise ValueError("The density of the code is NaN: the training diverged; train with a smaller learning rate.")
    median = quantile(0.5, -_FARTHEST, _FARTHEST)
    low = quantile(_TAIL, median - _WIDEST // 2, median)
    high = quantile(1 - _TAIL, median, median + _WIDEST // 2)
    counts = high - low + 1
    edges = cumulative(low - 0.5 + np.arange(counts.max() + 1)[:, None])
    mass = np.maximum(np.diff(edges, axis=0), 0.0)
    return tuple(Table.of(mass[:n, channel], low[channel]) for channel, n in enumerate(counts))


def from_counts(columns: Sequence[np.ndarray]) -> tuple[Table, ...]:
    """Return tables from observed integers, with half a count added to each integer in their range and to the escape.

    Args:
        columns: The integers of each channel, (n,) each.

    Returns:
        One table per channel.

    Example:
        >>> (table,) = from_counts([np.array([3, 5, 5])])
        >>> table.low, len(table.frequencies)  # 3, 4, 5 and the escape
        (3, 4)
    """
    made = []
    for column in columns:
        low = int(column.min())
        counts = np.bincount(column - low) + 0.5
        made.append(Table.of(counts / (counts.sum() + 0.5), low))
    return tuple(made)
