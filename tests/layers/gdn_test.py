"""Generalized divisive normalization against loops, and its inverse by the paper's fixed-point iteration."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from aezoo.layers import GDN

RNG = np.random.default_rng(0)
X = RNG.normal(0, 2, (3, 4, 5, 4)).astype("float32")


def normalization(**arguments):
    layer = GDN(**arguments)
    layer.build(X.shape)
    layer.root_beta.assign(np.random.default_rng(1).uniform(0.5, 1.5, 4))
    layer.root_gamma.assign(np.random.default_rng(2).uniform(0.1, 0.6, (4, 4)))
    return layer


def norm(layer, x):
    """√(β_i + Σ_j γ_ij x_j²), entry by entry."""
    beta, gamma = np.asarray(layer.beta, "float64"), np.asarray(layer.gamma, "float64")
    norms = np.empty(x.shape)
    for *place, i in np.ndindex(x.shape):
        norms[(*place, i)] = beta[i]
        for j in range(x.shape[-1]):
            norms[(*place, i)] += gamma[i, j] * x[(*place, j)].astype("float64") ** 2
    return np.sqrt(norms)


def test_channels_are_divided_by_the_norm_and_the_inverse_multiplies():
    forward, inverse = normalization(), normalization(inverse=True)
    np.testing.assert_allclose(forward(X), X / norm(forward, X), rtol=1e-5)
    np.testing.assert_allclose(inverse(X), X * norm(inverse, X), rtol=1e-5)


def test_the_fixed_point_of_the_inverse_undoes_the_normalization():
    """x ← y · √(β + γ x²) with the layer's β and γ (Ballé et al. 2016, section 2.3)."""
    forward = normalization()
    few = X[0, :1]
    x = y = np.asarray(forward(few), "float64")
    for _ in range(200):
        x = y * norm(forward, x)
    np.testing.assert_allclose(x, few, rtol=1e-3, atol=1e-3)


def test_it_starts_as_the_paper_and_its_parameters_stay_in_range_and_come_back():
    layer = GDN()
    layer.build((None, 3))
    np.testing.assert_allclose(layer.beta, np.ones(3), rtol=1e-6)
    np.testing.assert_allclose(layer.gamma, 0.1 * np.eye(3), atol=1e-7)
    layer.root_beta.assign([-5.0, 0.0, 1.0])
    layer.root_gamma.assign(-np.ones((3, 3)))
    assert np.asarray(layer.beta).min() == pytest.approx(1e-6, rel=0.01)
    assert np.asarray(layer.gamma).min() >= 0
    with tf.GradientTape() as tape:
        loss = -keras.ops.sum(layer.beta) - keras.ops.sum(layer.gamma)
    for gradient in tape.gradient(loss, [layer.root_beta.value, layer.root_gamma.value]):
        assert (np.asarray(gradient) < 0).all()  # a step of descent raises roots that are below their bounds


def test_half_precision_has_room_for_squares():
    layer = GDN(dtype="mixed_float16")
    y = layer(tf.constant([[1000.0, -2000.0]], "float16"))
    assert y.dtype == tf.float16
    np.testing.assert_allclose(y, [[3.162, -3.162]], rtol=2e-3)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(GDN(inverse=True)))
    assert again.inverse
