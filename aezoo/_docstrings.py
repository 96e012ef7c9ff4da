"""Readers of signatures and docstrings, so that command line, model cards and `help` need no text of their own."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from pathlib import Path
from typing import Any


def of_source(name: str) -> str:
    """Return the docstring of a public class of `aezoo` from its source, without importing it."""
    package = Path(__file__).parent
    for node in ast.parse((package / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module and name in {alias.name for alias in node.names}:
            path = package.joinpath(*node.module.split(".")[1:]).with_suffix(".py")
            tree = ast.parse(path.read_text(encoding="utf-8"))
            (cls,) = (each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == name)
            return ast.get_docstring(cls) or ""
    raise ValueError(f"aezoo has no class {name!r}.")


def _text(cls: type | str) -> str:
    return inspect.cleandoc(cls) if isinstance(cls, str) else inspect.getdoc(cls) or ""


def summary(cls: type | str) -> str:
    """Return the first line of a docstring."""
    return _text(cls).partition("\n")[0].rstrip(".")


def section(cls: type | str, title: str) -> str:
    """Return a section of a docstring, such as "Args"; "" if there is none."""
    found = _section(_text(cls), title)
    return textwrap.dedent(found.group(1)).strip() if found else ""


def _section(text: str, title: str) -> re.Match[str] | None:
    return re.search(rf"^{title}:\n((?:    .*(?:\n|\Z)|\n(?=    ))+)", text, re.MULTILINE)


def arguments(cls: type) -> dict[str, str]:
    """Return the descriptions in the section Args by argument, each on one line."""
    entries = re.findall(r"^(\w+): (.*(?:\n[ ]+.*)*)", section(cls, "Args"), re.MULTILINE)
    return {name: " ".join(text.split()).rstrip(".") for name, text in entries}


def reference(cls: type | str) -> str:
    """Return the paper of a model on one line; "" if there is none."""
    return " ".join(section(cls, "Reference").split()).rstrip(".")


# === Signatures and docstrings with inherited arguments ===


class FullSignature:
    """Signature of a class that includes the inherited arguments, which its `**kwargs` passes to its bases.

    `help`, `inspect.signature` and notebooks show it. It is a descriptor: `__signature__ = FullSignature()` in a base
    class serves every subclass. The signature of an instance remains the signature of its `__call__`. Inherited
    arguments that a class lists in `fixed_arguments` are left out.

    Example:
        >>> class Base:
        ...     __signature__ = FullSignature()
        ...     fixed_arguments = ()
        ...     def __init__(self, units, *, rate=0.1): ...
        >>> class Child(Base):
        ...     def __init__(self, units, *, weight=1.0, **kwargs): ...
        >>> inspect.signature(Child)
        <Signature (units, *, weight=1.0, rate=0.1)>
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.owner = owner

    def __get__(self, instance: object, cls: type) -> inspect.Signature:
        if instance is not None:
            raise AttributeError("__signature__")
        return inspect.Signature(_parameters(cls, self.owner))


def _parameters(cls: Any, owner: type) -> list[inspect.Parameter]:
    """Return the parameters of a constructor and of the constructors behind its `**kwargs`, up to the owner."""
    found: dict[str, inspect.Parameter] = {}
    positional = True  # whether the next class accepts positional arguments
    for base in _with_constructor(cls, owner):
        _, *own = inspect.signature(vars(base)["__init__"]).parameters.values()
        kinds = {parameter.kind for parameter in own}
        for parameter in own:
            if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) or parameter.name in found:
                continue
            if base is not cls and parameter.name in cls.fixed_arguments:  # a class takes all that its own names
                continue
            found[parameter.name] = parameter if positional else parameter.replace(kind=parameter.KEYWORD_ONLY)
        positional = positional and inspect.Parameter.VAR_POSITIONAL in kinds
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            return _sorted(found)
    return _sorted({**found, **{p.name: p for p in own if p.kind is p.VAR_KEYWORD}})


def _with_constructor(cls: type, owner: type) -> list[type]:
    return [base for base in cls.__mro__ if "__init__" in vars(base) and issubclass(base, owner)]


def _sorted(found: dict[str, inspect.Parameter]) -> list[inspect.Parameter]:
    return sorted(found.values(), key=lambda parameter: parameter.kind)


def describe_inherited_arguments(cls: type) -> None:
    """Replace `**kwargs` in the section Args of a docstring by the descriptions of inherited arguments.

    Args:
        cls: A class with a `FullSignature`. A docstring without a section Args is unchanged.
    """
    text = inspect.cleandoc(vars(cls).get("__doc__") or "")
    found = _section(text, "Args")
    if not found:
        return
    own = _entries(cls)
    own.pop("kwargs", None)  # replaced by the inherited arguments
    described = own
    for base in cls.__mro__[1:]:
        described = {**_entries(base), **described}
    names = {**inspect.signature(cls).parameters, **own}
    lines = "\n".join(described[name] for name in names if name in described)
    cls.__doc__ = f"{text[: found.start(1)]}{textwrap.indent(lines, '    ')}\n{text[found.end(1) :]}"


def _entries(cls: type) -> dict[str, str]:
    """Return the entries of the section Args of a docstring by name, unchanged."""
    arguments = section(vars(cls).get("__doc__") or "", "Args")
    found = re.finditer(r"^\*{0,2}(\w+): .*(?:\n[ ]+.*)*", arguments, re.MULTILINE)
    return {match[1]: match[0] for match in found}
