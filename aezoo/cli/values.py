"""Parsers of values on the command line, which do not import TensorFlow."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

Reader = Callable[[str], Any]
_LARGEST = 2**32  # limit of whole numbers, within what TensorFlow can count to


def number(kind: type) -> Reader:
    """Return a parser of an `int` or a `float`."""

    def number(text: str) -> float:
        value = kind(text)
        if not (abs(value) < _LARGEST if kind is int else math.isfinite(value)):
            raise ValueError
        return value

    number.__name__ = {int: "whole number", float: "number"}[kind]  # argparse: "invalid whole number value: 'x'"
    return number


def _bounded(kind: type, allowed: Callable[[Any], bool], wanted: str) -> Reader:
    def bounded(text: str) -> float:
        value = number(kind)(text)
        if not allowed(value):
            raise ValueError
        return value

    bounded.__name__ = wanted
    return bounded


positive_int = _bounded(int, lambda value: value >= 1, "positive whole number")
natural_int = _bounded(int, lambda value: value >= 0, "seed")
positive_float = _bounded(float, lambda value: value > 0, "positive number")


def tuple_of(parse: Reader, length: int | None = None) -> Reader:
    """Return a parser of values that are separated by commas.

    Args:
        parse: Parser of one value.
        length: Number of values; None accepts any.
    """

    def numbers(text: str) -> tuple[Any, ...]:
        values = tuple(parse(part) for part in text.split(",")) if text.strip() else ()
        if length not in (None, len(values)):
            raise argparse.ArgumentTypeError(f"expected {length} numbers separated by commas, not {text!r}")
        return values

    numbers.__name__ = "list of numbers"
    return numbers
