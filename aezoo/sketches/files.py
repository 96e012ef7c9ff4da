"""Files of sketches: stroke-3 in .npz, as sketch-rnn has them, and QuickDraw's .ndjson."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Sequence

import numpy as np

from aezoo import _untrusted
from aezoo.sketches import formats, npy

#: What a file with sketches may unpack to, however small it is, and the longest line of a drawing.
_LEAST, _LINE = 2**20, 2**24


def read_npz(path: str | os.PathLike[str]) -> dict[str, list[np.ndarray]]:
    """Reads sketches in stroke-3 from the .npz files of sketch-rnn, QuickDraw's included.

    Those are pickles, which can run any code where `numpy.load` is allowed to read them. Here nothing but arrays
    of numbers is read, by a reader of our own that takes files from anyone.

    Args:
        path: A file with arrays of objects, each object an array (points, 3); sketches of equal length may also be one
            array (sketches, points, 3). It may unpack to 20 times its size, or to 1 MiB.

    Returns:
        By the name of the split ("train", "valid", "test"): arrays (points, 3) float32.

    Raises:
        ValueError: If it is no such file; the message says which entry is wrong.

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
    """Reads drawings of QuickDraw, raw or simplified, one JSON object a line.

    Args:
        path: A text file.
        limit: Reads so many drawings and no more.
        recognized: Whether to take only those that the game recognised.

    Returns:
        Stroke-3, (points, 3) float32 each.

    Raises:
        ValueError: If a line is no drawing; the message says which.

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
                    f"{os.fspath(path)}, line {number} is no drawing of QuickDraw: {_untrusted.printable(reason)}."
                ) from None
    return sketches


def _line(stroke: Sequence[Sequence[float]]) -> np.ndarray:
    """Points (n, 2) of a stroke [[x, x, ...], [y, y, ...], times or nothing]."""
    x, y = stroke[0], stroke[1]
    if len(x) != len(y):
        raise ValueError(f"a stroke has {len(x)} numbers x and {len(y)} numbers y")
    points = np.array([x, y])
    if points.dtype.kind not in "iuf":
        raise ValueError("a stroke has what is no number, or too large a one")
    return points.T.astype("float64")
