"""Files of sketches: stroke-3 in .npz, as used by Sketch-RNN, and QuickDraw's .ndjson."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Sequence

import numpy as np

from aezoo import _untrusted
from aezoo.sketches import formats, npy

#: Size in bytes that any file may unpack to, and the maximum length of a line of a drawing.
_LEAST, _LINE = 2**20, 2**24


def read_npz(path: str | os.PathLike[str]) -> dict[str, list[np.ndarray]]:
    """Read sketches in stroke-3 from .npz files in the format of Sketch-RNN, which includes QuickDraw's.

    These files contain pickles, which can run arbitrary code when `numpy.load` reads them. This reader accepts only
    arrays of numbers and is safe for untrusted files.

    Args:
        path: A file with arrays of objects, each object an array (points, 3); sketches of equal length may also be one
            array (sketches, points, 3). It may unpack to at most 20 times its size, or to 1 MiB.

    Returns:
        A dict from the split ("train", "valid", "test") to a list of arrays, (points, 3) float32.

    Raises:
        ValueError: If the file has another format; the message names the invalid entry.

    Example:
        >>> import tempfile
        >>> sketches = np.empty(1, dtype=object)
        >>> sketches[0] = np.array([[2, 0, 0], [0, 3, 1]], "int16")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/lines.npz", train=sketches)
        ...     read_npz(f"{folder}/lines.npz")["train"][0].tolist()
        [[2.0, 0.0, 0.0], [0.0, 3.0, 1.0]]
    """
    return {
        name.removesuffix(".npy"): _read_split(f"{os.fspath(path)}, {name}", data)
        for name, data in _untrusted.members(path, ".npz", _LEAST)
        if name.endswith(".npy")
    }


def _read_split(where: str, data: bytes) -> list[np.ndarray]:
    try:
        arrays = npy.read(data)
    except ValueError as error:
        raise ValueError(f"{where}: {error}.") from None
    sketches = []
    for i, sketch in enumerate(arrays):
        if sketch.ndim != 2 or sketch.shape[1] != 3 or not len(sketch):
            raise ValueError(f"{where}: sketch {i} has shape {sketch.shape}, not stroke-3, (points, 3).")
        with np.errstate(over="ignore"):
            sketch = sketch.astype("float32")
        if not np.isfinite(sketch).all() or not np.isin(sketch[:, 2], (0, 1)).all():
            raise ValueError(f"{where}: sketch {i} has numbers that are not finite, or pen states other than 0 and 1.")
        sketches.append(sketch)
    return sketches


def read_ndjson(path: str | os.PathLike[str], limit: int | None = None, recognized: bool = False) -> list[np.ndarray]:
    """Read QuickDraw drawings, raw or simplified, one JSON object per line.

    Args:
        path: A text file.
        limit: Maximum number of drawings; None reads all.
        recognized: Whether to skip drawings that the game did not recognize.

    Returns:
        A list of sketches in stroke-3, (points, 3) float32 each.

    Raises:
        ValueError: If a line is not a drawing; the message gives its number.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile("w", suffix=".ndjson") as file:
        ...     print('{"word": "line", "drawing": [[[0, 2], [0, 3]]]}', file=file, flush=True)
        ...     read_ndjson(file.name)[0].tolist()
        [[0.0, 0.0, 0.0], [2.0, 3.0, 1.0]]
    """
    sketches: list[np.ndarray] = []
    with open(path, "rb") as file:
        for number in itertools.count(1):
            text = file.readline(_LINE + 1)
            if not text or (limit is not None and len(sketches) >= limit):
                break
            try:
                if len(text) > _LINE:
                    raise ValueError(f"it has more than {_LINE:,} bytes")
                if not text.strip():
                    continue
                drawing = json.loads(text)
                if recognized and not drawing.get("recognized", True):
                    continue
                lines = [_line(stroke) for stroke in drawing["drawing"]]
                sketches.append(formats.from_lines(lines))
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError, MemoryError) as error:
                reason = f"no {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
                raise ValueError(
                    f"{os.fspath(path)}, line {number} is not a QuickDraw drawing: {_untrusted.printable(reason)}."
                ) from None
    return sketches


def _line(stroke: Sequence[Sequence[float]]) -> np.ndarray:
    """Return the points, (n, 2), of a stroke [[x, x, ...], [y, y, ...], optional times]."""
    x, y = stroke[0], stroke[1]
    if len(x) != len(y):
        raise ValueError(f"a stroke has {len(x)} numbers x and {len(y)} numbers y")
    points = np.array([x, y])
    if points.dtype.kind not in "iuf":
        raise ValueError("a stroke has a value that is not a number, or too large")
    return points.T.astype("float64")
