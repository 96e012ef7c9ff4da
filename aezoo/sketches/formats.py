"""Conversions between lines, stroke-3 and stroke-5.

- Lines: a list of arrays (points, 2), each drawn without lifting the pen; y points down, as on a screen.
- Stroke-3: an array (points, 3), offsets Δx, Δy from the previous point (the first from the origin), and 1 if the pen
  is lifted after the point, else 0.
- Stroke-5: an array (steps, 5), Δx, Δy, and a one-hot pen state: the pen stays down, is lifted, or the sketch has
  ended. Steps after the end are (0, 0, 0, 0, 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from aezoo._typing import ArrayLike


def from_lines(lines: Sequence[Any]) -> np.ndarray:
    """Convert lines to stroke-3.

    Args:
        lines: Arrays (points, 2) with at least one point each.

    Returns:
        A sketch in stroke-3, (points, 3) float32.

    Raises:
        ValueError: If there are no lines, a line is not an array of points, or offsets are not finite in float32.

    Example:
        >>> from_lines([[[1, 1], [3, 1]], [[3, 2]]]).tolist()
        [[1.0, 1.0, 0.0], [2.0, 0.0, 1.0], [0.0, 1.0, 1.0]]
    """
    arrays = [np.asarray(line, "float64") for line in lines]
    if not arrays:
        raise ValueError("A sketch needs at least one line.")
    for i, line in enumerate(arrays):
        if line.ndim != 2 or line.shape[1] != 2 or not len(line):
            raise ValueError(f"Line {i} has shape {line.shape}: give each as points (n, 2), n >= 1.")
    lifted = np.concatenate([[0.0] * (len(line) - 1) + [1.0] for line in arrays])
    with np.errstate(over="ignore", invalid="ignore"):
        offsets = np.diff(np.concatenate(arrays), axis=0, prepend=np.zeros((1, 2)))
        sketch = np.concatenate([offsets, lifted[:, None]], axis=1).astype("float32")
    if not np.isfinite(sketch).all():
        raise ValueError("A sketch has points that are not finite, or too far apart for float32.")
    return sketch


def to_lines(sketch: ArrayLike) -> list[np.ndarray]:
    """Convert one sketch to lines.

    Args:
        sketch: Stroke-3, (points, 3), or stroke-5, (steps, 5).

    Returns:
        A list of arrays, (points, 2) float64.

    Raises:
        ValueError: If the sketch has another shape.

    Example:
        >>> [line.tolist() for line in to_lines([[1, 1, 0], [2, 0, 1], [0, 1, 1]])]
        [[[1.0, 1.0], [3.0, 1.0]], [[3.0, 2.0]]]
    """
    sketch = np.asarray(sketch)
    if sketch.ndim == 2 and sketch.shape[1] == 5:
        sketch = stroke3(sketch[None])[0]
    if sketch.ndim != 2 or sketch.shape[1] != 3:
        raise ValueError(f"A sketch is (points, 3) or (steps, 5), but this one has shape {sketch.shape}.")
    points = np.cumsum(sketch[:, :2], axis=0, dtype="float64")
    lines = np.split(points, np.flatnonzero(sketch[:, 2] > 0) + 1)
    return [line for line in lines if len(line)]


def stroke5(sketches: Sequence[ArrayLike], steps: int | None = None) -> np.ndarray:
    """Convert sketches in stroke-3 to one array in stroke-5.

    Args:
        sketches: Arrays (points, 3).
        steps: Nmax, at least the number of points of the longest sketch; None takes this number.

    Returns:
        One array, (n, Nmax, 5) float32.

    Raises:
        ValueError: If there are no sketches, or a sketch is not stroke-3 or has more points than `steps`.

    Example:
        >>> stroke5([[[1, 2, 1]]], steps=2).tolist()
        [[[1.0, 2.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0]]]
    """
    arrays = [np.asarray(sketch) for sketch in sketches]
    if not arrays:
        raise ValueError("There are no sketches.")
    for i, sketch in enumerate(arrays):
        if sketch.ndim != 2 or sketch.shape[1] != 3 or not len(sketch):
            raise ValueError(f"Sketch {i} has shape {sketch.shape}: stroke-3 is (points, 3), with at least one point.")
        if not np.isin(sketch[:, 2], (0, 1)).all():
            raise ValueError(
                f"Sketch {i} has pen states other than 0 and 1: give 1 where the pen is lifted after a point, else 0."
            )
        if steps is not None and len(sketch) > steps:
            raise ValueError(
                f"Sketch {i} has {len(sketch)} points, more than steps={steps}: leave it out, or remove points with "
                "aezoo.sketches.simplify."
            )
    x = np.zeros((len(arrays), steps or max(map(len, arrays)), 5), "float32")
    for row, sketch in zip(x, arrays, strict=True):
        points = len(sketch)
        row[:points, :2] = sketch[:, :2]
        row[:points, 2] = 1 - sketch[:, 2]
        row[:points, 3] = sketch[:, 2]
        row[points:, 4] = 1
    return x


def stroke3(x: ArrayLike) -> list[np.ndarray]:
    """Convert one array in stroke-5 to sketches in stroke-3.

    Args:
        x: Sketches, (n, Nmax, 5).

    Returns:
        A list with each sketch up to its end, (points, 3) float32.

    Raises:
        ValueError: If x has another shape.

    Example:
        >>> stroke3(stroke5([[[1, 2, 1]]], steps=4))[0].tolist()
        [[1.0, 2.0, 1.0]]
    """
    x = np.asarray(x, "float32")
    if x.ndim != 3 or x.shape[2] != 5:
        raise ValueError(f"Stroke-5 is (n, Nmax, 5), but this has shape {x.shape}.")
    points = np.sum(np.cumsum(x[..., 4] > 0, axis=1) == 0, axis=1)
    return [sketch[:n, [0, 1, 3]] for sketch, n in zip(x, points, strict=True)]


def offset_scale(sketches: Sequence[ArrayLike]) -> float:
    """Return the standard deviation of all offsets Δx and Δy, by which a training set should be divided.

    Args:
        sketches: Sketches in stroke-3, (points, 3) each.

    Example:
        >>> offset_scale([[[2, -2, 0], [-2, 2, 1]]])
        2.0
    """
    return float(np.std(np.concatenate([np.asarray(sketch)[:, :2].ravel() for sketch in sketches]), dtype="float64"))


def simplify(sketch: ArrayLike, tolerance: float) -> np.ndarray:
    """Remove points that are within a distance of the simplified line, by the Ramer–Douglas–Peucker algorithm.

    Args:
        sketch: Stroke-3, (points, 3).
        tolerance: The distance, in the sketch's units.

    Returns:
        A sketch with at most as many points, (points, 3) float32.

    Raises:
        ValueError: If the sketch has another shape.

    Reference:
        Douglas & Peucker, "Algorithms for the reduction of the number of points required to represent a digitized line
        or its caricature", Cartographica 10 (1973), doi:10.3138/FM57-6770-U75U-7727.

    Example:
        >>> simplify([[0, 0, 0], [1, 0, 0], [1, 0, 1]], tolerance=0.1).tolist()
        [[0.0, 0.0, 0.0], [2.0, 0.0, 1.0]]
    """
    return from_lines([_simplified(line, tolerance) for line in to_lines(sketch)])


def _simplified(line: np.ndarray, tolerance: float) -> np.ndarray:
    keep = np.zeros(len(line), bool)
    keep[[0, -1]] = True
    parts = [(0, len(line) - 1)]
    while parts:
        first, last = parts.pop()
        if last - first < 2:
            continue
        inner = line[first + 1 : last] - line[first]
        along = line[last] - line[first]
        length = np.hypot(*along)
        if length:
            nearest = np.clip(inner @ along / length**2, 0, 1)[:, None] * along
            distance = np.hypot(*(inner - nearest).T)
        else:
            distance = np.hypot(*inner.T)
        farthest = int(np.argmax(distance))
        if distance[farthest] > tolerance:
            keep[first + 1 + farthest] = True
            parts += [(first, first + 1 + farthest), (first + 1 + farthest, last)]
    return line[keep]
