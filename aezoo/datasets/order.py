"""The order in which prepared data are read."""

from __future__ import annotations

import tensorflow as tf

# Numbers that a shuffle buffer holds at most, about 100 bytes each.
_NUMBERS = 2**18


def numbers(n: int, shuffle: bool, seed: int) -> tf.data.Dataset:
    """Return the numbers of n samples as a data set: in order, or in a new random order in each pass.

    Args:
        n: Number of samples.
        shuffle: Whether to shuffle, within a buffer of at most 262,144 samples.
        seed: Seed that makes the orders of all passes reproducible.
    """
    dataset = tf.data.Dataset.range(n)
    return dataset.shuffle(min(n, _NUMBERS), seed=seed) if shuffle and n else dataset


def check_split(test_fraction: float, batch_size: int) -> None:
    """Raise an error for arguments that all readers have in common.

    Args:
        test_fraction: Share of the samples that are for testing.
        batch_size: Number of samples per batch.

    Raises:
        ValueError: If one of them is out of range.
    """
    if not 0 <= test_fraction < 1:
        raise ValueError(f"test_fraction={test_fraction!r}: give a share of at least 0 and less than 1, such as 0.2.")
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size={batch_size!r}: give a positive integer.")
