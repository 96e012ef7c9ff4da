"""Samplers of codes: mixtures that are known, densities by integration, and what a file and an export contain."""

import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import multivariate_normal
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

import aezoo
from aezoo import testing

CENTERS, WEIGHTS = np.array([[-3.0, 0], [3, 3], [2, -4]]), np.array([0.2, 0.3, 0.5])
DEVIATION = 0.4
RNG = np.random.default_rng(0)
CODES = (CENTERS[RNG.choice(3, 2000, p=WEIGHTS)] + DEVIATION * RNG.normal(size=(2000, 2))).astype("float32")


def autoencoder():
    model = aezoo.ContractiveAE(2, output_activation="linear", seed=0, name="ae")
    model.build((None, 4))
    return model


def flow(**arguments):
    return aezoo.FlowSampler(autoencoder(), **{"layers": 3, "units": 8, "seed": 0, **arguments})


def built_flow():
    sampler = flow()
    sampler.build((None, 2))
    sampler.initialize_from(CODES)
    rng = np.random.default_rng(1)
    for variable in sampler.trainable_variables:
        variable.assign(variable + 0.3 * rng.normal(size=variable.shape))
    return sampler


# === Mixtures ===


@pytest.fixture(scope="module")
def mixture():
    return aezoo.MixtureSampler(autoencoder(), GaussianMixture(3, random_state=0)).fit(CODES)


def test_a_known_mixture_is_found_and_drawn(mixture):
    order = np.argsort(mixture.mixture.weights_)
    np.testing.assert_allclose(mixture.mixture.weights_[order], WEIGHTS, atol=0.03)
    np.testing.assert_allclose(mixture.mixture.means_[order], CENTERS, atol=0.1)
    drawn = np.asarray(mixture.sample_codes(4000, seed=0))
    nearest = np.linalg.norm(drawn[:, None] - CENTERS, axis=2).argmin(axis=1)
    np.testing.assert_allclose(np.bincount(nearest) / 4000, WEIGHTS, atol=0.04)
    for k in range(3):
        np.testing.assert_allclose(drawn[nearest == k].std(axis=0), DEVIATION, atol=0.05)
    assert np.any(np.diff(nearest[:100]) < 0), "in random order, not one component after the other"


def test_the_likelihood_of_a_mixture(mixture):
    found = mixture.mixture
    parts = zip(found.weights_, found.means_, found.covariances_, strict=True)
    density = sum(weight * multivariate_normal(mean, covariance).pdf(CODES[:9]) for weight, mean, covariance in parts)
    np.testing.assert_allclose(mixture.log_likelihood(CODES[:9]), np.log(density), rtol=1e-4)


def test_samples_of_a_mixture_are_decoded_and_reproducible(mixture):
    codes = mixture.sample_codes(6, seed=3)
    np.testing.assert_array_equal(mixture.sample(6, seed=3), mixture.autoencoder.decode(codes))
    assert not np.array_equal(codes, mixture.sample_codes(6, seed=4))
    assert not np.array_equal(mixture.sample_codes(6), mixture.sample_codes(6))
    again = pickle.loads(pickle.dumps(mixture))
    np.testing.assert_array_equal(again.sample(6, seed=3), mixture.sample(6, seed=3))


@pytest.mark.parametrize("seed", [-1, -(2**40), 2**32, 2**40, 2**64 + 1])
def test_every_integer_is_a_seed_of_a_mixture(mixture, seed):
    codes = mixture.sample_codes(6, seed=seed)
    np.testing.assert_array_equal(codes, mixture.sample_codes(6, seed=seed))
    assert not np.array_equal(codes, mixture.sample_codes(6, seed=seed + 1))


def test_the_mixture_that_is_given_stays_as_it_is():
    given = BayesianGaussianMixture(n_components=2, random_state=0)
    sampler = aezoo.MixtureSampler(autoencoder(), given).fit(CODES[:50])
    assert not hasattr(given, "weights_") and sampler.sample(2).shape == (2, 4)


# === Flows ===


def test_the_density_of_a_flow_integrates_to_one():
    sampler = built_flow()
    grid = np.stack(np.meshgrid(np.linspace(-20, 20, 200), np.linspace(-20, 20, 200)), axis=-1).reshape(-1, 2)
    p = np.exp(sampler.log_likelihood(grid.astype("float32")))
    assert p.sum() * (40 / 199) ** 2 == pytest.approx(1, abs=0.01)
    sampler.compile(run_eagerly=True)
    found = sampler.evaluate(CODES[:200], verbose=0, return_dict=True)["negative_log_likelihood"]
    assert found == pytest.approx(-np.mean(sampler.log_likelihood(CODES[:200])), rel=1e-4)


