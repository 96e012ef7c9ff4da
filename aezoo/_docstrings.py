"""What a docstring says, in parts: the command line and the model cards repeat none of it."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from pathlib import Path


def of_source(name: str) -> str:
    """Return the docstring of a class that `aezoo` offers, from its source: nothing is imported."""
    package = Path(__file__).parent
    for node in ast.parse((package / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module and name in {alias.name for alias in node.names}:
            path = package.joinpath(*node.module.split(".")[1:]).with_suffix(".py")
            tree = ast.parse(path.read_text(encoding="utf-8"))
            (cls,) = (each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == name)
            return ast.get_docstring(cls) or ""
    raise ValueError(f"aezoo has no class {name!r}.")


def _text(cls: type | str) -> str:
    return cls if isinstance(cls, str) else inspect.getdoc(cls) or ""


def summary(cls: type | str) -> str:
    """Returns the first line of a docstring."""
    return _text(cls).partition("\n")[0].rstrip(".")


def section(cls: type | str, title: str) -> str:
    """Returns a section of a docstring, such as "Args"; "" if it has none."""
    found = re.search(rf"^{title}:\n((?:    .*\n|\n)+)", _text(cls) + "\n", re.MULTILINE)
    return textwrap.dedent(found.group(1)).strip() if found else ""


def arguments(cls: type) -> dict[str, str]:
    """Returns what the section Args says of each argument, in one line."""
    entries = re.findall(r"^(\w+): (.*(?:\n[ ]+.*)*)", section(cls, "Args"), re.MULTILINE)
    return {name: " ".join(text.split()).rstrip(".") for name, text in entries}


def reference(cls: type | str) -> str:
    """Returns the paper of a model, in one line; "" if it has none."""
    return " ".join(section(cls, "Reference").split()).rstrip(".")
