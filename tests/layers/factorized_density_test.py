"""The learned density and the quantizer against integration, SciPy and NumPy."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from aezoo.layers import FactorizedDensity, Quantizer


@pytest.fixture(scope="module")
def density():
    """Three channels whose densities have several bumps."""
    density = FactorizedDensity(seed=0)
    density.build((None, 3))
    rng = np.random.default_rng(0)
    for variable in density.trainable_variables:
        variable.assign(variable + rng.normal(0, 0.7, variable.shape))
    return density


@pytest.mark.slow
def test_the_derivative_of_the_cumulative_integrates_to_it(density):
    # At least 1 / 400 away from a step: the narrowest bump is some tenths wide.
    y = np.linspace(-400.0, 400.0, 400_001)
    with tf.GradientTape() as tape:
        grid = tf.constant(np.stack([y] * 3))
        tape.watch(grid)
        c = tf.sigmoid(density.logits(grid))
    p = tape.gradient(c, grid).numpy()
    assert (p >= 0).all()
    integral = np.cumsum((p[:, 1:] + p[:, :-1]) / 2 * np.diff(y), axis=1)
    np.testing.assert_allclose(integral[:, -1], 1.0, atol=1e-4)
    np.testing.assert_allclose(integral, density.cumulative(np.stack([y] * 3, 1)).T[:, 1:], atol=1e-4)


def test_bits_are_those_of_the_cumulative_and_their_probabilities_sum_to_1(density):
    y = np.arange(-300.0, 301.0)
    bits = np.asarray(density(np.stack([y] * 3, 1).astype("float32")))
    mass = density.cumulative(np.stack([y + 0.5] * 3, 1)) - density.cumulative(np.stack([y - 0.5] * 3, 1))
    likely = mass > 1e-9
    assert likely.sum() > 20
    np.testing.assert_allclose(bits[likely], -np.log2(mass[likely]), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose((2.0**-bits).sum(axis=0), 1.0, atol=1e-3)


def test_the_bits_of_a_code_with_space_are_those_of_its_channels(density):
    y = np.random.default_rng(1).normal(0, 3, (2, 4, 5, 3)).astype("float32")
    np.testing.assert_allclose(density(y), np.reshape(density(y.reshape(-1, 3)), y.shape), rtol=1e-6)


@pytest.mark.slow_cases("True")
@pytest.mark.parametrize("jit_compile", [False, True])
def test_far_out_in_a_tail_the_bits_are_finite_and_their_gradient_leads_back(density, jit_compile):
    y = tf.constant([[-3e4] * 3, [3e4] * 3])

    @tf.function(jit_compile=jit_compile, autograph=False)
    def slope(y):
        with tf.GradientTape() as tape:
            tape.watch(y)
            bits = density(y)
        return bits, tape.gradient(bits, y)

    bits, gradient = slope(y)
    assert np.isfinite(bits).all() and np.min(bits) > 100
    np.testing.assert_array_equal(np.sign(gradient), [[-1] * 3, [1] * 3])


@pytest.mark.slow
def test_it_learns_a_known_distribution():
    rng = np.random.default_rng(0)
    scale, mean = np.array([0.8, 4.0]), np.array([0.3, -11.0])
    density = FactorizedDensity(seed=0)
    density.build((None, 2))
    optimizer = keras.optimizers.Adam(0.02)

    @tf.function(autograph=False)
    def step(y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.reduce_sum(density(y), axis=1))
        variables = density.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    optimizer.build(density.trainable_variables)
    for _ in range(1000):
        y = rng.normal(mean, scale, (1000, 2)) + rng.uniform(-0.5, 0.5, (1000, 2))
        step(tf.constant(y.astype("float32")))
    k = np.arange(-60.0, 61.0)[:, None]
    p = scipy.stats.norm.cdf(k + 0.5, mean, scale) - scipy.stats.norm.cdf(k - 0.5, mean, scale)
    entropy = scipy.stats.entropy(p, base=2)
    cross_entropy = (p * np.asarray(density(np.repeat(k, 2, 1).astype("float32")))).sum(axis=0)
    assert (cross_entropy >= entropy - 1e-3).all()
    np.testing.assert_allclose(cross_entropy, entropy, rtol=0.02)


def test_the_quantizer_rounds_and_adds_uniform_noise_in_training():
    y = np.random.default_rng(0).normal(0, 5, (100, 40)).astype("float32")
    quantizer = Quantizer(seed=3)
    np.testing.assert_array_equal(quantizer(y), np.rint(y))
    noise = np.asarray(quantizer(y, training=True) - y).ravel()
    assert scipy.stats.kstest(noise, "uniform", args=(-0.5, 1.0)).pvalue > 0.01
    again = np.asarray(quantizer(y, training=True) - y).ravel()
    assert abs(np.corrcoef(noise, again)[0, 1]) < 0.1
    np.testing.assert_array_equal(np.asarray(Quantizer(seed=3)(y, training=True) - y).ravel(), noise)


def test_the_gradient_passes_the_noise():
    y = tf.Variable([[0.3, 1.7]])
    with tf.GradientTape() as tape:
        z = tf.reduce_sum(Quantizer(seed=0)(y, training=True) * [[2.0, 3.0]])
    np.testing.assert_array_equal(tape.gradient(z, y), [[2.0, 3.0]])


def test_half_precision_keeps_odd_integers():
    quantizer = Quantizer(dtype="mixed_float16")
    assert float(quantizer(tf.constant([[4097.0]]))[0, 0]) == 4097.0
