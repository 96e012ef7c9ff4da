"""Latent diffusion: against the denoiser of Gaussian codes, which is known, and the contract of a train step."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo import testing
from aezoo.models.diffusion import FIRST

MEAN = np.array([1.0, -0.5])
COVARIANCE = np.array([[1.5, 0.9], [0.9, 0.8]])
CODES = np.random.default_rng(0).multivariate_normal(MEAN, COVARIANCE, 21).astype("float32")


def autoencoder(latent_dim=2, features=4):
    model = aezoo.Autoencoder(latent_dim, output_activation="linear", seed=0, name="ae")
    model.build((None, features))
    return model


def made(**arguments):
    sampler = aezoo.LatentDiffusion(autoencoder(), **{"width": 8, "depth": 1, "seed": 0, **arguments})
    sampler.build((None, 2))
    rng = np.random.default_rng(1)
    for variable in sampler.network.trainable_variables:  # those that start at 0 too
        variable.assign(variable + 0.3 * rng.normal(size=variable.shape))
    return sampler


@pytest.fixture(scope="module")
def known():
    """A model whose network is replaced by E[z given zₜ] of codes that are distributed as N(MEAN, COVARIANCE)."""
    sampler = made()

    def denoised(noisy, t):  # of one time for all codes
        alpha, sigma = (level[0, 0] for level in sampler.coefficients(t))
        gain = alpha * covariance @ tf.linalg.inv(alpha**2 * covariance + sigma**2 * tf.eye(2))
        return mean + (noisy - alpha * mean) @ gain

    mean, covariance = (tf.constant(moment, "float32") for moment in (MEAN, COVARIANCE))
    sampler.denoised = denoised
    return sampler


def test_with_the_exact_denoiser_the_score_is_exact(known):
    for t in (0.1, 0.5, 0.9):
        alpha, sigma = np.cos(np.pi * t / 2), np.sin(np.pi * t / 2)
        precision = np.linalg.inv(alpha**2 * COVARIANCE + sigma**2 * np.eye(2))  # of zₜ
        expected = (alpha * MEAN - CODES) @ precision
        np.testing.assert_allclose(known.score(CODES, np.full(21, t)), expected, rtol=2e-3, atol=1e-4)


def test_sampling_solves_the_equation_of_the_flow(known):
    """Along each principal axis, zₜ - α μ stays in proportion to its standard deviation, √(α² λ + σ²)."""
    n, seed = 500, tf.constant([3, 0], "int64")
    noise = tf.random.stateless_normal(
        (n, 2), tf.random.experimental.stateless_fold_in(seed, 0, alg="philox"), alg="philox"
    )
    last = np.pi / 2 * (1 - FIRST)
    values, axes = np.linalg.eigh(COVARIANCE)
    stretch = np.sqrt(values / (np.cos(last) ** 2 * values + np.sin(last) ** 2))
    expected = MEAN + ((noise - np.cos(last) * MEAN) @ axes * stretch) @ axes.T
    errors = [np.abs(known.sample_codes(n, 3, steps=steps) - expected).max() for steps in (20, 400)]
    assert errors[1] < 0.03 and errors[1] < errors[0] / 10, "an error of the first order in the size of a step"


@pytest.mark.parametrize(("steps", "variance"), [(50, 0.952), (100, 0.976)])
def test_few_steps_make_samples_too_alike(steps, variance):
    """The page states these numbers, of codes that are distributed as N(0, I): E[z given zₜ] = α zₜ."""
    sampler = made()
    sampler.denoised = lambda noisy, t: sampler.coefficients(t)[0] * noisy
    ratio = sampler.sample_codes(3, 0, steps=steps) / sampler.sample_codes(3, 0, steps=2000)
    assert np.mean(np.square(ratio)) == pytest.approx(variance, abs=0.002)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_sampling_asks_only_for_times_of_training(eta):
    sampler, times = made(), []

    def denoised(noisy, t):
        with tf.control_dependencies([tf.py_function(lambda first: times.append(float(first)), [t[0]], [])]):
            return 0.5 * noisy

    sampler.denoised = denoised
    draw, seed = tf.function(sampler.draw), tf.constant([3, 0], "int64")
    codes = draw(tf.constant(4), seed, tf.constant(300), tf.constant(eta))
    assert len(times) == 300 and min(times) == pytest.approx(FIRST) and max(times) == pytest.approx(1 - FIRST)
    assert np.all(np.isfinite(codes))
    times.clear()
    draw(tf.constant(4), seed, tf.constant(232), tf.constant(eta))
    np.testing.assert_allclose(times, (1 - FIRST) * (1 - np.arange(232) / 232), rtol=1e-4)


@pytest.mark.slow_cases("0.0")
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_samples_have_the_moments(known, eta):
    codes = np.asarray(known.sample_codes(4000, 0, steps=400, eta=eta))
    np.testing.assert_allclose(codes.mean(axis=0), MEAN, atol=0.07)
    np.testing.assert_allclose(np.cov(codes, rowvar=False), COVARIANCE, atol=0.12)


def test_eta_adds_noise_of_its_own(known):
    """Two draws that begin with the same noise."""
    start = known.sample_codes(2000, 0, steps=20)
    fresh = known.sample_codes(2000, 0, steps=20, eta=1.0)
    shared = np.corrcoef(np.ravel(start - MEAN), np.ravel(fresh - MEAN))[0, 1]
    assert -0.1 < shared < 0.5
    np.testing.assert_array_equal(start, known.sample_codes(2000, 0, steps=20))
    assert not np.allclose(known.sample_codes(9, steps=20), known.sample_codes(9, steps=20))


def test_the_term_is_the_squared_error_of_v():
    sampler = made()
    sampler.compile(run_eagerly=True)
    sampler.initialize_from(CODES)
    z = (CODES - CODES.mean(axis=0)) / CODES.std(axis=0)
    rng = np.random.default_rng(0)
    u, noise = rng.random(21).astype("float32"), rng.normal(size=(21, 2)).astype("float32")
    sampler.random.uniform, sampler.random.normal = (lambda shape: tf.constant(u)), (lambda shape: tf.constant(noise))
    t = FIRST + (1 - 2 * FIRST) * u
    alpha, sigma = np.cos(np.pi * t / 2)[:, None], np.sin(np.pi * t / 2)[:, None]
    noisy, v = tf.constant(alpha * z + sigma * noise, "float32"), alpha * noise - sigma * z
    errors = np.sum((v - sampler.network({"noisy": noisy, "t": tf.constant(t, "float32")})) ** 2, axis=1)
    found = sampler.evaluate(CODES, batch_size=21, verbose=0, return_dict=True)
    assert found["denoising"] == pytest.approx(np.mean(errors), rel=1e-4)
    sampler.network = lambda inputs, training=False: tf.constant(v, "float32")  # the right answer
    np.testing.assert_allclose(sampler.denoised(noisy, t), z, atol=2e-3)
    assert sampler.evaluate(CODES, batch_size=21, verbose=0, return_dict=True)["denoising"] < 1e-6


@pytest.mark.slow
def test_the_time_and_the_seed_matter():
    sampler = made(dropout=0.2)
    noisy = tf.constant(CODES[:5])
    early, late = (sampler.network({"noisy": noisy, "t": tf.fill((5,), t)}).numpy() for t in (0.1, 0.6))
    assert np.abs(early - late).max() > 0.1
    again = made(dropout=0.2)
    np.testing.assert_array_equal(early, again.network({"noisy": noisy, "t": tf.fill((5,), 0.1)}))


@pytest.mark.slow
def test_codes_that_are_maps():
    model = aezoo.VQVAE(latent_dim=3, codebook_size=4, filters=(4,), spatial=True, seed=0)
    model.build((None, 8, 8, 1))
    sampler = aezoo.LatentDiffusion(model, width=4, depth=2, seed=0)
    sampler.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    codes = np.random.default_rng(0).normal(2, 3, (19, 2, 2, 3)).astype("float32")
    sampler.fit(codes, verbose=0)
    np.testing.assert_allclose(sampler.scale, codes.std(axis=(0, 1, 2)), rtol=1e-5)
    samples = sampler.sample(3, seed=1, steps=2)
    assert samples.shape == (3, 8, 8, 1)
    np.testing.assert_array_equal(samples, model.decode(sampler.sample_codes(3, 1, steps=2)))


@pytest.mark.slow
def test_a_trained_model_draws_the_modes_as_often_as_they_occur():
    centers, weights = np.array([[-3.0, 0], [3, 3], [2, -4]]), np.array([0.2, 0.3, 0.5])
    rng = np.random.default_rng(0)
    codes = centers[rng.choice(3, 4000, p=weights)] + 0.3 * rng.normal(size=(4000, 2))
    sampler = aezoo.LatentDiffusion(autoencoder(), width=64, depth=2, seed=0)
    keras.utils.set_random_seed(0)
    sampler.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(4e-3, 20 * 32)))
    sampler.fit(codes.astype("float32"), epochs=20, batch_size=128, verbose=0)
    for eta in (0.0, 1.0):
        drawn = np.asarray(sampler.sample_codes(4000, 0, eta=eta))
        distances = np.linalg.norm(drawn[:, None] - centers, axis=2)
        assert np.mean(distances.min(axis=1) < 1.2) > 0.96, "within four standard deviations of a mode"
        np.testing.assert_allclose(np.bincount(distances.argmin(axis=1)) / 4000, weights, atol=0.05)


def test_wrong_arguments_are_errors():
    model = autoencoder()
    for arguments, message in (
        ({"width": 0}, "width"),
        ({"depth": 0}, "depth"),
        ({"steps": 0}, "steps"),
        ({"dropout": 1.0}, "dropout"),
        ({"eta": 1.5}, "eta"),
    ):
        with pytest.raises(ValueError, match=message):
            aezoo.LatentDiffusion(model, **arguments)
    sampler = made()
    for arguments, message in (({"n": 0}, "n"), ({"n": 2, "steps": 0}, "steps"), ({"n": 2, "eta": -1}, "eta")):
        with pytest.raises(ValueError, match=message):
            sampler.sample(**arguments)


def quiet(**kw):
    """The middle of each noise, so that v = -σ z."""
    sampler = aezoo.LatentDiffusion(autoencoder(), width=8, depth=1, seed=0, **kw)
    sampler.random.uniform = lambda shape: tf.fill(shape, 0.4)
    sampler.random.normal = tf.zeros
    return sampler


CASE = testing.Case(
    lambda **kw: aezoo.LatentDiffusion(autoencoder(), width=8, depth=1, dropout=0.2, seed=0, **kw),
    CODES,
    quiet=quiet,
    learning_rate=1e-2,
)
QUICK = ("configuration", "declared")
SLOW = ("weight_zero", "replicas", "execution", "tracing", "determinism", "divergence", "epoch_means", "sample_weights")
SLOW += ("mixed_precision", "saving", "accumulation")


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_the_contract_of_a_train_step(name):
    getattr(testing, name)(CASE)
