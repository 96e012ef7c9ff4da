"""Reading files that anyone may have written: limits before work, and one `ValueError` that names the file."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

_JSON = 2**22
_RATIO = 20


def printable(text: object, length: int = 200) -> str:
    r"""Return a text on one line, cut to a length, with its control characters escaped.

    Args:
        text: What a file says.
        length: The most characters.

    Example:
        >>> printable("a title\x1b[2J")
        'a title\\x1b[2J'
    """
    words = " ".join(str(text).split())
    words = words if len(words) <= length else f"{words[: length - 3]}..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)


def parse_json(data: bytes, where: object) -> Any:
    """Parse JSON of at most 4 MiB.

    Args:
        data: UTF-8.
        where: The file, as an error names it.

    Raises:
        ValueError: If it is longer, no JSON, or nested too deeply.

    Example:
        >>> parse_json(b'{"a": 1}', "a.json")
        {'a': 1}
    """
    if len(data) > _JSON:
        raise ValueError(f"{where} is damaged: it has more than {_JSON:,} bytes.")
    try:
        return json.loads(data)
    except (ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{where} is damaged: {printable(error)}.") from None


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a file of JSON of at most 4 MiB.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is longer, no JSON, or nested too deeply.
    """
    with Path(path).open("rb") as file:
        return parse_json(file.read(_JSON + 1), path)


def members(
    path: str | os.PathLike[str], kind: str, least: int, names: Collection[str] | None = None
) -> Iterator[tuple[str, bytes]]:
    """Read the members of a zip file one by one, once it is known that all of them together are not too large.

    Args:
        path: The file.
        kind: What it should be, as an error says it: ".npz".
        least: So many bytes are allowed whatever the size of the file; beyond, 20 times its size.
        names: Read these and no others; None reads all.

    Yields:
        Names and contents.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no zip file, damaged or too large.
    """
    with open(path, "rb") as file:
        try:
            limit = max(least, _RATIO * os.fstat(file.fileno()).st_size)
            with zipfile.ZipFile(file) as archive:
                if sum(member.file_size for member in archive.infolist()) > limit:
                    raise ValueError(f"it unpacks to more than {limit:,} bytes")
                for member in archive.infolist():
                    if names is not None and member.filename not in names:
                        continue
                    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                        raise ValueError("it is compressed by another method than deflate")
                    yield member.filename, archive.read(member)
        except Exception as error:  # zipfile and zlib have many of their own
            reason = printable(error) or type(error).__name__
            raise ValueError(f"{os.fspath(path)} is no {kind} file, or damaged: {reason.rstrip('.')}.") from None
