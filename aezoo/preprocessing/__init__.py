"""Preprocessing that a model takes along: from raw data, such as the rows of a table, to its samples and back."""

from aezoo.preprocessing.base import Preprocessing

__all__ = ["Preprocessing"]
