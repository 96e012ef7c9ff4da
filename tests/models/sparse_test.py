"""The penalties of the sparse autoencoder against SciPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

import aezoo
from aezoo import testing
from aezoo.training.batch import Batch


def kl(target, rates):
    """Σⱼ KL(ρ‖ρ̂ⱼ)."""
    return sum(stats.entropy([target, 1 - target], [rate, 1 - rate]) for rate in np.asarray(rates, "float64"))


def penalty(model, x, weight=None):
    return float(model.objective(Batch.of(x, weight=weight), training=True)[0]["sparsity"])


def randomise(model, x, scale=2.0):
    model(x)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(0, scale, variable.shape))


def test_kl_is_0_where_the_rate_is_the_target(x):
    model = aezoo.SparseAE(latent_dim=7, target=0.2, weight=100.0)
    model(x)
    kernel, bias = model.encoder.trainable_variables
    kernel.assign(tf.zeros_like(kernel))
    bias.assign(tf.fill(bias.shape, np.log(0.2 / 0.8)))
    assert penalty(model, x) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
def test_kl_is_the_closed_form_elsewhere(x, weighted):
    model = aezoo.SparseAE(latent_dim=7, target=0.1, weight=3.0)
    randomise(model, x)
    weight = np.linspace(0, 3, 21, dtype="float32") if weighted else None
    code = np.asarray(model.encode(x))
    scale = 3 if weight is None else 3 * weight.mean()  # as of the other terms
    expected = scale * kl(0.1, np.average(code, axis=0, weights=weight))
    assert penalty(model, x, weight) == pytest.approx(expected, rel=1e-4)


def test_the_gradient_of_kl(x):
    model = aezoo.SparseAE(latent_dim=7, target=0.1, weight=3.0)
    randomise(model, x, 0.5)
    bias = model.encoder.trainable_variables[1]
    with tf.GradientTape() as tape:
        value = model.penalties(Batch.of(x), model.forward(Batch.of(x), True))["sparsity"]
    z = np.asarray(model.encode(x), "float64")
    rate = z.mean(axis=0)
    # By the chain rule: ∂/∂b_j = w (-ρ/ρ̂ + (1-ρ)/(1-ρ̂)) · mean of z(1-z), as in Ng's notes.
    expected = 3 * (-0.1 / rate + 0.9 / (1 - rate)) * (z * (1 - z)).mean(axis=0)
    np.testing.assert_allclose(tape.gradient(value, bias.value), expected, rtol=1e-4)


@pytest.mark.slow
def test_kl_is_of_the_global_batch_under_two_replicas(x):
    x = np.concatenate([np.zeros((10, 6, 6, 1)), np.ones((10, 6, 6, 1))]).astype("float32")  # halves that differ
    with testing.two_replicas().scope():
        model = aezoo.SparseAE(latent_dim=7, target=0.1, weight=3.0)
        model.build((None, 6, 6, 1))
        model.compile(keras.optimizers.SGD(0.0))
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(0, 0.3, variable.shape).astype("float32"))
    code = np.asarray(model.encode(x))
    whole = 3 * kl(0.1, code.mean(axis=0))
    halves = 3 * np.mean([kl(0.1, code[:10].mean(axis=0)), kl(0.1, code[10:].mean(axis=0))])
    got = model.fit(x, batch_size=20, shuffle=False, verbose=0).history["sparsity"][0]
    assert abs(whole - halves) > 0.1 * whole
    assert got == pytest.approx(whole, rel=1e-4)


@pytest.mark.parametrize("activation", ["relu", "tanh", "linear"])
def test_l1_is_the_sum_of_magnitudes_averaged_over_the_batch(x, activation):
    model = aezoo.SparseAE(latent_dim=7, penalty="l1", weight=3.0, activation=activation)
    randomise(model, x)
    code = np.asarray(model.encode(x))
    assert activation == "relu" or code.min() < 0
    assert penalty(model, x) == pytest.approx(3 * np.abs(code).sum(axis=1).mean(), rel=1e-5)
    weight = np.linspace(0, 3, 21, dtype="float32")
    expected = 3 * np.mean(weight * np.abs(code).sum(axis=1))
    assert penalty(model, x, weight) == pytest.approx(expected, rel=1e-5)


def test_training_moves_the_mean_activation_to_the_target(x):
    rates = {}
    for weight in (0.0, 20.0):
        model = aezoo.SparseAE(latent_dim=12, target=0.1, weight=weight, seed=0)
        model.compile(keras.optimizers.Adam(0.05), steps_per_execution=50)
        model.fit(tf.data.Dataset.from_tensors(x).repeat(), steps_per_epoch=100, verbose=0)
        rates[weight] = np.asarray(model.encode(x)).mean(axis=0)
    assert np.abs(rates[20.0] - 0.1).max() < 0.02
    assert np.abs(rates[0.0] - 0.1).max() > 0.2


@pytest.mark.slow
def test_l1_training_makes_codes_sparse(x):
    active = {}
    for weight in (0.0, 0.5):
        model = aezoo.SparseAE(latent_dim=12, penalty="l1", weight=weight, activation="relu", seed=0)
        model.compile(keras.optimizers.Adam(0.02), steps_per_execution=50)
        model.fit(tf.data.Dataset.from_tensors(x).repeat(), steps_per_epoch=100, verbose=0)
        active[weight] = np.mean(np.asarray(model.encode(x)) > 1e-3)
    assert active[0.5] < 0.5 * active[0.0]


@pytest.mark.parametrize("target", [0.0, 1.0, -0.1, 2.0, float("nan")])
def test_the_target_is_inside_0_and_1(target):
    with pytest.raises(ValueError, match=r"target must be inside \(0, 1\), but target="):
        aezoo.SparseAE(latent_dim=7, target=target)


def test_bad_arguments(x):
    with pytest.raises(ValueError, match="penalty='l2' is unknown: choose one of 'kl', 'l1'"):
        aezoo.SparseAE(latent_dim=7, penalty="l2")
    with pytest.raises(ValueError, match="weight must be at least 0, but it is -1"):
        aezoo.SparseAE(latent_dim=7, weight=-1)
    for activation in ("relu", "tanh", "linear"):
        model = aezoo.SparseAE(latent_dim=7, activation=activation)
        model.compile("sgd")
        with pytest.raises(ValueError, match=f"the code's activation is '{activation}': use code_activation='sigmoid'"):
            model.fit(x, verbose=0)
    aezoo.SparseAE(latent_dim=7, activation="relu", code_activation="sigmoid")(x)


@pytest.mark.slow
def test_the_default_weight_comes_near_the_target_and_keeps_the_code_sparse():
    assert aezoo.SparseAE(4, penalty="l1").weight == 0.02
    digits = aezoo.datasets.load("digits")[0][0]
    model = aezoo.SparseAE(64, seed=0)
    assert model.weight == 1.0
    model.compile(model.default_optimizer(), steps_per_execution=45)
    keras.utils.set_random_seed(0)
    model.fit(digits, epochs=60, batch_size=32, verbose=0)
    z = np.asarray(model.encode(digits))
    assert 0.05 < z.mean() < 0.07
    assert aezoo.evaluation.population_sparsity(z) > 0.5
