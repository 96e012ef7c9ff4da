"""Priors of a VAE against SciPy, sums over a grid and automatic differentiation."""

import functools
import itertools

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

import aezoo
from aezoo import priors
from aezoo.training.batch import Batch

RNG = np.random.default_rng(0)
X = (RNG.random((30, 6)) < 0.4).astype("float32")
PRIORS = {"vamp": priors.VampPrior(5), "flow": priors.FlowPrior(layers=3, units=8, seed=0)}
EACH = pytest.mark.parametrize("name", PRIORS)


def model(name=None, latent_dim=2, moved=0.5, **arguments):
    """A VAE whose weights are moved at random from where they start."""
    vae = aezoo.VAE(latent_dim, hidden_dims=(8,), prior=PRIORS.get(name), seed=0, **arguments)
    vae.build((None, 6))
    vae.compile(keras.optimizers.SGD(0.01), run_eagerly=True)
    vae.initialize_from(X)
    rng = np.random.default_rng(1)  # the same weights whichever tests ran before
    for variable in vae.trainable_variables:
        variable.assign(variable + rng.normal(0, moved, variable.shape))
    return vae


def grid(size=160, limit=9.0):
    axis = np.linspace(-limit, limit, size, dtype="float32")
    return np.array(list(itertools.product(axis, axis))), (axis[1] - axis[0]) ** 2


@EACH
def test_a_density_integrates_to_one_and_draws_follow_it(name):
    vae = model(name, moved=0.25)
    z, cell = grid()
    p = np.exp(np.asarray(vae.prior.log_density(tf.constant(z), vae), "float64")) * cell
    assert p.sum() == pytest.approx(1, abs=1e-3)
    draws = np.asarray(vae._codes(20_000, 0))
    mean = p @ z
    np.testing.assert_allclose(draws.mean(axis=0), mean, atol=0.05)
    np.testing.assert_allclose(np.cov(draws.T), (z - mean).T @ (p[:, None] * (z - mean)), atol=0.1)
    # Quadrants have the mass that the density says.
    for signs in itertools.product((-1, 1), (-1, 1)):
        share = np.mean((draws * signs > 0).all(axis=1))
        assert share == pytest.approx(p[(z * signs > 0).all(axis=1)].sum(), abs=0.03)


def test_a_vamp_prior_is_the_mean_of_the_posteriors_of_its_inputs():
    vae = model("vamp")
    z = RNG.normal(size=(4, 3, 2)).astype("float32")
    mean, log_variance = (np.asarray(m, "float64") for m in vae.moments(vae.prior.inputs))
    logs = scipy.stats.norm.logpdf(z[:, :, None], mean, np.exp(log_variance / 2)).sum(axis=-1)
    expected = scipy.special.logsumexp(logs, axis=-1) - np.log(5)
    np.testing.assert_allclose(vae.prior.log_density(tf.constant(z), vae), expected, rtol=1e-4, atol=1e-5)
    # The same for many calls, also where a component is narrow and far from 0.
    np.testing.assert_allclose(vae.prior.density(vae)(z[0]), expected[0], rtol=1e-5, atol=1e-5)
    vae.posterior.get_layer("log_variance").bias.assign([-8.0, -8.0])
    vae.posterior.get_layer("code").bias.assign([30.0, -30.0])
    z = np.asarray(vae.moments(vae.prior.inputs)[0]) + 0.01
    np.testing.assert_allclose(vae.prior.density(vae)(z), vae.prior.log_density(z, vae), rtol=1e-4, atol=1e-3)


@pytest.mark.slow
def test_the_inputs_of_a_vamp_prior_start_at_samples_and_stay_in_the_range_of_the_output():
    vae = model("vamp", moved=0.0)
    start = X[np.linspace(0, 29, 5).round().astype(int)]
    np.testing.assert_array_equal(vae.prior.inputs, start)
    vae.compile(keras.optimizers.SGD(1.0))
    vae.fit(X, epochs=3, verbose=0)
    inputs = np.asarray(vae.prior.inputs)
    assert np.abs(inputs - start).max() > 1e-3 and inputs.min() >= 0 and inputs.max() <= 1