def test_draws_of_a_flow_are_the_inverse_of_its_map():
    sampler = built_flow()
    codes = sampler.sample_codes(4000, seed=0)
    u = np.asarray(sampler(codes))
    np.testing.assert_allclose(u.mean(axis=0), 0, atol=0.06)
    np.testing.assert_allclose(np.cov(u, rowvar=False), np.eye(2), atol=0.08)
    np.testing.assert_array_equal(codes, sampler.sample_codes(4000, seed=0))


def test_a_unit_that_does_not_vary_has_no_part_in_a_flow():
    """Otherwise the flow would gain likelihood without bound by scaling the unit, which is always 0."""
    sampler = built_flow()
    line = np.stack([np.linspace(-20, 20, 2000), np.full(2000, 7.25)], axis=1).astype("float32")
    sampler.mean.assign([0.5, 7.25])
    sampler.scale.assign([3.0, 0.0])
    log_p = np.asarray(sampler.log_likelihood(line))
    assert np.exp(log_p).sum() * 40 / 1999 == pytest.approx(1, abs=0.01)
    u = np.asarray(sampler(line))
    assert np.all(u[:, 1] == 0)
    slope = np.gradient(u[:, 0].astype("float64"), line[:, 0])
    expected = -(u[:, 0] ** 2) / 2 - np.log(2 * np.pi) / 2 + np.log(slope)
    np.testing.assert_allclose(log_p, expected, atol=0.01)
    moved = line + np.array([0, 1], "float32")
    np.testing.assert_array_equal(sampler.log_likelihood(moved), log_p)
    codes = np.asarray(sampler.sample_codes(4000, seed=0))
    assert np.all(codes[:, 1] == 7.25)
    u = np.asarray(sampler(codes))[:, 0]
    assert abs(u.mean()) < 0.06 and u.std() == pytest.approx(1, abs=0.05)


def test_a_channel_that_does_not_vary_has_no_part_in_a_flow():
    model = aezoo.VQVAE(latent_dim=3, codebook_size=4, filters=(4,), spatial=True, seed=0)
    model.build((None, 8, 8, 1))
    sampler = aezoo.FlowSampler(model, layers=2, units=4, seed=0)
    sampler.build((None, 2, 2, 3))
    sampler.scale.assign([1.0, 0.0, 2.0])
    codes = np.random.default_rng(0).normal(size=(5, 2, 2, 3)).astype("float32")
    u = np.asarray(sampler(codes))  # of an untrained flow, which is the identity
    np.testing.assert_allclose(u, codes * [1, 0, 0.5], atol=1e-6)
    expected = multivariate_normal(np.zeros(8)).logpdf(u[..., [0, 2]].reshape(5, 8)) - 4 * np.log(2)
    np.testing.assert_allclose(sampler.log_likelihood(codes), expected, rtol=1e-5)


@pytest.mark.slow
def test_a_trained_flow_draws_the_modes_as_often_as_they_occur():
    sampler = flow(layers=8, units=32)
    keras.utils.set_random_seed(0)
    sampler.compile(keras.optimizers.Adam(5e-3))
    sampler.fit(CODES, epochs=60, batch_size=100, verbose=0)
    density = sum(
        w * multivariate_normal(c, DEVIATION**2 * np.eye(2)).pdf(CODES) for w, c in zip(WEIGHTS, CENTERS, strict=True)
    )
    entropy = -np.mean(np.log(density))
    assert -np.mean(sampler.log_likelihood(CODES)) < entropy + 0.3
    drawn = np.asarray(sampler.sample_codes(4000, seed=0))
    nearest = np.linalg.norm(drawn[:, None] - CENTERS, axis=2).argmin(axis=1)
    np.testing.assert_allclose(np.bincount(nearest) / 4000, WEIGHTS, atol=0.06)


# === What trained samplers share ===


def diffusion():
    return aezoo.LatentDiffusion(autoencoder(), width=4, depth=1, seed=0)


@pytest.mark.slow_cases("diffusion")
@pytest.mark.parametrize("make", [flow, diffusion])
def test_codes_are_standardized_and_units_that_do_not_vary_stay(make):
    sampler = make()
    codes = np.stack([CODES[:20, 0], np.full(20, 7.25)], axis=1).astype("float32")
    sampler.compile("sgd", run_eagerly=True)
    sampler.fit(codes, verbose=0)
    np.testing.assert_allclose(sampler.mean, [codes[:, 0].mean(), 7.25], rtol=1e-5)
    np.testing.assert_allclose(sampler.scale, [codes[:, 0].std(), 0], rtol=1e-5)
    z = sampler.standardized(codes)
    np.testing.assert_allclose(
        z, np.stack([(codes[:, 0] - codes[:, 0].mean()) / codes[:, 0].std(), 0 * z[:, 1]], 1), atol=1e-5
    )
    np.testing.assert_allclose(sampler.codes(z), codes, atol=1e-5)
    drawn = np.asarray(sampler.sample_codes(9, seed=0))
    assert np.all(drawn[:, 1] == 7.25) and np.std(drawn[:, 0]) > 0.1
    before = sampler.mean.numpy()
    sampler.fit(codes + 1, verbose=0)
    np.testing.assert_array_equal(sampler.mean, before), "a second fit continues"


