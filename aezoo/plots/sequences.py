"""Figures of series and their reconstructions."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.figure
import numpy as np

from aezoo._typing import ArrayLike
from aezoo.plots import style

_LARGEST = 0.3  # height of the largest error, in the height of the series


def series(
    x: ArrayLike,
    reconstructions: ArrayLike | None = None,
    errors: ArrayLike | None = None,
    titles: Sequence[str] | None = None,
) -> matplotlib.figure.Figure:
    """Draw series, one panel each, with their reconstructions and the error of each step.

    Args:
        x: Series, (n, steps, features) or (n, steps); NaN leaves a gap.
        reconstructions: Reconstructions, with the shape of x, as dashed lines; or None.
        errors: Error of each step, (n, steps), such as `aezoo.SequenceAE.score_steps` returns; or None. They are gray
            areas below the series, on the same scale in all panels.
        titles: Titles of the panels; None writes none.

    Returns:
        The figure, with one axes per series.

    Raises:
        ValueError: If x has another number of axes, or reconstructions, errors or titles do not fit it.

    Example:
        >>> x = np.sin(np.linspace(0, 6, 50) + np.arange(3)[:, None])
        >>> figure = series(x, 0.9 * x, errors=np.square(0.1 * x))
        >>> len(figure.axes)
        3
    """
    x = np.asarray(x, "float64")
    if x.ndim not in (2, 3) or not len(x):
        raise ValueError(f"Series have shape (n, steps, features) or (n, steps), but x has shape {x.shape}.")
    x = x[..., None] if x.ndim == 2 else x
    drawn = None if reconstructions is None else np.asarray(reconstructions, "float64")
    if drawn is not None:
        drawn = drawn[..., None] if drawn.ndim == 2 else drawn
        if drawn.shape != x.shape:
            raise ValueError(f"Reconstructions need the shape of x, {x.shape}, but they have shape {drawn.shape}.")
    areas = None if errors is None else np.asarray(errors, "float64")
    if areas is not None and areas.shape != x.shape[:2]:
        raise ValueError(f"errors need one number per step, {x.shape[:2]}, but they have shape {areas.shape}.")
    if titles is not None and len(titles) != len(x):
        raise ValueError(f"There are {len(x)} series and {len(titles)} titles: give one per series.")
    figure, panels = style.panels(len(x), (500, style.WIDTH), 190)
    largest = 0.0 if areas is None else np.nanmax(areas)
    for i, ax in enumerate(panels):
        for feature in range(x.shape[-1]):
            color = style.CURVES[feature % len(style.CURVES)] if x.shape[-1] > 1 else style.BLUE
            ax.plot(x[i, :, feature], color=color, linewidth=1.3, label="series" if feature == 0 else None)
            if drawn is not None:
                color = color if x.shape[-1] > 1 else style.ORANGE
                label = "reconstruction" if feature == 0 else None
                ax.plot(drawn[i, :, feature], color=color, linewidth=1.3, linestyle="--", label=label)
        if areas is not None and largest > 0:
            low, high = ax.get_ylim()
            base = low - _LARGEST * (high - low)
            heights = base + areas[i] / largest * _LARGEST * (high - low)
            ax.fill_between(np.arange(x.shape[1]), base, heights, color=style.GRAY, linewidth=0, label="error per step")
            ax.set_ylim(base, high)
        if titles is not None:
            ax.set_title(titles[i], fontsize=9, color=style.TEXT)
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=8)
    if drawn is not None or areas is not None:
        handles, labels = panels[0].get_legend_handles_labels()
        style.legend(figure, handles=handles, labels=labels, loc="outside upper center", ncols=3)
    return figure
