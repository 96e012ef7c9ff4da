"""Data sets to train on, as NumPy arrays (`load`) or as a stream in constant memory (`stream`)."""

from aezoo.datasets.bundled import emoji_factors
from aezoo.datasets.labels import without_labels
from aezoo.datasets.loading import load, stream
from aezoo.datasets.prepared import Prepared

__all__ = ["Prepared", "emoji_factors", "load", "stream", "without_labels"]