@pytest.mark.slow
def test_the_autoencoder_is_not_trained_and_is_saved(tmp_path):
    sampler = flow(layers=2, units=4)
    model = sampler.autoencoder
    model.compile("adam")
    before = [w.copy() for w in model.get_weights()]
    sampler.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    sampler.fit(CODES[:20], verbose=0)
    assert all(map(np.array_equal, before, model.get_weights())) and model.trainable
    assert {id(v) for v in sampler.variables}.isdisjoint(id(v) for v in model.variables)
    sampler.save(tmp_path / "flow.keras")
    loaded = keras.saving.load_model(tmp_path / "flow.keras")
    assert isinstance(loaded.autoencoder, aezoo.ContractiveAE)
    np.testing.assert_array_equal(loaded.sample(5, seed=0), sampler.sample(5, seed=0))


@pytest.mark.slow
def test_an_export_draws(tmp_path):
    sampler = built_flow()
    sampler.export(tmp_path / "1", warmup=False)
    served = tf.saved_model.load(tmp_path / "1").signatures
    assert set(served) == {*sampler.autoencoder.signatures(), "sample"}
    found = served["sample"](n=tf.constant(5), seed=tf.constant(3, "int64"))["sample"]
    np.testing.assert_allclose(found, sampler.sample(5, seed=3), atol=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"n must be in \[1, 10,000\]"):
        served["sample"](n=tf.constant(10_001), seed=tf.constant(3, "int64"))


def test_conditions_reach_the_decoder():
    model = aezoo.ConditionalVAE(2, num_classes=3, seed=0)
    model.build((None, 4))
    sampler = aezoo.MixtureSampler(model, GaussianMixture(1)).fit(CODES[:20])
    codes = sampler.sample_codes(2, seed=0)
    np.testing.assert_array_equal(sampler.sample(2, seed=0, label=1), model.decode(codes, label=1))
    trained = aezoo.FlowSampler(model)
    trained.build((None, 2))
    with pytest.raises(ValueError, match="takes no conditions"):
        trained.export("nowhere")


def test_wrong_arguments_are_errors():
    model = autoencoder()
    encoder, decoder = aezoo.layers.spatial(channels=1, latent_dim=2)
    open_size = aezoo.Autoencoder(encoder=encoder, decoder=decoder)
    open_size.build((None, None, None, 1))
    short = aezoo.Autoencoder(1)
    short.build((None, 4))
    for call, message in (
        (lambda: aezoo.FlowSampler(aezoo.Autoencoder(2)), "no weights yet"),
        (lambda: aezoo.MixtureSampler(keras.Sequential()), "a model of aezoo with a code"),
        (lambda: aezoo.FlowSampler(open_size), "no fixed size to draw"),
        (lambda: aezoo.FlowSampler(short), "at least 2 code units"),
        (lambda: aezoo.FlowSampler(model, layers=1), "layers"),
        (lambda: aezoo.MixtureSampler(model, 3), "a mixture of sklearn.mixture"),
        (lambda: aezoo.MixtureSampler(model).sample(2), "has not been fitted"),
        (lambda: aezoo.MixtureSampler(model).log_likelihood(CODES), "has not been fitted"),
        (lambda: aezoo.MixtureSampler(model).fit(CODES[:, :1]), r"shape \(1,\)"),
        (lambda: flow().build((None, 3)), "fit the sampler on model.encode"),
        (lambda: flow().sample(2), "no weights yet"),
        (lambda: built_flow().sample(0), "n must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    sampler = built_flow()
    sampler.compile("sgd", loss="mse", run_eagerly=True)
    with pytest.raises(ValueError, match="give compile no loss"):
        sampler.fit(CODES[:8], verbose=0)


CASE = testing.Case(flow, CODES[:21], learning_rate=1e-2)
QUICK = ("configuration", "declared")
SLOW = ("weight_zero", "replicas", "execution", "tracing", "determinism", "divergence", "epoch_means", "sample_weights")
SLOW += ("mixed_precision", "saving", "accumulation")


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_the_contract_of_a_train_step(name):
    getattr(testing, name)(CASE)
