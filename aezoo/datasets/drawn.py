"""Sprites: pictures drawn from known factors."""

from __future__ import annotations

import functools
import math
import types
from typing import Any

import numpy as np

from aezoo._typing import ArrayLike

#: Number of values of each factor of a sprite.
SPRITE_FACTORS = types.MappingProxyType({"shape": 3, "scale": 6, "orientation": 40, "x": 32, "y": 32})

_SHAPES = ("square", "ellipse", "heart")
_SPLITS = {"train": slice(0, 10_000), "test": slice(10_000, 12_000)}
_SIZE = 32  # pixels per side of the sprites of `load`
_CHUNK = 2**20  # pixels that are drawn at once


def draw_sprites(
    shape: ArrayLike = 0,
    scale: ArrayLike = 5,
    orientation: ArrayLike = 0,
    x: ArrayLike = 16,
    y: ArrayLike = 16,
    *,
    size: int = _SIZE,
) -> np.ndarray:
    """Draw white shapes on black with the factors of dSprites; equal factors draw equal pictures.

    Each factor is an index, or an array of indices of a common length n. Factors and their numbers of values are as in
    dSprites; the values of the pixels differ.

    Args:
        shape: 0 for a square, 1 for an ellipse, 2 for a heart.
        scale: 0 to 5, for half to full size in equal steps.
        orientation: 0 to 39, rotation in steps of 1/40 turn. A square looks the same after 10 of them, an
            ellipse after 20.
        x: 0 to 31, the place of the center from left to right.
        y: 0 to 31, the place of the center from top to bottom.
        size: Pixels per side.

    Returns:
        (n, size, size, 1) float32 in [0, 1]: the covered share of each pixel. n is 1 if all factors are single indices.

    Raises:
        ValueError: If an index is out of range, or the lengths differ.

    Example:
        >>> from aezoo.datasets import draw_sprites
        >>> hearts = draw_sprites(shape=2, x=[0, 16, 31])
        >>> hearts.shape, float(hearts[0, 16].argmax()) < float(hearts[2, 16].argmax())
        ((3, 32, 32, 1), True)

    Reference:
        Matthey, Higgins, Hassabis & Lerchner, "dSprites: disentanglement testing sprites dataset", 2017.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 4:
        raise ValueError(f"size={size!r}: expected an integer >= 4.")
    given = {"shape": shape, "scale": scale, "orientation": orientation, "x": x, "y": y}
    columns = []
    for name, values in given.items():
        values = np.asarray(values)
        most = SPRITE_FACTORS[name] - 1
        if (
            values.dtype.kind not in "iu"
            or values.ndim > 1
            or (values.size and (values.min() < 0 or values.max() > most))
        ):
            raise ValueError(f"{name} must be whole numbers from 0 to {most}, one or an array (n,): it is {values!r}.")
        columns.append(np.atleast_1d(values).astype("int64"))
    try:
        columns = [*np.broadcast_arrays(*columns)]
    except ValueError:
        lengths = {name: len(column) for name, column in zip(given, columns, strict=True)}
        raise ValueError(
            f"The factors have the lengths {lengths}: give single indices, or arrays of one length."
        ) from None
    chunk = max(1, _CHUNK // size**2)
    starts = range(0, len(columns[0]), chunk)
    parts = [_drawn([column[i : i + chunk] for column in columns], size) for i in starts]
    return np.concatenate(parts)[..., None] if parts else np.zeros((0, size, size, 1), "float32")


def _drawn(factors: list[np.ndarray], size: int) -> np.ndarray:
    """Return the covered share of each pixel, (n, size, size), in pictures of the square [-1, 1] × [-1, 1]."""
    shape, scale, turn, x, y = factors

    def column(values: np.ndarray) -> np.ndarray:
        return values.astype("float32")[:, None, None]

    pixels = (np.arange(size, dtype="float32") + 0.5) * 2 / size - 1
    # The largest shape has a radius of 0.4 and stays inside.
    right = pixels[None, None, :] - 0.58 * (column(x) * 2 / (SPRITE_FACTORS["x"] - 1) - 1)
    down = pixels[None, :, None] - 0.58 * (column(y) * 2 / (SPRITE_FACTORS["y"] - 1) - 1)
    angle = 2 * math.pi / SPRITE_FACTORS["orientation"] * column(turn)
    radius = 0.4 * (0.5 + 0.1 * column(scale))
    u = (np.cos(angle) * right + np.sin(angle) * down) / radius
    v = (np.cos(angle) * down - np.sin(angle) * right) / radius
    distance = np.empty_like(u)
    for i, function in enumerate((_square, _ellipse, _heart)):
        distance[shape == i] = function(u[shape == i], v[shape == i])
    return np.clip(0.5 - distance * radius * (size / 2), 0, 1)


# Signed distances to the outlines, negative inside, of shapes that fit a circle of radius 1.


def _box(u: np.ndarray, v: np.ndarray, half: float) -> np.ndarray:
    a, b = np.abs(u) - half, np.abs(v) - half
    return np.hypot(np.maximum(a, 0), np.maximum(b, 0)) + np.minimum(np.maximum(a, b), 0)


def _square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return _box(u, v, math.sqrt(0.5))


def _ellipse(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    # First-order distance to (u/a)² + (v/b)² = 1.
    a, b = 1.0, 0.5
    norm, slope = np.hypot(u / a, v / b), np.hypot(u / a**2, v / b**2)
    return norm * (norm - 1) / np.maximum(slope, 1e-6)


def _heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    # A square on its corner, with half a disc on each of the two upper sides.
    half, diagonal = 0.48, math.sqrt(0.5)
    v = v - 0.2
    lobes = [np.hypot(u - sign * half * diagonal, v + half * diagonal) - half for sign in (-1, 1)]
    return np.minimum(_box((u + v) * diagonal, (u - v) * diagonal, half), np.minimum(*lobes))


@functools.cache
def _combinations() -> np.ndarray:
    """Return the combinations of factors of the sprites of `load`, (12,000, 5), drawn without replacement."""
    # RandomState, unlike other generators, returns the same numbers with every version of NumPy.
    total = math.prod(SPRITE_FACTORS.values())
    chosen = np.random.RandomState(0).permutation(total)[: max(part.stop for part in _SPLITS.values())]
    return np.stack(np.unravel_index(chosen, tuple(SPRITE_FACTORS.values())), axis=1).astype("int64")


def sprite_factors(split: str | None = None) -> dict[str, np.ndarray]:
    """Return the factors of each sprite of `aezoo.datasets.load("sprites")`.

    The set has 12,000 of the 737,280 combinations of the values, drawn at random: 3 shapes × 6 scales × 40 orientations
    × 32 places in x × 32 places in y. `draw_sprites` draws any other combination.

    Args:
        split: "train" or "test", in the order of the images that `load` returns; None for both, the training sprites
            before the test sprites.

    Returns:
        {factor: indices, (n,) int64} for "shape", "scale", "orientation", "x" and "y", as `draw_sprites` takes them.

    Raises:
        ValueError: If there is no such split.

    Example:
        >>> from aezoo import datasets
        >>> _, (x_test, y_test) = datasets.load("sprites")
        >>> factors = datasets.sprite_factors("test")
        >>> bool((y_test == factors["shape"]).all()), bool((datasets.draw_sprites(**factors) == x_test).all())
        (True, True)
    """
    if split is not None and split not in _SPLITS:
        raise ValueError(f"The data set 'sprites' has no split {split!r}; it has {', '.join(_SPLITS)}: choose one.")
    rows = _combinations() if split is None else _combinations()[_SPLITS[split]]
    return dict(zip(SPRITE_FACTORS, rows.T.copy(), strict=True))


@functools.cache
def sprites() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return images, (n, 32, 32, 1) float32, and shapes, (n,) int64, by split."""
    drawn = {}
    for split in _SPLITS:
        factors: dict[str, Any] = sprite_factors(split)
        drawn[split] = draw_sprites(**factors), factors["shape"]
    return drawn
