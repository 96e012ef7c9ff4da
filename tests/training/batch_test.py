"""Reductions of a batch, and weights per sample, step and feature."""

import keras
import numpy as np
import pytest

import aezoo
from aezoo import Batch

RNG = np.random.default_rng(0)
X = RNG.random((6, 4, 3), "float32")


def model(loss=None, **arguments):
    made = aezoo.Autoencoder(2, seed=0, **arguments)
    made.compile(optimizer=keras.optimizers.SGD(0.1), loss=loss, run_eagerly=True)
    made.build(X.shape)
    return made


def test_reductions_are_those_of_numpy():
    weight, values = RNG.random(6), RNG.random(6)
    batch = Batch.of(X, weight=weight)
    assert float(batch.sum(values)) == pytest.approx(weight @ values, rel=1e-5)
    assert float(batch.mean(values)) == pytest.approx(weight @ values / 6, rel=1e-5)
    assert float(batch.global_mean(values)) == pytest.approx(weight @ values / weight.sum(), rel=1e-5)
    assert float(batch.per_replica(2.0)) == pytest.approx(2 * weight.sum() / 6, rel=1e-5)


def test_weights_of_steps_weigh_a_sample_by_the_largest():
    weight = RNG.random((6, 4)).astype("float32")
    batch = Batch.of(X, weight=weight)
    np.testing.assert_allclose(batch.weight, weight.max(axis=1))
    np.testing.assert_allclose(batch.feature_weight * batch.weight[:, None], weight, rtol=1e-6)
    nothing = Batch.of(X, weight=np.zeros((6, 4)))
    assert not np.any(nothing.weight) and not np.any(nothing.feature_weight)


def test_old_names_warn():
    batch = Batch.of(X)
    with pytest.warns(DeprecationWarning, match="global_mean"):
        assert float(batch.statistic([1.0] * 6)) == 1.0
    with pytest.warns(DeprecationWarning, match="per_replica"):
        assert float(batch.share(3.0)) == 3.0


@pytest.mark.parametrize("shape", [(6,), (6, 4), (6, 4, 3)], ids=["sample", "step", "feature"])
@pytest.mark.parametrize("loss", [None, "mse", "binary_crossentropy"])
def test_weights_count_in_the_error_as_in_numpy(shape, loss):
    made, weight = model(loss), RNG.random(shape).astype("float32")
    y, p = X.astype("float64"), np.asarray(made.reconstruct(X), "float64")
    error = -(y * np.log(p) + (1 - y) * np.log(1 - p)) if loss == "binary_crossentropy" else (y - p) ** 2
    whole = error * weight.reshape(*shape, *(1,) * (3 - len(shape)))
    expected = whole.sum() / 6 if loss is None else whole.mean()
    assert made.evaluate(X, sample_weight=weight, verbose=0)[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow_cases("iwae", "sparse", "denoising")
@pytest.mark.parametrize(
    "make",
    [
        lambda: aezoo.VAE(2, seed=0),
        lambda: aezoo.SparseAE(5, seed=0),
        lambda: aezoo.KSparseAE(5, k=2, seed=0),
        lambda: aezoo.CompressiveAE(2, seed=0),
        lambda: aezoo.DenoisingAE(2, corruption=0.0, seed=0),
        lambda: aezoo.ContractiveAE(2, seed=0),
        lambda: aezoo.VAE(2, importance_samples=2, seed=0),
    ],
    ids=["vae", "sparse", "k-sparse", "compressive", "denoising", "contractive", "iwae"],
)
def test_a_weight_of_zero_leaves_a_feature_out_of_the_error(make):
    """Whatever stands in the target there: the same weights come of it."""
    weight = np.ones((6, 4), "float32")
    weight[:, 1] = 0
    other = X.copy()
    other[:, 1] = 0.25
    results = []
    for y in (X, other):
        made = make()
        made.compile(optimizer=keras.optimizers.SGD(0.1), run_eagerly=True)
        made.build(X.shape)
        made.fit(X, y, sample_weight=weight, batch_size=6, shuffle=False, verbose=0)
        results.append([v.numpy() for v in made.trainable_variables])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_models_of_whole_samples_refuse_weights_of_features():
    made = aezoo.RBM(3)
    made.compile(optimizer=made.default_optimizer())
    with pytest.raises(ValueError, match=r"RBM has no error per step or feature.*one weight per sample"):
        made.fit(X, sample_weight=np.ones((6, 4)), verbose=0)
    made = model(loss=None)
    made.compile(optimizer="sgd", metrics=["mse"], run_eagerly=True)
    with pytest.raises(ValueError, match="no weights per feature"):
        made.fit(X, sample_weight=np.ones((6, 4, 3)) * np.arange(3), verbose=0)
