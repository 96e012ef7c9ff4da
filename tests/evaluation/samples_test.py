"""Comparisons of samples against closed forms and loops."""

import numpy as np
import pytest

from aezoo.evaluation import frechet_distance, precision_recall

RNG = np.random.default_rng(0)


def test_the_distance_of_gaussians_of_known_moments():
    # Whitened samples have exactly these moments. Of covariances that commute the distance is a sum over the axes.
    z = RNG.normal(size=(200, 3))
    z -= z.mean(axis=0)
    z = z @ np.linalg.inv(np.linalg.cholesky(np.cov(z.T))).T
    turn, _ = np.linalg.qr(RNG.normal(size=(3, 3)))
    s, t, shift = np.array([1.0, 2, 3]), np.array([0.5, 2, 5]), np.array([1.0, -2, 0.5])
    a, b = (z * s) @ turn, (z[::-1] * t) @ turn + shift
    assert frechet_distance(a, b) == pytest.approx(np.sum(shift**2) + np.sum((s - t) ** 2), rel=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    one = frechet_distance(z[:, :1], 2 * z[:, :1])
    assert one == pytest.approx(1, rel=1e-9)


def test_fewer_samples_than_features_have_a_distance():
    a, b = RNG.normal(size=(5, 8)), RNG.normal(size=(6, 8))
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-6)


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_are_those_of_the_paper(k):
    real, generated = RNG.normal(size=(40, 2)), RNG.normal(1, 1, size=(30, 2))

    def covered(x, points):
        radii = [sorted(np.linalg.norm(x - row, axis=1))[k] for row in x]
        hits = [any(np.linalg.norm(p - row) <= r for row, r in zip(x, radii, strict=True)) for p in points]
        return np.mean(hits)

    assert precision_recall(real, generated, k=k) == pytest.approx((covered(real, generated), covered(generated, real)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: frechet_distance(np.zeros((4, 2)), np.zeros((4, 3))), "same width"),
        (lambda: frechet_distance(np.zeros((1, 2)), np.zeros((4, 2))), "at least 2 rows"),
        (lambda: precision_recall(np.zeros((3, 2)), np.zeros((9, 2))), "at least 4 rows"),
        (lambda: precision_recall(np.full((9, 2), np.nan), np.zeros((9, 2))), "NaN"),
        (lambda: precision_recall(np.zeros((9, 2)), np.zeros((9, 2)), k=0), "k=0"),
    ],
)
def test_what_has_no_distance_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
