"""Scatter plots of codes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import matplotlib.cm
import matplotlib.colors
import matplotlib.figure
import numpy as np
from matplotlib.lines import Line2D
from sklearn.decomposition import PCA

from aezoo._typing import ArrayLike
from aezoo.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEGEND = 20  # classes per column of the legend


def scatter(codes: ArrayLike | Mapping[str, ArrayLike], labels: ArrayLike | None = None) -> matplotlib.figure.Figure:
    """Draw codes as points in a plane, colored by class.

    Args:
        codes: Codes, (n, latent_dim) with latent_dim at least 2. Codes of more than two units are projected onto their
            first two principal components. To compare several sets of codes of the same samples, pass {title: codes}:
            they are drawn side by side, at most two per row.
        labels: Class of each sample, (n,), numbers or text. More than 20 distinct floats or 60 distinct integers are
            treated as values, with a color bar in place of the legend. None draws all points in one color.

    Returns:
        The figure, with one axes per set of codes.

    Raises:
        ValueError: If there are no codes, they have fewer than two units or are not finite, or the labels are not
            finite or not one per sample.

    Example:
        ```python
        aezoo.plots.scatter(model.encode(x_test), y_test)
        aezoo.plots.scatter({"PCA": pca.transform(x), "autoencoder": model.encode(x)}, y)
        ```
    """
    panels = codes if isinstance(codes, Mapping) else {"": codes}
    if not panels:
        raise ValueError("plots.scatter got no codes: pass (n, latent_dim), or {title: codes}.")
    figure, axes = style.panels(len(panels), (560, style.WIDTH), 370)
    for (title, z), ax in zip(panels.items(), axes, strict=True):
        _draw(ax, title, np.asarray(z), labels)
    if labels is not None and _are_values(labels):
        bar = figure.colorbar(_scale(labels), ax=axes)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=8, labelcolor=style.TEXT, color="#aaaaaa")
    elif labels is not None:
        handles = [
            Line2D([], [], linestyle="", marker="o", markersize=5, color=color, label=str(name))
            for name, color in _colors(labels).items()
        ]
        columns = math.ceil(len(handles) / LEGEND)
        style.legend(figure, handles=handles, loc="outside right center", handletextpad=0.2, ncols=columns)
    return figure


def _draw(ax: Axes, title: str, z: np.ndarray, labels: ArrayLike | None) -> None:
    if z.ndim < 2 or not z.size or z[0].size < 2 or not np.isfinite(z).all():
        raise ValueError(f"Codes of shape {z.shape} cannot be drawn: pass (n, at least 2) finite numbers.")
    z = z.reshape(len(z), -1).astype("float64")
    if labels is not None and np.shape(labels) != (len(z),):
        raise ValueError(f"There are {len(z)} codes and labels of shape {np.shape(labels)}: give one label per sample.")
    names = ("unit 1", "unit 2")
    if z.shape[1] > 2:
        z, names = PCA(2, random_state=0).fit_transform(z), ("component 1", "component 2")
    colors: str | list[Any] | np.ndarray = style.BLUE
    if labels is not None and _are_values(labels):
        colors = _scale(labels).to_rgba(np.asarray(labels))
    elif labels is not None:
        of_class = _colors(labels)
        colors = [of_class[label] for label in np.asarray(labels).tolist()]
    ax.scatter(z[:, 0], z[:, 1], c=colors, s=np.clip(8000 / len(z), 3, 16), alpha=0.8, linewidths=0)
    style.with_axes(ax, title, *names)
    ax.grid(axis="x", color="#e6e6e6", linewidth=0.8)


def _are_values(labels: ArrayLike) -> bool:
    """Return whether labels are numbers with too many distinct values to be classes."""
    labels = np.asarray(labels)
    if labels.dtype.kind not in "fiu":
        return False
    if not np.isfinite(labels).all():
        raise ValueError("The labels have values that are NaN or infinite: remove these samples.")
    return len(np.unique(labels)) > (LEGEND if labels.dtype.kind == "f" else 3 * LEGEND)


def _scale(values: ArrayLike) -> matplotlib.cm.ScalarMappable:
    """Return the map from values to colors."""
    return matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(np.min(values), np.max(values)), "viridis")


def _colors(labels: ArrayLike) -> dict[Any, Any]:
    """Return the color of each class, in the order of the classes."""
    classes = np.unique(labels).tolist()
    if len(classes) <= len(style.CLASSES):
        return dict(zip(classes, style.CLASSES, strict=False))
    return dict(zip(classes, matplotlib.colormaps["turbo"](np.linspace(0, 1, len(classes))), strict=True))
