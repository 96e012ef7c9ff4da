"""Data sets to train on: known ones as arrays (`load`) or as a stream (`stream`), and your own (`from_table`)."""

from aezoo.datasets.bundled import emoji_factors
from aezoo.datasets.labels import without_labels
from aezoo.datasets.loading import load, stream
from aezoo.datasets.prepared import Prepared
from aezoo.datasets.tables import from_table

__all__ = ["Prepared", "emoji_factors", "from_table", "load", "stream", "without_labels"]
