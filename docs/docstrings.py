"""What the reference makes of a docstring: a section of its example, and links of the names of aezoo in it."""

import re

import griffe

# A code span that is a dotted name: `aezoo.losses.SquaredError`, or `SparseAE`, which is looked for in aezoo.
_NAME = re.compile(r"(?<!`)`((?:aezoo\.)?[A-Za-z]\w*(?:\.\w+)*)`(?!`)")


class Docstrings(griffe.Extension):
    """Changes the docstrings that mkdocstrings is about to show."""

    def on_object(self, *, obj, loader, **kwargs):
        """Called for every object of the package."""
        if obj.docstring is None:
            return
        package = loader.modules_collection["aezoo"]

        def link(match):
            name = match[1] if match[1].startswith("aezoo.") else f"aezoo.{match[1]}"
            public = name != obj.path and name.split(".")[1][:1].isupper() and name.split(".")[1] in package.members
            return f"[`{match[1]}`][{name}]" if public or match[1].startswith("aezoo.") else match[0]

        lines = obj.docstring.value.split("\n")
        lines = [line if line.lstrip().startswith((">>>", "...")) else _NAME.sub(link, line) for line in lines]
        # Griffe knows sections of examples, and would take one of them for Markdown.
        obj.docstring.value = re.sub(r"^Example:$", "Examples:", "\n".join(lines), flags=re.MULTILINE)
