"""Readers of untrusted files: they check limits before the work, and raise one `ValueError` that names the file."""

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
    r"""Return a text on one line, cut to a length, with control characters escaped.

    Args:
        text: An object whose text is untrusted.
        length: The most characters.

    Example:
        >>> printable("a title\x1b[2J")
        'a title\\x1b[2J'
    """
    words = " ".join(str(text).split())
    words = words if len(words) <= length else f"{words[: length - 3]}..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)


def parse_json(data: bytes, where: object, limit: int = _JSON) -> Any:
    """Parse JSON of at most 4 MiB.

    Args:
        data: Text in UTF-8.
        where: Name of the file, for error messages.
        limit: The most bytes, if not 4 MiB.

    Raises:
        ValueError: If the data are longer, not JSON, or nested too deeply.

    Example:
        >>> parse_json(b'{"a": 1}', "a.json")
        {'a': 1}
    """
    if len(data) > limit:
        raise ValueError(f"{where} is damaged: it has more than {limit:,} bytes.")
    try:
        return json.loads(data)
    except (ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{where} is damaged: {printable(error)}.") from None


def read_json(path: str | os.PathLike[str], limit: int = _JSON) -> Any:
    """Read a JSON file of at most 4 MiB.

    Args:
        path: The file.
        limit: The most bytes, if not 4 MiB.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is longer, not JSON, or nested too deeply.
    """
    with Path(path).open("rb") as file:
        return parse_json(file.read(limit + 1), path, limit)


def members(
    path: str | os.PathLike[str], kind: str, least: int, names: Collection[str] | None = None
) -> Iterator[tuple[str, bytes]]:
    """Read the members of a zip file one by one, after checking that all of them together are not too large.

    Args:
        path: The file.
        kind: The expected kind of file, for error messages, such as ".npz".
        least: Bytes that any file may unpack to; larger files may unpack to 20 times their size.
        names: Names of the members to read; None reads all.

    Yields:
        Name and content of a member.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a zip file, damaged, or unpacks to too many bytes.
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
        except Exception as error:  # zipfile and zlib raise many kinds
            reason = printable(error) or type(error).__name__
            raise ValueError(f"{os.fspath(path)} is damaged, or not a {kind} file: {reason.rstrip('.')}.") from None
