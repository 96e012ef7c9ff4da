"""The norm of the Jacobian against finite differences in double precision, and automatic differentiation."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo.evaluation import contraction, jacobian_norm, saturation, tangents

X = np.random.default_rng(0).random((7, 6, 6, 1), "float32")

MODELS = {
    "one layer": lambda: aezoo.ContractiveAE(latent_dim=5, seed=0),
    "deep": lambda: aezoo.Autoencoder(latent_dim=4, hidden_dims=(8, 6), activation="tanh", seed=0),
    "k-sparse": lambda: aezoo.KSparseAE(latent_dim=12, k=3, seed=0),
    "deep k-sparse": lambda: aezoo.KSparseAE(latent_dim=12, k=3, hidden_dims=(9,), activation="tanh", seed=0),
    "convolutions": lambda: aezoo.SparseAE(latent_dim=4, filters=(3,), seed=0),
    "softmax": lambda: aezoo.Autoencoder(latent_dim=4, code_activation="softmax", seed=0),
    "mean of a vae": lambda: aezoo.VAE(latent_dim=3, hidden_dims=(5,), seed=0),
    "rbm": lambda: aezoo.RBM(5, kernel_stddev=0.3, seed=0),
    "linear": lambda: aezoo.LinearAE(latent_dim=3, seed=0),
}


@pytest.mark.slow_cases("softmax", "deep", "deep k-sparse")
@pytest.mark.parametrize("name", MODELS)
def test_the_norm_is_that_of_the_jacobian(name, monkeypatch):
    model = MODELS[name]()
    model.build(X.shape)
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        code = model.encoder(x)
    expected = np.linalg.norm(tf.reshape(tape.batch_jacobian(code, x), (7, -1)), axis=1)
    norms = jacobian_norm(model, X)
    assert norms.shape == (7,) and norms.dtype == "float32" and np.all(norms > 0)
    np.testing.assert_allclose(norms, expected, rtol=1e-4)
    monkeypatch.setattr(contraction, "_IN_HAND", 400)  # a chunk of few samples, or of one
    np.testing.assert_allclose(jacobian_norm(model, X), expected, rtol=1e-4)


def test_the_norm_is_that_of_small_steps():
    model = MODELS["deep"]()
    model.build(X.shape)
    weights = [w.astype("float64") for w in model.encoder.get_weights()]

    def encode(x):
        for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
            x = np.tanh(x @ kernel + bias)
        return x

    for x, norm in zip(X.reshape(7, -1).astype("float64"), jacobian_norm(model, X), strict=True):
        step = 1e-5 * np.eye(36)
        j = (encode(x + step) - encode(x - step)) / 2e-5
        assert norm == pytest.approx(np.linalg.norm(j), rel=1e-4)


@pytest.mark.parametrize("name", ["deep", "k-sparse", "wide"])
def test_tangents_are_the_singular_vectors_of_the_jacobian(name, monkeypatch):
    """Of the Jacobian by automatic differentiation, and of NumPy's decomposition."""
    model = aezoo.ContractiveAE(50, seed=0) if name == "wide" else MODELS[name]()
    model.build(X.shape)
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        code = model.encoder(x)
    jacobians = tf.reshape(tape.batch_jacobian(code, x), (7, -1, 36)).numpy().astype("float64")
    monkeypatch.setattr(contraction, "_IN_HAND", 4000)  # chunks of a few samples
    directions, values = tangents(model, X, n=3)
    assert directions.shape == (7, 3, 6, 6, 1) and values.shape == (7, 3)
    for j, u, s in zip(jacobians, directions.reshape(7, 3, 36), values, strict=True):
        _, expected, vectors = np.linalg.svd(j)
        np.testing.assert_allclose(s, expected[:3], rtol=1e-4)
        np.testing.assert_allclose(np.abs(np.sum(u * vectors[:3], axis=1)), 1, atol=1e-3)
        np.testing.assert_allclose(u @ u.T, np.eye(3), atol=1e-4)
        assert np.all(u.max(axis=1) == np.abs(u).max(axis=1))


@pytest.mark.parametrize("n", [3, 5])
def test_a_code_that_does_not_move_has_no_tangent(n):
    model = aezoo.KSparseAE(latent_dim=50, k=2, seed=0)
    model.build(X.shape)
    directions, values = tangents(model, X, n=n)
    assert np.all(values[:, :2] > 0) and not values[:, 2:].any() and not directions[:, 2:].any()


@pytest.mark.parametrize("alive", [0, 1])
@pytest.mark.parametrize("n", [3, 5])
def test_dead_units_have_no_tangent(n, alive):
    model = aezoo.Autoencoder(latent_dim=50, code_activation="relu", seed=0)
    model.build(X.shape)
    model.encoder.layers[-1].bias.assign(np.where(np.arange(50) < alive, 100.0, -100.0))
    directions, values = tangents(model, X, n=n)
    assert directions.shape == (7, n, 6, 6, 1) and values.shape == (7, n)
    assert np.all(values[:, :alive] > 0) and not values[:, alive:].any() and not directions[:, alive:].any()


