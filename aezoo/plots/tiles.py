"""Figures of pictures in tiles."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.figure
import numpy as np

from aezoo import _validation
from aezoo._typing import ArrayLike
from aezoo.plots import style


def as_pictures(x: np.ndarray) -> np.ndarray | None:
    """Return images as (n, height, width) or (n, height, width, 3); None if vectors do not fold into squares."""
    x = x.astype("float32")
    if x.ndim == 3 and x.shape[-1] == 1:
        x = x[..., 0]
    if x.ndim == 2:
        side = math.isqrt(x.shape[1])
        return x.reshape(len(x), side, side) if side * side == x.shape[1] else None
    if x.ndim == 4 and x.shape[-1] != 3:
        return x.mean(axis=-1)
    return x


def pictures(x: ArrayLike) -> np.ndarray:
    """Return samples as pictures, clipped to [0, 1]."""
    x = np.asarray(x)
    made = as_pictures(x) if x.ndim > 1 else None
    if made is None or made.ndim < 3:
        raise ValueError(f"Samples of shape {x.shape[1:]} are no pictures: expected (h, w, 1 or 3) or (h * h,).")
    return np.clip(made, 0.0, 1.0)


def tile_figure(
    panels: Mapping[str, np.ndarray],
    *,
    columns: int,
    across: int = 1,
    row_labels: Sequence[str] | None = None,
    tile: int = 1,
) -> matplotlib.figure.Figure:
    """Draw tiles so that each of their pixels, if enlarged, covers a whole number of the figure's pixels.

    Args:
        panels: Tiles with values in [0, 1], {title: (n, height, width) or (n, height, width, 3)}.
        columns: Maximum number of tiles per row of a panel.
        across: Maximum number of panels per row.
        row_labels: Labels beside the rows of a single panel.
        tile: Minimum size of a tile, in pixels. If tiles would be smaller, there are fewer panels per row and fewer
            tiles per row of a panel.

    Raises:
        ValueError: If a panel has no tiles, or `columns` is below 1.
    """
    _validation.check_int("columns", columns, 1)
    if not all(map(len, panels.values())):
        raise ValueError("There are no pictures to draw: pass at least one.")
    left = style.room_for(row_labels)
    top = 34 if any(panels) else style.MARGIN
    largest = max(size for tiles in panels.values() for size in tiles.shape[1:3])
    enlarged = math.ceil(tile / largest) if tile > largest else tile / largest
    gap = max(map(_gap, panels.values()))
    pitch = enlarged * (largest + gap)
    columns = max(1, min(columns, int((style.WIDTH - left - style.MARGIN + enlarged * gap) / pitch)))
    across = max(1, min(across, len(panels), int((style.WIDTH - left) / (columns * pitch + style.MARGIN))))
    mosaics = [_mosaic(tiles, columns) for tiles in panels.values()]
    down = math.ceil(len(mosaics) / across)
    room = (style.WIDTH - left) / across - style.MARGIN
    highest, widest = np.max([mosaic.shape[:2] for mosaic in mosaics], axis=0)
    scale = min(room / widest, max(1, style.LARGEST_TILE // largest, enlarged))
    if scale > 1:
        scale = math.floor(scale)  # otherwise some pixels and gaps would be wider than others
    # A title may be wider than its tiles.
    panel_width = round(max(widest * scale, *(style.text_width(title, 11) for title in panels)))
    panel_height = top + round(highest * scale)
    width, height = left + across * (panel_width + style.MARGIN), down * panel_height + style.MARGIN
    figure = style.figure(width, height)
    for i, (title, mosaic) in enumerate(zip(panels, mosaics, strict=True)):
        row, column = divmod(i, across)
        h, w = (round(size * scale) for size in mosaic.shape[:2])
        x = left + column * (panel_width + style.MARGIN) + (panel_width - w) // 2
        y = row * panel_height + top
        ax = figure.add_axes((x / width, 1 - (y + h) / height, w / width, h / height))
        resample = "nearest" if scale >= 1 else "antialiased"
        ax.imshow(mosaic, cmap="gray", vmin=0, vmax=1, interpolation=resample, aspect="auto")
        ax.set_title(title, fontsize=11, color=style.TEXT)
        tile = panels[title].shape[1]
        centers = (tile - 1) / 2 + (tile + _gap(panels[title])) * np.arange(len(row_labels or ()))
        style.without_axes(ax, row_labels, centers)
    return figure


def _gap(tiles: np.ndarray) -> int:
    return max(1, round(max(tiles.shape[1:3]) / 14))


def _mosaic(tiles: np.ndarray, columns: int) -> np.ndarray:
    """Return one white image with the tiles, (n, height, width) or (n, height, width, 3), in rows."""
    height, width = tiles.shape[1:3]
    gap = _gap(tiles)
    rows = math.ceil(len(tiles) / columns)
    mosaic = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap, *tiles.shape[3:]), "float32")
    for i, tile in enumerate(tiles):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        mosaic[top : top + height, left : left + width] = tile
    return mosaic