def test_a_flow_is_invertible_and_its_determinant_is_that_of_the_jacobian():
    flow = priors.FlowPrior(layers=4, units=8, seed=0)
    flow.build_units(5)
    for variable in flow.trainable_variables:
        variable.assign(variable + RNG.normal(0, 0.5, variable.shape))
    z = tf.constant(RNG.normal(size=(6, 5)), "float32")
    with tf.GradientTape() as tape:
        tape.watch(z)
        u, log_det = flow.forward(z)
    expected = np.linalg.slogdet(tape.batch_jacobian(u, z).numpy().astype("float64"))[1]
    np.testing.assert_allclose(log_det, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(flow.inverse(u), z, atol=1e-4)
    assert np.abs(u - z).max() > 0.1


def test_an_untrained_flow_is_the_standard_normal():
    with_flow, plain = model("flow", moved=0.0), model(moved=0.0)
    np.testing.assert_allclose(
        with_flow.prior.log_density(tf.constant([[0.5, -2.0]]), with_flow),
        scipy.stats.norm.logpdf([0.5, -2.0]).sum(keepdims=True),
        rtol=1e-5,
    )
    np.testing.assert_array_equal(with_flow.sample(4, seed=1), plain.sample(4, seed=1))
    np.testing.assert_allclose(with_flow.log_likelihood(X, 4000), plain.log_likelihood(X, 4000), atol=0.02)


@pytest.mark.slow_cases("vamp")
@EACH
def test_the_loss_and_the_likelihood_are_of_that_prior(name):
    vae = model(name, moved=0.2)
    vae.posterior.get_layer("log_variance").bias.assign([0.7, 0.7])  # wide, so that no weight is large
    mean, log_variance = vae.moments(X)
    noise = RNG.normal(size=(1, 30, 2)).astype("float32")
    vae.noise = lambda shape: tf.constant(noise)
    terms, _ = vae.objective(Batch.of(X), training=True)
    z = mean + tf.exp(0.5 * log_variance) * noise[0]
    entropy = scipy.stats.norm.entropy(scale=np.exp(np.asarray(log_variance) / 2)).sum(axis=1)
    expected = np.mean(-entropy - np.asarray(vae.prior.log_density(z, vae)))
    assert float(terms["kl"]) == pytest.approx(expected, rel=1e-4)
    # log p(x) is the sum over a grid of codes.
    z, cell = grid()
    p = np.clip(np.asarray(vae.decode(z), "float64"), 1e-12, 1 - 1e-12)
    log_prior = np.asarray(vae.prior.log_density(tf.constant(z), vae), "float64")
    log_joint = X @ np.log(p).T + (1 - X) @ np.log1p(-p).T + log_prior
    exact = scipy.special.logsumexp(log_joint, axis=1) + np.log(cell)
    np.testing.assert_allclose(vae.log_likelihood(X, 20_000), exact, atol=0.05)
    # At z = μ, -log p(μ) takes the place of its expectation.
    given = -np.sum(X * np.log(vae.decode(mean)) + (1 - X) * np.log1p(-vae.decode(mean)), axis=1)
    np.testing.assert_allclose(
        vae.score_samples(X), given - entropy - np.asarray(vae.prior.log_density(mean, vae)), rtol=1e-4
    )


@pytest.mark.slow_cases("vamp")
@EACH
def test_all_weights_of_a_prior_are_trained_and_saved(name, tmp_path):
    vae = model(name)
    before = vae.prior.get_weights()
    vae.fit(X, epochs=2, verbose=0)
    assert all(not np.array_equal(a, b) for a, b in zip(before, vae.prior.get_weights(), strict=True))
    vae.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.sample(5, seed=3), vae.sample(5, seed=3))
    np.testing.assert_array_equal(loaded.score_samples(X), vae.score_samples(X))


@EACH
@pytest.mark.slow
def test_a_learned_prior_fits_codes_that_are_no_gaussian(name):
    x = np.repeat(np.eye(6, dtype="float32")[:3], 40, axis=0)
    scores = {}
    for kind in (name, None):
        vae = aezoo.VAE(2, hidden_dims=(16,), prior=PRIORS.get(kind), seed=0)
        vae.compile(keras.optimizers.Adam(0.01))
        vae.fit(x, epochs=60, batch_size=20, shuffle=False, verbose=0)
        scores[kind] = float(np.mean(vae.log_likelihood(x, 2000)))
    assert scores[name] > scores[None] + 0.1
    assert scores[name] < -np.log(3)  # the entropy of the data


@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        ({"prior": "normal"}, (6,), r"'vamp', 'flow', an aezoo\.priors\.Prior, or None"),
        ({"prior": priors.FlowPrior(), "free_bits": 0.1}, (6,), "a learned prior does not have"),
        ({"gradient_estimator": "dreg"}, (6,), "set importance_samples"),
        ({"gradient_estimator": "other", "importance_samples": 2}, (6,), "gradient_estimator"),
        ({"prior": priors.FlowPrior(), "latent_dim": 1}, (6,), "at least 2 units"),
    ],
)
def test_mistakes_end_in_a_sentence(arguments, shape, message):
    with pytest.raises(ValueError, match=message):
        aezoo.VAE(**{"latent_dim": 2, **arguments}).build((None, *shape))


def test_priors_have_names():
    assert type(aezoo.VAE(2, prior="vamp").prior) is priors.VampPrior
    assert type(aezoo.VAE(2, prior="flow").prior) is priors.FlowPrior


def test_a_vamp_prior_needs_no_condition():
    cvae = aezoo.ConditionalVAE(2, num_classes=3, prior=priors.VampPrior(4))
    with pytest.raises(ValueError, match="a model without conditions"):
        cvae.build({"x": (None, 6), "label": (None,)})


# === Gradients of an importance-weighted bound ===


