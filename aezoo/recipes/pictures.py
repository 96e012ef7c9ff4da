"""Pictures of model cards: what each kind of model is best known for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aezoo import plots
from aezoo.recipes.recipes import SEED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from aezoo.models.autoencoder import Autoencoder

#: Numbers of digits and of sketches in a picture, and the temperatures at which sketches are drawn.
_DIGITS, _SKETCHES, _TEMPERATURES = 10, 10, (0.2, 0.5, 0.8)


def reconstructions(model: Autoencoder, x: np.ndarray) -> Figure:
    """Plot digits and their reconstructions."""
    return plots.reconstructions(model, x, n=_DIGITS)


def denoising(model: Autoencoder, x: np.ndarray) -> Figure:
    """Plot digits, corrupted digits, and their reconstructions."""
    x = x[:_DIGITS]
    return plots.reconstructions(model, x, n=_DIGITS, corrupted=np.asarray(model.corruption(x, training=True)))


def filters(model: Autoencoder, x: np.ndarray) -> Figure:
    """Plot the filters of the first 100 units, including dead units."""
    return plots.filters(model, n=100, order="index")


def components(model: Autoencoder, x: np.ndarray) -> Figure:
    """Plot the principal components of the data within the subspace that the model learned, by decreasing variance."""
    axes = model.principal_components(x).components_
    return plots.filters(axes.reshape(-1, *x.shape[1:]), n=100, order="index")


def manifold(model: Autoencoder, x: np.ndarray) -> Figure:
    """Plot reconstructions of codes on a grid in the plane of codes."""
    return plots.manifold(model)


def samples(model: Autoencoder, x: np.ndarray) -> Figure:
    """Plot samples that the model draws."""
    return plots.samples(model.sample(60, seed=SEED), columns=_DIGITS)


def sketches(model: Autoencoder, x: np.ndarray) -> Figure:
    """Plot sketches, and what the model draws from their codes at rising temperatures."""
    x = x[:_SKETCHES]
    z = model.encode(x)
    rows = {"input": x}
    for temperature in _TEMPERATURES:
        rows[f"τ = {temperature:g}"] = np.asarray(model.sample(temperature=temperature, z=z, seed=SEED))
    return plots.sketches(np.concatenate(list(rows.values())), columns=len(x), row_labels=list(rows))


def emoji(model: Autoencoder, x: np.ndarray) -> Figure:
    """Plot emoji and their reconstructions, two rows of samples, and an interpolation between two emoji."""
    x = _spread(x)
    drawn = np.asarray(model.sample(2 * _DIGITS, seed=SEED))
    between = np.asarray(model.interpolate(x[:1], x[1:2], _DIGITS))[0]
    rows = {
        "input": x,
        "reconstruction": model.reconstruct(x),
        "samples": drawn[:_DIGITS],
        "more samples": drawn[_DIGITS:],
    }
    return plots.rows({**rows, "interpolation": between}, n=_DIGITS)


def emoji_denoising(model: Autoencoder, x: np.ndarray) -> Figure:
    """Plot emoji, corrupted emoji, and their reconstructions."""
    return denoising(model, _spread(x))


def discrete(model: Autoencoder, x: np.ndarray) -> Figure:
    """Plot samples and their reconstructions, and two rows that the model draws."""
    x = _spread(x)
    drawn = np.asarray(model.sample(2 * _DIGITS, seed=SEED))
    rows = {"input": x, "reconstruction": model.reconstruct(x)}
    return plots.rows({**rows, "samples": drawn[:_DIGITS], "more samples": drawn[_DIGITS:]}, n=_DIGITS)


def _spread(x: np.ndarray) -> np.ndarray:
    """Return samples in equal steps through the data, which are in the order of their categories."""
    return x[np.linspace(0, len(x) - 1, _DIGITS).round().astype(int)]
