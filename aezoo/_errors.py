"""Parts of messages, and messages of checks that fail inside a pipeline of TensorFlow or a thread of Keras."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import tensorflow as tf

OPEN, CLOSE = "<<aezoo: ", ">>"
"""Marks around the message of a check, since TensorFlow and Keras wrap it in a message of their own."""


def listed(names: Iterable[str], most: int = 5) -> str:
    """Return names as a list that stays short.

    Args:
        names: The names.
        most: Number of names that are written out; the others are counted.
    """
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, without its full stop; or the error's name if it has no message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")


@contextmanager
def naming(path: object) -> Iterator[None]:
    """Put the path of a file in front of the message of a check.

    Args:
        path: The path; None leaves the message as it is.
    """
    try:
        yield
    except ValueError as error:
        if path is None:
            raise
        raise ValueError(f"{path}: {error}") from None


@contextmanager
def marked() -> Iterator[None]:
    """Mark the message of a check, so that `readable_errors` finds it in the error of Keras or TensorFlow."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{OPEN}{error}{CLOSE}") from error


@contextmanager
def readable_errors() -> Iterator[None]:
    """Replace the error of a pipeline by a ValueError with the marked message of a check."""
    try:
        yield
    except (tf.errors.OpError, ValueError) as error:
        found = re.search(f"{OPEN}(.*?){CLOSE}", getattr(error, "message", str(error)))
        if not found:
            raise
        raise ValueError(found.group(1).replace("\\'", "'")) from None  # TensorFlow escapes quotes