@functools.cache
def weighted(estimator, name=None, k=5, beta=1.0):
    vae = model(name, importance_samples=k, gradient_estimator=estimator, beta=beta)
    for variable, value in zip(vae.trainable_variables, WEIGHTS[name], strict=True):
        variable.assign(value)
    return vae


def gradients(estimator, noise, name=None, **arguments):
    vae = weighted(estimator, name, **arguments)
    vae.noise = lambda shape: tf.constant(noise)
    with tf.GradientTape() as tape:
        terms, _ = vae.objective(Batch.of(X), training=True)
        loss = terms["importance_weighted_bound"]
    return vae, loss, tape.gradient(loss, [v.value for v in vae.trainable_variables])


WEIGHTS = {name: [np.asarray(v) for v in model(name).trainable_variables] for name in (None, "flow")}


@pytest.mark.parametrize("name", WEIGHTS)
def test_doubly_reparameterized_gradients_weigh_the_paths_through_z_twice(name):
    noise = RNG.normal(size=(5, 30, 2)).astype("float32")
    vae, loss, got = gradients("dreg", noise, name, beta=0.7)
    standard_loss, standard = gradients("standard", noise, name, beta=0.7)[1:]
    assert float(loss) == pytest.approx(float(standard_loss), rel=1e-5)
    # By hand: log w of z alone, with the parameters of q fixed.
    posterior = vae.posterior.trainable_variables
    with tf.GradientTape(persistent=True) as tape:
        mean, log_variance = vae.moments(X)
        z = mean + tf.exp(0.5 * log_variance) * noise
        fixed = tf.stop_gradient(z)
        tape.watch(fixed)
        y = tf.reshape(vae.decode_parameters(tf.reshape(fixed, (-1, 2))), (5, 30, 6))
        log_px = tf.reduce_sum(X * tf.math.log(y) + (1 - X) * tf.math.log(1 - y), axis=-1)
        log_p = -0.5 * tf.reduce_sum(fixed**2 + np.log(2 * np.pi), -1)
        if name:
            log_p = vae.prior.log_density(fixed, vae)
        m, v = tf.stop_gradient(mean), tf.stop_gradient(log_variance)
        log_q = -0.5 * tf.reduce_sum((fixed - m) ** 2 / tf.exp(v) + v + np.log(2 * np.pi), -1)
        log_w = log_px + 0.7 * (log_p - log_q)
    w = tf.nn.softmax(log_w, axis=0)
    of_z = tape.gradient(log_w, fixed, output_gradients=-(w**2) / 30)
    expected = tape.gradient(z, [variable.value for variable in posterior], output_gradients=of_z)
    by_name = {variable.path: value for variable, value in zip(vae.trainable_variables, got, strict=True)}
    for variable, value in zip(posterior, expected, strict=True):
        np.testing.assert_allclose(by_name[variable.path], value, rtol=1e-3, atol=1e-5)
    # The other weights have the gradient of the loss.
    of_encoder = {variable.path for variable in posterior}
    for variable, mine, theirs in zip(vae.trainable_variables, got, standard, strict=True):
        if variable.path not in of_encoder:
            np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_doubly_reparameterized_gradients_are_unbiased_and_less_noisy_and_those_of_stl_biased():
    found = {name: [] for name in ("standard", "dreg", "stl")}
    for _ in range(150):
        noise = RNG.normal(size=(8, 30, 2)).astype("float32")
        for name, values in found.items():
            vae, _, grads = gradients(name, noise, k=8)
            of_encoder = {variable.path for variable in vae.posterior.trainable_variables}
            kept = [np.ravel(g) for v, g in zip(vae.trainable_variables, grads, strict=True) if v.path in of_encoder]
            values.append(np.concatenate(kept))
    used = np.std(found["standard"], axis=0) > 0  # some hidden units are 0 for all samples
    found = {name: np.stack(values)[:, used] for name, values in found.items()}
    mean = {name: np.mean(values, axis=0) for name, values in found.items()}
    error = {name: np.std(values, axis=0) / np.sqrt(150) for name, values in found.items()}
    z = (mean["dreg"] - mean["standard"]) / np.hypot(error["dreg"], error["standard"])
    assert np.sqrt(np.mean(z**2)) < 1.3
    z = (mean["stl"] - mean["standard"]) / np.hypot(error["stl"], error["standard"])
    assert np.sqrt(np.mean(z**2)) > 2
    assert np.sum(error["dreg"] ** 2) < 0.8 * np.sum(error["standard"] ** 2)


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_estimator_trains_in_a_graph_as_without(jit_compile):
    trained = []
    for options in ({"run_eagerly": True}, {"jit_compile": jit_compile}):
        vae = aezoo.VAE(2, hidden_dims=(8,), importance_samples=3, gradient_estimator="dreg", seed=0)
        vae.noise = lambda shape: tf.reshape(tf.sin(tf.range(tf.reduce_prod(shape), dtype="float32")), shape)
        vae.compile(keras.optimizers.SGD(0.1), **options)
        vae.fit(X, batch_size=10, epochs=2, shuffle=False, verbose=0)
        trained.append(vae.get_weights())
    for a, b in zip(*trained, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
