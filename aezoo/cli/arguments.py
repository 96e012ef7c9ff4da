"""Constructor arguments as command-line options, and parsers of option values."""

from __future__ import annotations

import argparse
import collections.abc
import dataclasses
import inspect
import types
import typing
from collections.abc import Collection
from typing import Any

import keras

from aezoo import _docstrings, schedules
from aezoo.cli.values import Reader, number, tuple_of

_REQUIRED = inspect.Parameter.empty


# === Constructor arguments ===


@dataclasses.dataclass(frozen=True)
class Argument:
    """A constructor argument as an option.

    Attributes:
        name: The name of the argument.
        parse: Function that parses the text of the option; `bool` for a switch.
        metavar: Placeholder for a value in --help.
        help: Description of the argument in the docstring of the class.
        value: Default of the argument; `inspect.Parameter.empty` if it has none.
    """

    name: str
    parse: Reader
    metavar: str
    help: str
    value: Any

    def add_to(self, options: argparse.ArgumentParser | argparse._ArgumentGroup, chosen: bool) -> None:
        """Add the option to a parser.

        Args:
            options: The parser, or a group of its options.
            chosen: Whether the command chooses a value if the user gives none.
        """
        required = self.value is _REQUIRED and not chosen
        default = "chosen for the data and the other options" if chosen else _written(self.value)
        kind: dict[str, Any] = {"type": self.parse, "metavar": self.metavar}
        if self.parse is bool:
            kind = {"action": argparse.BooleanOptionalAction}
        # Only values that the user gives are passed on, so that defaults have one place, the constructor.
        options.add_argument(
            f"--{self.name.replace('_', '-')}",
            dest=self.name,
            default=argparse.SUPPRESS,
            required=required,
            help=f"{self.help} ({'required' if required else f'default: {default}'})".strip().replace("%", "%%"),
            **kind,
        )


def of_class(cls: type[keras.Model], without: Collection[str] = ()) -> list[Argument]:
    """Return the constructor arguments of a model that can be written on a command line.

    Args:
        cls: The class, a subclass of `aezoo.Autoencoder`.
        without: Names of arguments to leave out.

    Returns:
        The arguments of the class, before those that it inherits.

    Raises:
        ValueError: If an argument has no default and cannot be written on a command line.
    """
    found = []
    for name, parameter in inspect.signature(cls).parameters.items():
        if name in without or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        reader = _reader(name, _hint(cls, parameter))
        if reader is not None:
            found.append(Argument(name, *reader, _help(cls, name), parameter.default))
        elif parameter.default is _REQUIRED:
            raise ValueError(
                f"{cls.__name__}({name}) has no default and its type cannot be written on a command line: give it a "
                "default, or set it in a subclass."
            )
    return found


def _help(cls: type[keras.Model], name: str) -> str:
    """Return the description of an argument in the docstring of the class, or else of a base class."""
    bases = (base for base in _bases(cls) if base.__doc__)
    return next((text for base in bases if (text := _docstrings.arguments(base).get(name))), "")


def _bases(cls: type[keras.Model]) -> tuple[type, ...]:
    """Return the class and its bases, up to Keras' own."""
    return cls.__mro__[: cls.__mro__.index(keras.Model)]


def _hint(cls: type[keras.Model], parameter: inspect.Parameter) -> Any:
    """Return the type of an argument: its annotation in the class or a base class, or else the type of its default."""
    for base in _bases(cls):
        try:
            hint = typing.get_type_hints(vars(base).get("__init__")).get(parameter.name, Any)
        except Exception:  # a name that is imported for type checkers only
            continue
        if hint is not Any:
            return hint
    default = parameter.default
    if default is None or default is _REQUIRED:
        return Any
    if isinstance(default, tuple) and default:
        return types.GenericAlias(tuple, (type(default[0]), ...))
    return type(default)


def _written(default: object) -> str:
    """Return a default as it is written on the command line."""
    if isinstance(default, tuple):
        return ",".join(map(str, default)) or "none"
    return "none" if default is None else str(default)


def _reader(name: str, hint: Any) -> tuple[Reader, str] | None:
    """Return the parser of an option for an argument of this name and type, and its placeholder in --help."""
    kinds = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    if schedules.Schedule in kinds:
        return schedule, "SCHEDULE"
    kind = next(kind for kind in kinds if kind is not type(None))
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is bool:
        return bool, ""
    if origin is typing.Literal:
        return _one_of(inner), "|".join(map(str, inner))
    if origin is tuple and inner and Ellipsis not in inner and set(inner) <= {int, float}:
        return tuple_of(number(inner[0]), len(inner)), ",".join("N" * len(inner))
    if kind in (tuple, list) or origin in (tuple, list, collections.abc.Sequence):
        of = inner[0] if inner else int
        return (tuple_of(number(of)), "N,N,...") if of in (int, float) else None
    if kind in (int, float):
        return number(kind), "N"
    if name.endswith("activation"):
        return _activation, "NAME"
    if kind is Any:
        return _number_or_text, "VALUE"
    return (str, "NAME") if kind is str else None


# === Parsers of values ===


def schedule(text: str) -> float | schedules.Schedule:
    """Parse a number, or START:END:EPOCHS as a linear schedule."""
    try:
        start, *rest = text.split(":")
        if not rest:
            return _plain_number(start)
        end, epochs = rest
        return schedules.Linear(_plain_number(start), _plain_number(end), number(int)(epochs))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a number or START:END:EPOCHS with EPOCHS >= 1, not {text!r}"
        ) from None


def _plain_number(text: str) -> int | float:
    try:
        int(text)
    except ValueError:
        return number(float)(text)
    return number(int)(text)


def _number_or_text(text: str) -> float | str:
    try:
        return _plain_number(text)
    except ValueError:
        return text


def _one_of(values: tuple[Any, ...]) -> Reader:
    def one_of(text: str) -> object:
        for value in values:
            if text == str(value):
                return value
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(map(str, values))}, not {text!r}")

    return one_of


def _activation(text: str) -> str:
    try:
        keras.activations.get(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"Keras has no activation {text!r}") from None
    return text
