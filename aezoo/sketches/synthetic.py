"""Synthetic sketches, for trying a model without a download."""

from __future__ import annotations

import numpy as np


def shapes(n: int, seed: int = 0) -> list[np.ndarray]:
    """Draw circles, squares, triangles and faces with random distortions.

    Args:
        n: Number of sketches; the four kinds alternate.
        seed: Seed of sizes, positions and distortions.

    Returns:
        A list of sketches in stroke-3, at most 40 points (Δx, Δy, pen lifted), float32 each.

    Example:
        >>> [sketch.shape for sketch in shapes(4)]
        [(13, 3), (5, 3), (4, 3), (33, 3)]
    """
    from aezoo.sketches.formats import from_lines

    rng = np.random.default_rng(seed)
    drawers = (_circle_sketch, _square, _triangle, _face)
    sketches = []
    for i in range(n):
        size = rng.uniform(20, 40, size=2)
        lines = drawers[i % 4](rng)
        sketches.append(from_lines([line * size + rng.normal(0, 1.0, line.shape) for line in lines]))
    return sketches


def _circle(rng: np.random.Generator, points: int, radius: float, centre: tuple[float, float]) -> np.ndarray:
    angle = rng.uniform(0, 0.5) + np.linspace(0, 2 * np.pi, points)
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1) + centre


def _polygon(rng: np.random.Generator, corners: int) -> list[np.ndarray]:
    angle = rng.uniform(-0.2, 0.2) + np.linspace(0, 2 * np.pi, corners + 1) - np.pi / 2 + (np.pi / 4) * (corners == 4)
    return [np.stack([np.cos(angle), np.sin(angle)], axis=1)]


def _circle_sketch(rng: np.random.Generator) -> list[np.ndarray]:
    return [_circle(rng, 13, 1.0, (0.0, 0.0))]


def _square(rng: np.random.Generator) -> list[np.ndarray]:
    return _polygon(rng, 4)


def _triangle(rng: np.random.Generator) -> list[np.ndarray]:
    return _polygon(rng, 3)


def _face(rng: np.random.Generator) -> list[np.ndarray]:
    x = np.linspace(-0.45, 0.45, 6)
    mouth = np.stack([x, 0.3 + rng.uniform(0.1, 0.4) * (1 - (x / 0.45) ** 2)], axis=1)
    eyes = [_circle(rng, 7, 0.12, (side * 0.4, -0.3)) for side in (-1, 1)]
    return [_circle(rng, 13, 1.0, (0.0, 0.0)), *eyes, mouth]
