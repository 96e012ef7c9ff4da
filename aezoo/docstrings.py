"""What a docstring says, in parts: the command line and the model cards repeat none of it."""

from __future__ import annotations

import inspect
import re
import textwrap


def summary(cls: type) -> str:
    """Returns the first line of a docstring."""
    return inspect.getdoc(cls).partition("\n")[0].rstrip(".")


def section(cls: type, title: str) -> str:
    """Returns a section of a docstring, such as "Args"; "" if it has none."""
    found = re.search(rf"^{title}:\n((?:    .*\n|\n)+)", inspect.getdoc(cls) + "\n", re.MULTILINE)
    return textwrap.dedent(found.group(1)).strip() if found else ""


def arguments(cls: type) -> dict[str, str]:
    """Returns what the section Args says of each argument, in one line."""
    entries = re.findall(r"^(\w+): (.*(?:\n[ ]+.*)*)", section(cls, "Args"), re.MULTILINE)
    return {name: " ".join(text.split()).rstrip(".") for name, text in entries}


def reference(cls: type) -> str:
    """Returns the paper of a model, in one line; "" if it has none."""
    return " ".join(section(cls, "Reference").split()).rstrip(".")
