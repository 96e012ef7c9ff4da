"""Messages of checks that fail inside a pipeline of TensorFlow or a thread of Keras, which wrap them in their own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

OPEN, CLOSE = "<<aezoo: ", ">>"
"""Marks around the message of a check."""


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
