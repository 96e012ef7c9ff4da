"""What `load` and `stream` read from: one set of images, wherever it comes from."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from aezoo._typing import Shape


@dataclasses.dataclass(frozen=True)
class Source:
    """A set of images of one size.

    Attributes:
        name: the name that the user gave.
        shape: shape of an image, (h, w, c); None where the set does not fix it.
        limit: the raw pixel value that stands for 1.0.
        has_labels: whether every image has a class.
        splits: the number of images of each split.
        read: `read(split, shuffle_files, seed)` gives a `tf.data.Dataset` of `(image, label)`, one raw image
            at a time, or of `(image,)` for a set without labels.
    """

    name: str
    shape: Shape
    limit: int
    has_labels: bool
    splits: dict[str, int]
    read: Callable[[str, bool, int | None], tf.data.Dataset]
