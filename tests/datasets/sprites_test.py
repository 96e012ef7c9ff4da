"""The sprites against geometry: areas, centers and symmetries that each factor implies."""

import math

import numpy as np
import pytest

from aezoo import datasets
from aezoo.datasets import SPRITE_FACTORS, draw_sprites


def center(images):
    """Return the center of mass of each image, (n, 2), as (x, y) in [-1, 1]."""
    size = images.shape[1]
    at = (np.arange(size) + 0.5) * 2 / size - 1
    mass = images.sum(axis=(1, 2, 3))
    return np.stack([images[..., 0].sum(axis=1) @ at / mass, images[..., 0].sum(axis=2) @ at / mass], axis=1)


def test_areas_are_those_of_the_shapes():
    scales = np.arange(6)
    for shape, area in ((0, 2.0), (1, math.pi * 0.5)):  # of a square in a circle of radius 1, and of an ellipse
        drawn = draw_sprites(shape, scales, orientation=3, size=64).sum(axis=(1, 2, 3)) * (2 / 64) ** 2
        np.testing.assert_allclose(drawn, area * (0.4 * (0.5 + 0.1 * scales)) ** 2, rtol=0.03)


def test_places_are_equally_spaced_and_inside():
    for shape in range(2):
        x = center(draw_sprites(shape, x=np.arange(32), y=5))
        np.testing.assert_allclose(x[:, 0], np.linspace(-0.58, 0.58, 32), atol=0.01)
        np.testing.assert_allclose(x[:, 1], np.linspace(-0.58, 0.58, 32)[5], atol=0.01)
    corners = draw_sprites(np.repeat([0, 1, 2], 40), 5, np.tile(np.arange(40), 3), x=31, y=0)
    assert corners[:, -1].max() == 0 and corners[:, :, 0].max() == 0  # the opposite borders
    whole = draw_sprites(np.repeat([0, 1, 2], 40), 5, np.tile(np.arange(40), 3), x=16, y=16)
    np.testing.assert_allclose(corners.sum(axis=(1, 2, 3)), whole.sum(axis=(1, 2, 3)), rtol=0.03)


def test_orientations_turn():
    turns = {shape: draw_sprites(shape, orientation=np.arange(40), x=15, size=33) for shape in range(3)}
    for shape, period in ((0, 10), (1, 20), (2, 40)):
        images = turns[shape]
        same = [i for i in range(40) if np.abs(images[i] - images[0]).max() < 1e-3]
        assert same == list(range(0, 40, period))
    middle = draw_sprites(2, orientation=[0, 10], x=[0, 0], size=64)
    quarter = np.rot90(draw_sprites(2, x=0, y=0, size=64)[0], k=-1)  # about the middle: another place, the same heart
    turned = draw_sprites(2, orientation=10, x=31, y=0, size=64)[0]
    np.testing.assert_allclose(turned, quarter, atol=1e-4)
    assert np.abs(middle[0] - middle[1]).max() > 0.5


def test_load_draws_what_its_factors_say():
    (x_train, y_train), (x_test, y_test) = datasets.load("sprites")
    assert x_train.shape == (10_000, 32, 32, 1) and x_test.shape == (2_000, 32, 32, 1)
    assert x_train.dtype == np.float32 and x_train.min() == 0 and x_train.max() == 1
    factors = datasets.sprite_factors()
    assert list(factors) == list(SPRITE_FACTORS)
    np.testing.assert_array_equal(np.concatenate([y_train, y_test]), factors["shape"])
    rows = np.random.default_rng(0).integers(0, 10_000, 50)
    np.testing.assert_array_equal(x_train[rows], draw_sprites(**{k: v[rows] for k, v in factors.items()}))
    table = np.stack([*factors.values()], axis=1)
    assert len(np.unique(table, axis=0)) == 12_000  # no combination twice, so that no test sprite was trained on
    assert [len(np.unique(column)) for column in table.T] == [*SPRITE_FACTORS.values()]
    assert np.abs(np.corrcoef(table.T) - np.eye(5)).max() < 0.03
    assert table[:2].tolist() == [[0, 3, 2, 23, 10], [1, 4, 25, 25, 28]]  # the same with every version of NumPy


BAD = [
    ({"shape": 3}, r"shape must be whole numbers from 0 to 2"),
    ({"x": [-1]}, r"x must be whole numbers from 0 to 31"),
    ({"y": 0.5}, r"y must be whole numbers"),
    ({"x": [0, 1], "y": [0, 1, 2]}, r"give single indices, or arrays of one length"),
    ({"size": 2}, r"size=2: expected an integer >= 4"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=str)
def test_factors_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        draw_sprites(**arguments)
    with pytest.raises(ValueError, match="no split 'validation'"):
        datasets.sprite_factors("validation")
