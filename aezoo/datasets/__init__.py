"""Data sets to train on: as NumPy arrays (`load`) or as a stream in constant memory (`stream`)."""

from aezoo.datasets.loading import load, stream

__all__ = ["load", "stream"]
