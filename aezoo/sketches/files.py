"""Files of sketches: stroke-3 in .npz, as sketch-rnn has them, and QuickDraw's .ndjson."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from typing import Any

import numpy as np

from aezoo.sketches import formats


class _ArraysOnly(pickle.Unpickler):
    """Reads pickled NumPy arrays, and refuses whatever else a pickle may name, which could be any code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.empty(0).__reduce__()[0]
        if (module, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no array of sketches needs")


def read_npz(path: str | os.PathLike) -> dict[str, list[np.ndarray]]:
    """Reads sketches in stroke-3 from the .npz files of sketch-rnn, QuickDraw's included.

    Those are pickles, which can run any code where `numpy.load(allow_pickle=True)` reads them; here nothing but arrays
    is read.

    Args:
        path: A file with arrays of objects, each object an array (points, 3).

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
    try:
        with zipfile.ZipFile(path) as archive:
            return {
                name.removesuffix(".npy"): _read_split(path, archive, name)
                for name in archive.namelist()
                if name.endswith(".npy")
            }
    except zipfile.BadZipFile as error:
        raise ValueError(f"{os.fspath(path)} is no .npz file, or damaged: {error}.") from None


def _read_split(path: Any, archive: zipfile.ZipFile, name: str) -> list[np.ndarray]:
    where = f"{os.fspath(path)}, {name}"
    with archive.open(name) as file:
        try:
            version = np.lib.format.read_magic(file)
            read_header = (
                np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read_header(file)
            if not dtype.hasobject or len(shape) != 1:
                raise ValueError(f"expected a row of sketches, but it holds {dtype} of shape {shape}")
            array = _ArraysOnly(file, encoding="latin1").load()
        except (ValueError, pickle.UnpicklingError, EOFError, IndexError, KeyError, AttributeError, TypeError) as error:
            raise ValueError(f"{where}: {error or 'it ends too early'}.") from None
    sketches = []
    for i, sketch in enumerate(np.asarray(array).ravel()):
        sketch = np.asarray(sketch)
        if sketch.ndim != 2 or sketch.shape[1] != 3 or not len(sketch) or sketch.dtype.kind not in "iuf":
            raise ValueError(f"{where}: sketch {i} has shape {sketch.shape}, not stroke-3, (points, 3).")
        sketch = sketch.astype("float32")
        if not np.isfinite(sketch).all() or not np.isin(sketch[:, 2], (0, 1)).all():
            raise ValueError(f"{where}: sketch {i} has numbers that are not finite, or pen states other than 0 and 1.")
        sketches.append(sketch)
    return sketches


def read_ndjson(path: str | os.PathLike, limit: int | None = None, recognized: bool = False) -> list[np.ndarray]:
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
    with open(path, encoding="utf-8") as file:
        for number, text in enumerate(file, start=1):
            if limit is not None and len(sketches) >= limit:
                break
            if not text.strip():
                continue
            try:
                drawing = json.loads(text)
                if recognized and not drawing.get("recognized", True):
                    continue
                lines = [_line(stroke) for stroke in drawing["drawing"]]
                sketches.append(formats.from_lines(lines))
            except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
                reason = f"no {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
                raise ValueError(f"{os.fspath(path)}, line {number} is no drawing of QuickDraw: {reason}.") from None
    return sketches


def _line(stroke: Any) -> np.ndarray:
    """Points (n, 2) of a stroke [[x, x, ...], [y, y, ...], times or nothing]."""
    x, y = stroke[0], stroke[1]
    if len(x) != len(y):
        raise ValueError(f"a stroke has {len(x)} numbers x and {len(y)} numbers y")
    points = np.stack([x, y], axis=1).astype("float64")
    if not np.isfinite(points).all():
        raise ValueError("a stroke has numbers that are not finite")
    return points
