"""Common form of all data sets, from which `load` and `stream` read."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from aezoo._typing import Shape


@dataclasses.dataclass(frozen=True)
class Source:
    """Data set of images.

    Attributes:
        name: Name that the user gave.
        shape: Shape of an image, (h, w, c); a size that varies is None.
        limit: Raw pixel value that stands for 1.0.
        has_labels: Whether every image has a class.
        splits: Number of images per split.
        read: Function `read(split, shuffle_files, seed)` that returns a `tf.data.Dataset` of single raw images, as
            `(image, label)`, or as `(image,)` without labels.
    """

    name: str
    shape: Shape
    limit: int
    has_labels: bool
    splits: dict[str, int]
    read: Callable[[str, bool, int | None], tf.data.Dataset]
