"""The picture of a card: what each kind of model is best known by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aezoo import plots
from aezoo.recipes.recipes import SEED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from aezoo.models.autoencoder import Autoencoder

#: How many the pictures show, and the temperatures at which sketches are drawn.
_DIGITS, _SKETCHES, _TEMPERATURES = 10, 10, (0.2, 0.5, 0.8)


def reconstructions(model: Autoencoder, x: np.ndarray) -> Figure:
    """Digits, and what the model makes of them."""
    return plots.reconstructions(model, x, n=_DIGITS)


def denoising(model: Autoencoder, x: np.ndarray) -> Figure:
    """Digits, damaged, and repaired."""
    x = x[:_DIGITS]
    return plots.reconstructions(model, x, n=_DIGITS, corrupted=np.asarray(model.corruption(x, training=True)))


def filters(model: Autoencoder, x: np.ndarray) -> Figure:
    """A hundred features as they come, those of dead units among them."""
    return plots.filters(model, n=100, order="index")


def components(model: Autoencoder, x: np.ndarray) -> Figure:
    """The principal components of the data within the subspace that the model has learned, by falling variance."""
    axes = model.principal_components(x).components_
    return plots.filters(axes.reshape(-1, *x.shape[1:]), n=100, order="index")


def manifold(model: Autoencoder, x: np.ndarray) -> Figure:
    """What the plane of codes decodes to."""
    return plots.manifold(model)


def samples(model: Autoencoder, x: np.ndarray) -> Figure:
    """Drawn from the model."""
    return plots.samples(model.sample(60, seed=SEED), columns=_DIGITS)


def sketches(model: Autoencoder, x: np.ndarray) -> Figure:
    """Sketches, and what the model draws from their codes, the more daring the lower down."""
    x = x[:_SKETCHES]
    z = model.encode(x)
    rows = {"input": x}
    for temperature in _TEMPERATURES:
        rows[f"τ = {temperature:g}"] = np.asarray(model.sample(temperature=temperature, z=z, seed=SEED))
    return plots.sketches(np.concatenate(list(rows.values())), columns=len(x), row_labels=list(rows))
