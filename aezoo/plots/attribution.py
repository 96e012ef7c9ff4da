"""Figures of the contributions of features to anomaly scores."""

from __future__ import annotations

from typing import Any

import matplotlib.figure
import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from aezoo import _validation
from aezoo.plots import style, tiles
from aezoo.training import gate

_HEAT = LinearSegmentedColormap.from_list("contributions", ("#ffffff", "#f6c9a8", style.ORANGE, "#5e1f08"))


def contributions(
    contributions: Any, x: Any = None, *, n: int | None = None, features: int = 8
) -> matplotlib.figure.Figure:
    """Draw the contribution of each feature to the anomaly score of its sample.

    For tables, each sample has a panel with a bar for each of its largest contributions; the title has the sum of all.
    For images, each sample has a column: the image, and a map of the contributions of its pixels, from white (0) to
    dark brown, on one scale for all samples.

    Args:
        contributions: Result of `AnomalyDetector.explain` or `model.contributions`: a table or an array (m, features),
            or an array (m, h, w) or (m, h, w, channels) for images.
        x: The samples, in the same form. For tables, the labels then contain the values of the features; images in
            [0, 1] are drawn above the maps. None leaves them out.
        n: Number of samples to show, the first ones. None shows at most 4 rows of a table or 10 images.
        features: Number of bars for a row of a table.

    Returns:
        The figure, with one axes per row of a table, or one for images.

    Raises:
        ValueError: If there are no samples, contributions are not finite, or x has another shape.

    Example:
        >>> import pandas as pd
        >>> parts = pd.DataFrame({"flow": [0.1, 2.0], "pressure": [0.3, 0.1]})
        >>> figure = contributions(parts)
        >>> [ax.get_title() for ax in figure.axes]
        ['row 0: sum 0.4', 'row 1: sum 2.1']
    """
    values = np.asarray(gate.as_array(contributions), "float64")
    if values.ndim not in (2, 3, 4) or not values.size or not np.isfinite(values).all():
        raise ValueError(
            f"Contributions of shape {values.shape} are not finite numbers of at least one sample, (m, features) or "
            "(m, h, w, channels)."
        )
    given = None if x is None else np.asarray(gate.as_array(x, missing=True))
    if given is not None and given.shape != values.shape:
        raise ValueError(f"x has shape {given.shape}, but the contributions have shape {values.shape}.")
    most = _validation.check_int("n", (4 if values.ndim == 2 else 10) if n is None else n, 1)
    values, given = values[:most], None if given is None else given[:most]
    if values.ndim > 2:
        return _maps(values, given)
    return _bars(contributions, values, given, _validation.check_int("features", features, 1))


def _bars(table: Any, values: np.ndarray, given: np.ndarray | None, features: int) -> matplotlib.figure.Figure:
    names = getattr(table, "column_names", None) or getattr(table, "columns", None)
    names = [str(name) for name in (range(values.shape[1]) if names is None else names)]
    index = table.index if hasattr(table, "iloc") else range(len(values))
    rows = [row if isinstance(row, str) else f"row {row}" for row in index]
    features = min(features, len(names))
    figure, panels = style.panels(len(values), (480, style.WIDTH), 60 + 20 * features)
    limits = min(0.0, float(values.min())), max(float(values.max()), 1e-12) * 1.05
    for i, ax in enumerate(panels):
        order = np.argsort(-np.abs(values[i]), kind="stable")[:features]
        labels = [names[j] if given is None else f"{names[j]} = {given[i, j]:.4g}" for j in order]
        ax.barh(np.arange(features), values[i, order], color=style.ORANGE, height=0.7)
        ax.set(ylim=(features - 0.4, -0.6), xlim=limits)
        style.with_axes(ax, f"{rows[i]}: sum {values[i].sum():.3g}", x="contribution to the score")
        ax.set_yticks(np.arange(features), labels)
        ax.grid(visible=False, axis="y")
        ax.grid(axis="x", color="#e6e6e6", linewidth=0.8)
    return figure


def _maps(values: np.ndarray, given: np.ndarray | None) -> matplotlib.figure.Figure:
    heat = np.clip(values.sum(axis=-1) if values.ndim == 4 else values, 0.0, None)
    colored = _HEAT(heat / (heat.max() or 1.0))[..., :3].astype("float32")
    if given is None:
        return tiles.tile_figure({"": colored}, columns=len(colored), row_labels=["contributions"])
    pictures = tiles.pictures(given if given.ndim == 4 else given[..., None])
    pictures = np.repeat(pictures[..., None], 3, axis=-1) if pictures.ndim == 3 else pictures
    both = np.concatenate([pictures, colored])
    return tiles.tile_figure({"": both}, columns=len(colored), row_labels=["sample", "contributions"])
