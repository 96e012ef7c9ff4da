"""Look of all figures: sizes, colors, axes and legends."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.figure
from matplotlib.textpath import TextPath

from aezoo._typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 100
WIDTH = 800  # pixels: the widest figure that a README page shows unscaled
MARGIN = 12  # pixels
LARGEST_TILE = 96  # pixels: an 8 x 8 filter shows no more detail at a larger size
TEXT = "#333333"
BLUE, ORANGE, GREEN, PURPLE, GRAY, AMBER = CURVES = ("#1f6fb4", "#d1602b", "#3a9a5b", "#8a5fb0", "#9a9a9a", "#e0a030")
CLASSES = (*CURVES, "#17a3a8", "#c2417c", "#7a4a2b", "#a8b03a")


class Figure(matplotlib.figure.Figure):
    """Figure that a notebook displays even if pyplot was never imported."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def figure(width: float, height: float, **options: Any) -> Figure:
    """Return an empty figure of a size in pixels."""
    return Figure(figsize=(width / DPI, height / DPI), dpi=DPI, **options)


def panels(count: int, widths: tuple[int, ...], height: int) -> tuple[Figure, list[Any]]:
    """Return a figure of `count` panels in rows, and the axes of the panels.

    Args:
        count: Number of panels.
        widths: Widths in pixels of a figure with 1, 2, ... panels per row; there are at most len(widths) per row.
        height: Height in pixels of a row.
    """
    columns = min(len(widths), count)
    rows = math.ceil(count / columns)
    made = figure(widths[columns - 1], 30 + height * rows, layout="constrained")
    made.get_layout_engine().set(h_pad=0.08)  # type: ignore[union-attr, call-arg]  # the engine of a constrained layout
    axes = list(made.subplots(rows, columns, squeeze=False).flat)
    for ax in axes[count:]:
        ax.remove()
    return made, axes[:count]


def text_width(text: str, size: float) -> float:
    """Return the width of a text in pixels; `size` is in points."""
    return TextPath((0, 0), text, size=size).get_extents().width * DPI / 72 if text.strip() else 0.0


def with_axes(ax: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Style a panel that has axes."""
    ax.set_title(title, fontsize=11, color=TEXT)
    ax.set_xlabel(x, fontsize=9, color=TEXT)
    ax.set_ylabel(y, fontsize=9, color=TEXT)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color("#aaaaaa")
    ax.tick_params(which="both", labelsize=8, colors=TEXT, color="#aaaaaa")
    ax.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    ax.set_axisbelow(True)


def without_axes(ax: Axes, row_labels: Sequence[str] | None = None, centers: ArrayLike = ()) -> None:
    """Style a panel of tiles: no frame and no ticks, but a label beside each row."""
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    if row_labels:
        ax.set_yticks(centers, row_labels, fontsize=9, color=TEXT)
        ax.tick_params(length=0)


def room_for(row_labels: Sequence[str] | None) -> int:
    """Return the space to the left of tiles, in pixels."""
    return MARGIN + round(max(text_width(label, 9) for label in row_labels)) + 8 if row_labels else MARGIN


def legend(owner: Figure | Axes, **options: Any) -> None:
    """Add a legend to a figure or to one axes."""
    owner.legend(**{"fontsize": 8, "frameon": False, "labelcolor": TEXT, **options})