@pytest.mark.parametrize("seed", range(3))
def test_a_bottleneck_leaves_as_many_tangents_as_it_has_units(seed):
    model = aezoo.Autoencoder(latent_dim=30, hidden_dims=(60, 60, 3, 60, 60), activation="tanh", seed=seed)
    model.build(X.shape)
    directions, values = tangents(model, X, n=8)
    assert np.all(values[:, :3] > 0) and not values[:, 3:].any() and not directions[:, 3:].any()


def test_wrong_numbers_of_tangents():
    model = aezoo.ContractiveAE(latent_dim=5, seed=0)
    model.build(X.shape)
    with pytest.raises(ValueError, match="n must be at least 1"):
        tangents(model, X, n=0)
    with pytest.raises(ValueError, match="5 code units and 36 features has at most 5"):
        tangents(model, X, n=6)
    model = aezoo.CompressiveAE(latent_dim=2)
    model.build(X.shape)
    with pytest.raises(ValueError, match="rounded"):
        tangents(model, X)


def test_the_norm_under_mixed_precision():
    model, half = (aezoo.ContractiveAE(latent_dim=5, seed=0, dtype=d) for d in ("float32", "mixed_float16"))
    for each in (model, half):
        each.build(X.shape)
    np.testing.assert_allclose(jacobian_norm(half, X), jacobian_norm(model, X), rtol=5e-3)


def test_a_code_of_several_axes():
    encoder = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Conv2D(2, 3, activation="tanh")])
    decoder = keras.Sequential([keras.Input((4, 4, 2)), keras.layers.Conv2DTranspose(1, 3, activation="sigmoid")])
    model = aezoo.Autoencoder(encoder=encoder, decoder=decoder)
    model.build(X.shape)
    slope = 1 - np.asarray(model.encode(X)) ** 2
    kernel = np.asarray(encoder.layers[0].kernel)
    expected = np.sqrt(np.sum(slope**2 * np.sum(kernel**2, axis=(0, 1, 2)), axis=(1, 2, 3)))
    np.testing.assert_allclose(jacobian_norm(model, X), expected, rtol=1e-5)


def test_what_has_no_jacobian():
    model = aezoo.CompressiveAE(latent_dim=2)
    model.build(X.shape)
    with pytest.raises(ValueError, match="rounded"):
        jacobian_norm(model, X)
    with pytest.raises(ValueError, match="no weights yet"):
        jacobian_norm(aezoo.Autoencoder(latent_dim=2), X)
    model = MODELS["one layer"]()
    model.build(X.shape)
    with pytest.raises(ValueError, match="built for"):
        jacobian_norm(model, X[:, 1:])
    with pytest.raises(ValueError, match="not floating-point"):
        jacobian_norm(model, (255 * X).astype("uint8"))


def test_saturation_counts_the_ends():
    z = np.array([[0.0, 0.5, 0.96, 0.2], [0.04, 0.06, 0.94, 1.0]])
    assert saturation(z) == 0.5
    assert saturation(2 * z - 1, (-0.9, 0.9)) == 0.5
    assert saturation(z, (-1.0, 2.0)) == 0
    with pytest.raises(ValueError, match="first less than the second"):
        saturation(z, (0.9, 0.1))
    for wrong in (z[:0], np.nan * z):
        with pytest.raises(ValueError, match="finite"):
            saturation(wrong)


def test_saturation_is_where_a_sigmoid_is_flat():
    model = aezoo.ContractiveAE(latent_dim=5, seed=0)
    model.build(X.shape)
    kernel = model.encoder.layers[-1].kernel
    code, norm = np.asarray(model.encode(X)), jacobian_norm(model, X)
    kernel.assign(100 * kernel)
    assert saturation(code) < 0.1 and saturation(model.encode(X)) > 0.9
    assert np.median(jacobian_norm(model, X)) < 0.01 * np.median(norm)


def test_of_a_k_sparse_code_of_several_axes():
    encoder = keras.Sequential(
        [keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(12), keras.layers.Reshape((2, 2, 3))]
    )
    decoder = keras.Sequential([keras.Input((2, 2, 3)), keras.layers.Flatten(), keras.layers.Dense(36)])
    decoder.add(keras.layers.Reshape((6, 6, 1)))
    model = aezoo.KSparseAE(encoder=encoder, decoder=decoder, k=3)
    model.build(X.shape)
    kernel = np.asarray(encoder.layers[1].kernel)
    stays = np.asarray(model.encode(X)).reshape(7, 12) != 0
    expected = np.sqrt(stays @ np.sum(kernel**2, axis=0))
    np.testing.assert_allclose(jacobian_norm(model, X), expected, rtol=1e-5)
    # A unit whose value is 0, and which is among the k largest, moves with x.
    encoder.layers[1].kernel.assign(np.vstack([np.zeros((1, 12)), kernel[1:]]))
    zeros = np.zeros_like(X)
    zeros[:, 0, 0] = 1
    expected = np.linalg.norm(kernel[1:, :3])
    np.testing.assert_allclose(jacobian_norm(model, zeros), np.full(7, expected), rtol=1e-5)
