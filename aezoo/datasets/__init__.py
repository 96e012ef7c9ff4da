"""Data sets to train on: as NumPy arrays (`load`) or as a stream in constant memory (`stream`)."""

from aezoo.datasets.labels import without_labels
from aezoo.datasets.loading import load, stream

__all__ = ["load", "stream", "without_labels"]
