"""Figures of sketches made of pen strokes."""

import math
from collections.abc import Sequence
from typing import Any

import matplotlib.figure
import numpy as np

from aezoo import _validation
from aezoo._typing import ArrayLike
from aezoo.plots import style


def sketches(
    x: np.ndarray | Sequence[ArrayLike], columns: int = 10, row_labels: Sequence[str] | None = None
) -> matplotlib.figure.Figure:
    """Draw sketches, each as large as its tile allows.

    Args:
        x: Sketches in stroke-5, (n, steps, 5), or a list of sketches in stroke-3, (points, 3); or a single sketch of
            either format.
        columns: Maximum number of sketches per row, at least 1.
        row_labels: Labels beside the rows, one per row. None writes no labels.

    Returns:
        The figure, with one axes.

    Raises:
        ValueError: If there is no sketch, `row_labels` does not have one label per row, or `columns` is below 1.

    Example:
        >>> import aezoo
        >>> figure = sketches(aezoo.sketches.shapes(8), columns=4)
    """
    from aezoo.sketches import to_lines

    _validation.check_int("columns", columns, 1)
    each: Sequence[Any] | np.ndarray = [x] if getattr(x, "ndim", 0) == 2 else x
    rows = math.ceil(len(each) / columns)
    if not rows:
        raise ValueError("There are no sketches to draw: pass at least one.")
    columns = min(columns, len(each))
    if row_labels is not None and len(row_labels) != rows:
        raise ValueError(f"There are {rows} rows of sketches and {len(row_labels)} labels: give one per row.")
    lines = []
    for i, sketch in enumerate(each):
        drawn = to_lines(sketch)
        points = np.concatenate(drawn) if drawn else np.zeros((1, 2))
        middle, span = (points.min(axis=0) + points.max(axis=0)) / 2, np.ptp(points, axis=0).max()
        tile = np.array([i % columns + 0.5, i // columns + 0.5])
        lines += [(line - middle) * (0.86 / (span or 1)) + tile for line in drawn]
    left = style.room_for(row_labels)
    side = min(style.LARGEST_TILE, (style.WIDTH - left - style.MARGIN) / columns)
    width, height = left + side * columns + style.MARGIN, side * rows + 2 * style.MARGIN
    figure = style.figure(width, height)
    ax = figure.add_axes((left / width, style.MARGIN / height, side * columns / width, side * rows / height))
    for line in lines:
        marker = "." if len(line) == 1 else None
        ax.plot(*line.T, color=style.TEXT, linewidth=1.1, solid_capstyle="round", marker=marker)
    ax.set(xlim=(0, columns), ylim=(rows, 0))
    style.without_axes(ax, row_labels, np.arange(rows) + 0.5)
    return figure
