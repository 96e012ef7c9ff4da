import numpy as np
import pytest
from sklearn.decomposition import PCA

import aezoo
from aezoo.evaluation import explained_variance, pca_explained_variance, reconstruction_error
from aezoo.losses import SquaredError

X = np.random.default_rng(0).random((23, 4, 4, 1), "float32")


@pytest.fixture(scope="module")
def model():
    model = aezoo.Autoencoder(latent_dim=3, seed=0)
    model.build(X.shape)
    return model


def test_errors_are_those_of_the_loss_whatever_the_chunks(model):
    difference = (X - np.asarray(model.reconstruct(X))).reshape(23, -1)
    for size in (256, 5, 1):
        np.testing.assert_allclose(
            reconstruction_error(model, X, batch_size=size), np.sum(difference**2, axis=1), rtol=1e-5
        )
        np.testing.assert_allclose(
            reconstruction_error(model, X, "mae", batch_size=size), np.mean(np.abs(difference), axis=1), rtol=1e-5
        )


def test_the_error_alone_without_the_divergence():
    vae = aezoo.VAE(latent_dim=2, likelihood="gaussian", variance=1.0, seed=0)
    vae.build(X.shape)
    squared = reconstruction_error(vae, X, SquaredError())
    np.testing.assert_allclose(reconstruction_error(vae, X), 0.5 * squared + 8 * np.log(2 * np.pi), rtol=1e-5)
    assert np.all(np.asarray(vae.score_samples(X)) > reconstruction_error(vae, X))


def test_a_linear_autoencoder_with_the_weights_of_a_pca_explains_what_the_pca_does():
    x = np.random.default_rng(1).normal(size=(200, 6)).astype("float32") @ np.diag([3, 2, 1, 1, 0.5, 0.1]).astype("f4")
    pca = PCA(3).fit(x)
    model = aezoo.LinearAE(latent_dim=3)
    model.build(x.shape)
    model.encoder.layers[-1].kernel.assign(pca.components_.T)
    model.encoder.layers[-1].bias.assign(-pca.mean_ @ pca.components_.T)
    dense = next(layer for layer in model.decoder.layers if hasattr(layer, "kernel"))
    dense.kernel.assign(pca.components_)
    dense.bias.assign(pca.mean_)
    ratio = pca.explained_variance_ratio_.sum()
    assert explained_variance(model, x, batch_size=64) == pytest.approx(ratio, abs=1e-5)
    assert pca_explained_variance(x, 3, batch_size=64) == pytest.approx(ratio, abs=1e-5)


def test_explained_variance_of_the_mean_is_zero():
    class Mean(aezoo.Autoencoder):
        def reconstruct(self, x):
            return np.broadcast_to(X.mean(axis=0), x.shape)

    model = Mean(latent_dim=1)
    model.build(X.shape)
    assert explained_variance(model, X) == pytest.approx(0, abs=1e-6)


def test_a_pca_of_other_samples_and_of_more_components_than_there_are():
    train, test = np.random.default_rng(2).normal(size=(2, 40, 5)) * [3, 2, 1, 1, 1]
    pca = PCA(2).fit(train)
    left = np.sum((test - pca.inverse_transform(pca.transform(test))) ** 2) / np.sum((test - test.mean(axis=0)) ** 2)
    assert pca_explained_variance(test, 2, train, batch_size=7) == pytest.approx(1 - left)
    assert pca_explained_variance(test, 99, train) == pytest.approx(1)
    assert pca_explained_variance(test.reshape(40, 5, 1), 2, train.reshape(40, 5, 1)) == pytest.approx(1 - left)


def test_what_cannot_be_measured(model):
    with pytest.raises(ValueError, match="do not vary"):
        explained_variance(model, np.zeros((3, 4, 4, 1), "float32"))
    with pytest.raises(ValueError, match="no samples"):
        reconstruction_error(model, X[:0])
    with pytest.raises(ValueError, match="built for"):
        reconstruction_error(model, X[:, :3])
    with pytest.raises(ValueError, match="no weights yet"):
        reconstruction_error(aezoo.Autoencoder(latent_dim=3), X)
    with pytest.raises(ValueError, match="batch_size"):
        reconstruction_error(model, X, batch_size=0)

    class Likelihood(aezoo.Autoencoder):
        default_loss = None

    likelihood = Likelihood(latent_dim=3)
    likelihood.build(X.shape)
    with pytest.raises(ValueError, match="trained with a likelihood"):
        reconstruction_error(likelihood, X)
