"""Preprocessing that is saved with a model: from raw data, such as the rows of a table, to its samples and back."""

from aezoo.preprocessing.base import Preprocessing
from aezoo.preprocessing.images import ImagePreprocessing
from aezoo.preprocessing.series import SeriesPreprocessing
from aezoo.preprocessing.table import TablePreprocessing
from aezoo.preprocessing.text import TextPreprocessing

__all__ = [
    "ImagePreprocessing",
    "Preprocessing",
    "SeriesPreprocessing",
    "TablePreprocessing",
    "TextPreprocessing",
]
