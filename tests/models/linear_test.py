"""The linear autoencoder against scikit-learn's PCA."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import aezoo
from aezoo.training.batch import Batch


def train(x, k, weight, rate, steps, momentum=0.98, tied=True):
    """The whole data set is every batch, so that gradient descent with momentum goes to the optimum itself."""
    model = aezoo.LinearAE(k, weight=weight, tied=tied, seed=0)
    model.compile(keras.optimizers.SGD(rate, momentum=momentum), steps_per_execution=50)
    model.fit(tf.data.Dataset.from_tensors(x).cache().repeat(), steps_per_epoch=steps, verbose=0)
    return model


def apart(variance, k):
    """Which of the first k components have neighbours, on both sides, that are apart by 5 % or more."""
    ratio = variance[:-1] / variance[1:]
    above = np.concatenate([[np.inf], ratio[: k - 1]])
    return (above >= 1.05) & (ratio[:k] >= 1.05)


def assert_is_pca(model, x, k):
    pca = PCA(k + 1, svd_solver="full").fit(x.reshape(len(x), -1))
    found = model.principal_components()
    assert found.components_.shape == (k, pca.n_features_in_)
    cosine = np.sum(found.components_ * pca.components_[:k], axis=1)
    clear = apart(pca.explained_variance_, k)
    assert clear.sum() >= k // 2
    assert np.abs(cosine[clear]).min() > 0.999
    assert np.all(cosine[clear] > 0)  # signs as scikit-learn's
    assert 1 - np.sum((found.components_ @ pca.components_[:k].T) ** 2) / k < 1e-3
    np.testing.assert_allclose(found.explained_variance_, pca.explained_variance_[:k], rtol=0.01)
    np.testing.assert_allclose(found.mean_, pca.mean_, atol=2e-3)
    np.testing.assert_allclose(found.components_ @ found.components_.T, np.eye(k), atol=1e-6)


@pytest.fixture(scope="module")
def digits():
    return (load_digits().images[::3] / 16).astype("float32")[..., None]


@pytest.mark.parametrize(
    ("tied", "rate"),
    [pytest.param(True, 0.02, marks=pytest.mark.slow), pytest.param(False, 0.01, marks=pytest.mark.slow)],
)
def test_digits(digits, tied, rate):
    assert_is_pca(train(digits, 10, 0.01, rate, 2000 if tied else 3000, tied=tied), digits, 10)


@pytest.mark.slow
def test_without_the_l2_term_the_axes_are_not_found(digits):
    model = train(digits, 10, 1e-6, 0.01, 1500, tied=False)
    pca = PCA(10).fit(digits.reshape(len(digits), -1))
    found = model.principal_components().components_
    assert 1 - np.sum((found @ pca.components_.T) ** 2) / 10 < 1e-3  # the subspace is,
    assert np.abs(np.sum(found * pca.components_, axis=1)).min() < 0.9  # its axes are not


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("TFDS_DATA_DIR"), reason="TFDS_DATA_DIR does not say where MNIST is prepared")
def test_mnist():
    x = next(iter(aezoo.datasets.stream("mnist", "train[:1000]", 1000))).numpy()
    assert_is_pca(train(x, 20, 0.05, 0.006, 600, momentum=0.97), x, 20)


# === Without training: the optimum of Kunin et al. (theorem 4.2), given as weights ===


def at_optimum(x, k, weight, tied=False, rotation=None):
    """W₂ = (I - λΣ⁻²)^½ Uᵀ in rows, turned by any rotation of the code, and W₁ = W₂ᵀ."""
    flat = x.reshape(len(x), -1)
    mean = flat.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(flat.T, bias=True))
    values, vectors = values[::-1][:k], vectors[:, ::-1][:, :k]
    w2 = np.sqrt(np.maximum(1 - weight / values, 0))[:, None] * vectors.T
    w2 = w2 if rotation is None else rotation @ w2
    model = aezoo.LinearAE(k, weight=weight, tied=tied)
    model.build((None, *x.shape[1:]))
    offset = mean - (mean @ w2.T) @ w2
    weights = [w2.T, np.zeros(k), offset] if tied else [w2.T, np.zeros(k), w2, offset]
    for variable, value in zip(model.trainable_variables, weights, strict=True):
        variable.assign(value)
    return model


@pytest.mark.parametrize("tied", [False, True])
def test_the_objective_has_its_optimum_where_kunin_says(digits, tied):
    model = at_optimum(digits, 6, 0.1, tied, np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0])
    variables = [v.value for v in model.trainable_variables]
    with tf.GradientTape() as tape:
        terms, _ = model.objective(Batch.of(digits), training=True)
        loss = sum(terms.values())
    for gradient in tape.gradient(loss, variables):
        np.testing.assert_allclose(gradient, 0, atol=2e-5)
    assert_is_pca(model, digits, 6)


def test_the_l2_term_is_that_of_both_kernels(digits):
    for tied in (False, True):
        model = aezoo.LinearAE(4, weight=0.3, tied=tied, seed=0)
        model.build((None, 8, 8, 1))
        kernels = [v.numpy() for v in model.trainable_variables if len(v.shape) == 2]
        assert len(kernels) == (1 if tied else 2)
        expected = 0.3 * sum((w**2).sum() for w in kernels) * (2 if tied else 1)
        terms, y = model.objective(Batch.of(digits), training=True)
        assert float(terms["l2"]) == pytest.approx(expected, rel=1e-5)
        squared = ((digits - y.numpy()) ** 2).sum(axis=(1, 2, 3)).mean()
        assert float(terms["reconstruction"]) == pytest.approx(squared, rel=1e-5)


def test_it_is_linear(digits):
    model = aezoo.LinearAE(4, seed=0)
    a, b = digits[:5], digits[5:10]
    np.testing.assert_allclose(model(a) + model(b) - model(0 * a), model(a + b), atol=1e-5)


@pytest.mark.slow
def test_components_below_the_weight_are_switched_off(digits):
    # The variance of the sixth component is 0.27: with λ = 0.3 only the five above it are kept.
    variance = PCA(6).fit(digits.reshape(len(digits), -1)).explained_variance_
    weight = float((variance[4] + variance[5]) / 2)
    w2 = train(digits, 6, weight, 0.02, 1000).encoder.trainable_variables[0].numpy()
    singular = np.linalg.svd(w2, compute_uv=False)
    np.testing.assert_allclose(singular[:5], np.sqrt(1 - weight / variance[:5]), atol=0.02)
    assert singular[5] < 0.02


def test_bad_arguments():
    for weight in (0.0, -1.0):
        with pytest.raises(ValueError, match=r"weight must be inside \(0, inf\), but weight="):
            aezoo.LinearAE(4, weight=weight)
    with pytest.raises(ValueError, match="has no weights yet: fit it, or call it on a batch"):
        aezoo.LinearAE(4).principal_components()
    for name in ("activation", "code_activation", "output_activation"):
        with pytest.raises((TypeError, ValueError), match=name):
            aezoo.LinearAE(4, **{name: "relu"})


def test_variances_and_mean_measured_on_data():
    x = np.random.default_rng(0).normal(size=(200, 6)).astype("float32") * [3, 2, 1, 0.5, 0.3, 0.1] + 1
    model = aezoo.LinearAE(latent_dim=2, weight=0.05)
    model.build((None, 6))
    found = model.principal_components(x)
    along = (x - x.mean(0)) @ found.components_.T
    np.testing.assert_allclose(found.explained_variance_, along.var(0, ddof=1), rtol=1e-5)
    np.testing.assert_allclose(found.mean_, x.mean(0), rtol=1e-5)
    assert found.explained_variance_[0] >= found.explained_variance_[1]
    # The axes are those of the data within the subspace: along them the data are not correlated.
    assert abs(np.corrcoef(along, rowvar=False)[0, 1]) < 1e-6
