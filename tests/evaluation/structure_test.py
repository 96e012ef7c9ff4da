"""Detection of noise units, on filters that are plainly noise or plainly features."""

import numpy as np
import pytest

from aezoo import evaluation


def pictures(size):
    """Features by name, each without any noise."""
    y, x = np.mgrid[:size, :size] / (size - 1)
    made = {
        "stroke": np.exp(-(((x - y) / 0.1) ** 2)),
        "blob": np.exp(-((x - 0.5) ** 2 + (y - 0.5) ** 2) / 0.02),
        "wave": np.sin(2 * np.pi * 3 * x) * np.exp(-((y - 0.5) ** 2) / 0.1),
        "mean image": np.ones((size, size)) - 0.3 * x,
        "dot": (np.hypot(x - 0.5, y - 0.25) < 0.6 / size).astype(float),
    }
    assert all(np.any(picture) for picture in made.values())
    return made


@pytest.mark.parametrize("size", [16, 28, 64])
@pytest.mark.parametrize("draw", ["normal", "uniform", "laplace"])
def test_independent_weights_are_noise_and_features_are_not(size, draw):
    rng = np.random.default_rng(0)
    noise = {"uniform": lambda n: rng.uniform(-1, 1, n)}.get(draw, lambda n: getattr(rng, draw)(size=n))
    assert evaluation.noise_units(noise((200, size, size))).mean() >= 0.95
    features = np.stack(list(pictures(size).values()))
    assert not evaluation.noise_units(features).any()
    assert not evaluation.noise_units(-1e-4 * features).any()


def test_a_feature_stays_one_under_weak_noise_and_becomes_noise_under_strong():
    rng = np.random.default_rng(0)
    for name, picture in pictures(28).items():
        picture = picture / np.linalg.norm(picture)
        noise = rng.normal(size=(50, 28, 28))
        noise /= np.linalg.norm(noise, axis=(1, 2), keepdims=True)
        assert not evaluation.noise_units(picture + 0.3 * noise).any(), name
        assert evaluation.noise_units(picture + 3 * noise).all(), name


def test_initial_kernels_are_noise_and_small_ones_are_not_judged():
    rng = np.random.default_rng(0)
    assert evaluation.noise_units(rng.normal(size=(20, 28, 28, 3))).all()
    assert not evaluation.noise_units(rng.normal(size=(20, 6, 6))).any()
    assert not evaluation.noise_units(np.zeros((2, 28, 28))).any()
    with pytest.raises(ValueError, match=r"shape \(3, 784\)"):
        evaluation.noise_units(np.zeros((3, 784)))
    with pytest.raises(ValueError, match="finite"):
        evaluation.noise_units(np.full((3, 28, 28), np.nan))
