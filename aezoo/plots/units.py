"""Figures of the inputs that excite units of any layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.figure
import numpy as np

from aezoo import _validation, evaluation
from aezoo._typing import ArrayLike
from aezoo.plots import tiles
from aezoo.plots.features import signed_tiles

#: Units whose standard deviation is below this share of the largest are not chosen.
_STILL = 0.01


def preferred_inputs(
    model: Any,
    x: ArrayLike,
    units: int | Sequence[int] = 8,
    layer: int | str | None = None,
    n: int = 4,
    *,
    combined: bool = False,
    total_variation: float = 0.01,
    steps: int = 200,
    seed: int = 0,
) -> matplotlib.figure.Figure:
    """Show the inputs that excite units of a layer most, one column per unit.

    The first row is the input that maximizes the unit, computed by `aezoo.evaluation.activation_maximization` at the
    mean norm of the samples: mid-gray is 0, and each tile has its own scale. The last rows are the `n` samples that
    excite the unit most.

    Args:
        model: A built model of aezoo, a stack, or a Keras model, as `aezoo.evaluation.activations` accepts it.
        x: Samples to choose from, images in [0, 1], (m, *input_shape).
        units: Numbers of the units to show; or how many to show, evenly spaced among the units that vary over `x`.
        layer: Index of a layer among the layers with weights, from 0 at the input, negative from the end; or its name.
            None takes the code.
        n: Number of samples per unit, at least 1.
        combined: Whether to add a row that shows the unit as a weighted sum of the filters below it, computed by
            `aezoo.evaluation.combined_filters`; `layer` must then be a number or None.
        total_variation: As in `aezoo.evaluation.activation_maximization`.
        steps: Number of steps of the maximization.
        seed: Seed of the starts of the maximization.

    Returns:
        The figure, with one axes.

    Raises:
        ValueError: If the samples are not images, no unit varies, or there is no such layer or unit.

    Example:
        ```python
        aezoo.plots.preferred_inputs(model, x_test, units=6)
        ```
    """
    _validation.check_int("n", n, 1)
    x = np.asarray(x, "float32")
    pictures = tiles.pictures(x)
    if isinstance(units, (int, np.integer)):
        spread = evaluation.activations(model, x, layer).std(axis=0)
        alive = np.flatnonzero((spread > 0) & (spread >= _STILL * spread.max()))
        if not len(alive):
            raise ValueError("No unit of the layer varies over the samples: choose another layer, or more samples.")
        count = min(_validation.check_int("units", units, 1), len(alive))
        chosen = alive[np.linspace(0, len(alive) - 1, count).round().astype(int)]
    else:
        chosen = np.asarray(units)
    best = evaluation.activation_maximization(
        model,
        chosen.tolist(),
        layer,
        norm=float(np.linalg.norm(x.reshape(len(x), -1), axis=1).mean()) or 1.0,
        total_variation=total_variation,
        steps=steps,
        seed=seed,
    )
    rows = {"maximizes": _weights(best)}
    if combined:
        filters = evaluation.combined_filters(model, layer)  # type: ignore[arg-type]  # refuses a name in a sentence
        rows["weights"] = _weights(filters[chosen])
    top = evaluation.top_inputs(model, x, chosen.tolist(), n, layer)
    rows |= {f"top {i + 1}": pictures[place] for i, place in enumerate(top.T)}
    title = f"units {', '.join(map(str, chosen))} of " + ("the code" if layer is None else f"layer {layer}")
    shown = np.concatenate(list(rows.values()))
    return tiles.tile_figure({title: shown}, columns=len(chosen), row_labels=list(rows))


def _weights(pictures: np.ndarray) -> np.ndarray:
    shown: Any = tiles.as_pictures(pictures)
    return signed_tiles(shown)
