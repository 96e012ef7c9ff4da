"""The ladder VAE against the equations of its paper in NumPy, sums over a grid and a Gaussian in closed form."""

import itertools
import types

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

import aezoo
from aezoo.schedules import Linear
from aezoo.training.batch import Batch

RNG = np.random.default_rng(0)
X = (RNG.random((30, 6)) < 0.4).astype("float32")


def model(latent_dim=3, top_dim=2, moved=0.4, **arguments):
    """A ladder whose weights are moved at random from where they start."""
    arguments = {"hidden_dims": (8,), "top_hidden_dims": (5,), **arguments}
    ladder = aezoo.LadderVAE(latent_dim, top_dim=top_dim, seed=0, **arguments)
    ladder.build((None, 6))
    ladder.compile(keras.optimizers.SGD(0.01), run_eagerly=True)
    rng = np.random.default_rng(1)
    for variable in ladder.trainable_variables:
        variable.assign(variable + rng.normal(0, moved, variable.shape))
    return ladder


@pytest.fixture(scope="module")
def ladder():
    return model()


def density(z, mean, log_variance):
    return scipy.stats.norm.logpdf(z, mean, np.exp(np.asarray(log_variance) / 2)).sum(axis=-1)


def of_prior(ladder, top):
    """μ and log σ² of p(z₁|z₂), by the weights of its two layers."""
    first, first_bias, second, second_bias = (np.asarray(w, "float64") for w in ladder.top_down.get_weights())
    return np.split(np.maximum(top @ first + first_bias, 0) @ second + second_bias, 2, axis=-1)


def posterior(ladder, x, noise):
    """z₁ and z₂ made of noise, and the moments of both, as the paper has them: with precisions."""
    mean, log_variance = (np.asarray(m, "float64") for m in ladder.posterior(x))
    (lower, top), (lower_lv, top_lv) = (np.split(m, [ladder.latent_dim], axis=-1) for m in (mean, log_variance))
    of_lower, of_top = np.split(noise, [ladder.latent_dim], axis=-1)
    z_top = top + np.exp(top_lv / 2) * of_top
    prior, prior_lv = of_prior(ladder, z_top)
    precision, prior_precision = 1 / np.exp(lower_lv), 1 / np.exp(prior_lv)
    variance = 1 / (precision + prior_precision)
    merged = (lower * precision + prior * prior_precision) * variance
    z_lower = merged + np.sqrt(variance) * of_lower
    return z_lower, z_top, (merged, np.log(variance)), (top, top_lv)


def test_the_posterior_weighs_both_directions_by_precision(ladder):
    noise = RNG.normal(size=(4, 30, 5)).astype("float32")
    z_lower, z_top, (merged, log_variance), (top, top_lv) = posterior(ladder, X, noise)
    drawn = ladder.drawn(ladder.moments(X), tf.constant(noise))
    np.testing.assert_allclose(drawn[0], np.concatenate([z_lower, z_top], -1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(drawn[1][..., :3], merged, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(drawn[1][..., 3:], np.broadcast_to(top, (4, 30, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(drawn[2][..., :3], log_variance, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(drawn[2][..., 3:], np.broadcast_to(top_lv, (4, 30, 2)), rtol=1e-4, atol=1e-4)
    # The code is what there is without noise, and the decoder reads its lower level.
    z_lower, z_top, *_ = posterior(ladder, X, np.zeros((30, 5)))
    code = np.asarray(ladder.encode(X))
    np.testing.assert_allclose(code, np.concatenate([z_lower, z_top], -1), rtol=1e-4, atol=1e-5)
    of_lower, of_top = np.eye(5, dtype="float32")[[0, 4]]
    np.testing.assert_array_equal(ladder.decode(code + of_top), ladder.decode(code))
    assert np.abs(ladder.decode(code) - ladder.decode(code + of_lower)).max() > 0.01


def test_the_divergence_is_the_mean_of_the_log_ratio_over_both_levels(ladder, monkeypatch):
    n = 4000
    noise = RNG.normal(size=(n, 30, 5)).astype("float32")
    z_lower, z_top, of_lower, of_top = posterior(ladder, X, noise)
    log_q = density(z_lower, *of_lower) + density(z_top, *of_top)
    log_p = density(z_lower, *of_prior(ladder, z_top)) + scipy.stats.norm.logpdf(z_top).sum(axis=-1)
    np.testing.assert_allclose(  # log p(z) is what annealing and the importance bound use
        ladder.prior.log_density(tf.concat([z_lower[0], z_top[0]], -1), ladder), log_p[0], rtol=1e-4, atol=1e-4
    )
    expected, error = np.mean(log_q - log_p), np.std((log_q - log_p).mean(axis=1)) / np.sqrt(n)
    z, mean, log_variance = ladder.drawn(ladder.moments(X), tf.constant(noise))
    found = float(np.mean(ladder._divergence_at(z, mean, log_variance)))
    assert abs(found - expected) < 4 * error
    assert error < 0.02 and expected > 1
    # The term is taken at the drawn code, times β; the metric `kl_top` is a closed form of the upper level, without β.
    monkeypatch.setattr(ladder, "noise", lambda shape: tf.constant(noise[:1]))
    monkeypatch.setattr(ladder, "beta", types.SimpleNamespace(value=0.5))
    terms, _ = ladder.objective(Batch.of(X), training=True)
    at_first = np.mean(ladder._divergence_at(*(values[:1] for values in (z, mean, log_variance))))
    assert float(terms["kl"]) == pytest.approx(0.5 * float(at_first), rel=1e-4)
    top, top_lv = of_top
    of_top_alone = np.mean(np.sum(0.5 * (top**2 + np.exp(top_lv) - top_lv - 1), axis=-1))
    assert float(terms["kl_top"]) == pytest.approx(of_top_alone, rel=1e-4)
    assert terms.keys() == {"reconstruction", "kl", "kl_top", "active_units"}


def exact(ladder, x, size=140, limit=9.0):
    """log p(x) of a ladder with one unit per level, as a sum over a grid."""
    axis = np.linspace(-limit, limit, size)
    lower, top = np.array(list(itertools.product(axis, axis))).T[..., None]
    log_prior = density(lower, *of_prior(ladder, top)) + scipy.stats.norm.logpdf(top)[:, 0]
    code = np.concatenate([lower, top], -1).astype("float32")
    p = np.clip(np.asarray(ladder.decode(code), "float64"), 1e-12, 1 - 1e-12)
    log_joint = x @ np.log(p).T + (1 - x) @ np.log1p(-p).T + log_prior
    return scipy.special.logsumexp(log_joint, axis=1) + 2 * np.log(axis[1] - axis[0])


@pytest.mark.slow  # the tests of annealing have the same integral
def test_the_likelihood_is_the_integral_over_both_levels():
    ladder = model(1, 1, moved=0.3)
    expected = exact(ladder, X)
    tf.config.run_functions_eagerly(True)  # tracing takes longer
    try:
        np.testing.assert_allclose(ladder.log_likelihood(X, 10_000), expected, atol=0.05)
    finally:
        tf.config.run_functions_eagerly(False)
    bounds = [ladder.evaluate(X, verbose=0, return_dict=True)["loss"] for _ in range(10)]
    assert np.mean(bounds) > -expected.mean() + 0.02


def test_the_importance_weighted_bound_has_weights_of_both_levels():
    ladder = model(importance_samples=4)
    noise = RNG.normal(size=(4, 30, 5)).astype("float32")
    ladder.noise = lambda shape: tf.constant(noise)
    terms, _ = ladder.objective(Batch.of(X), training=True)
    z_lower, z_top, of_lower, of_top = posterior(ladder, X, noise)
    log_p = density(z_lower, *of_prior(ladder, z_top)) + scipy.stats.norm.logpdf(z_top).sum(axis=-1)
    log_q = density(z_lower, *of_lower) + density(z_top, *of_top)
    code = np.concatenate([z_lower, z_top], -1).reshape(-1, 5).astype("float32")
    p = np.asarray(ladder.decode(code), "float64").reshape(4, 30, 6)
    log_given = np.sum(X * np.log(p) + (1 - X) * np.log1p(-p), axis=-1)
    bound = -np.mean(scipy.special.logsumexp(log_given + log_p - log_q, axis=0) - np.log(4))
    assert float(terms["importance_weighted_bound"]) == pytest.approx(bound, rel=1e-4)


def test_samples_come_from_both_levels(ladder):
    lower, top = np.split(np.asarray(ladder._codes(20_000, 3)), [3], axis=-1)
    mean, log_variance = of_prior(ladder, top)
    for standard in (top, (lower - mean) / np.exp(log_variance / 2)):
        np.testing.assert_allclose(standard.mean(axis=0), 0, atol=0.03)
        np.testing.assert_allclose(np.cov(standard.T), np.eye(standard.shape[1]), atol=0.04)
    assert np.abs(np.corrcoef(lower.T, top.T)[:3, 3:]).max() > 0.1  # the levels depend on each other
    np.testing.assert_allclose(ladder.sample(4, seed=5), ladder.decode(ladder._codes(4, 5)), rtol=1e-5)


def test_all_weights_are_trained():
    ladder = model(beta=Linear(0.5, 1.0, epochs=2), normalization="batch", dropout=0.1)
    before = {variable.path: np.asarray(variable) for variable in ladder.trainable_variables}
    ladder.fit(X, epochs=2, verbose=0)
    same = [v.path for v in ladder.trainable_variables if np.array_equal(before[v.path], v)]
    assert not same and len(ladder.top_down.trainable_variables) == 4


def test_no_diagram_shows_a_chain(ladder):
    with pytest.raises(ValueError, match="two levels of codes"):
        aezoo.plots.network(ladder)


@pytest.mark.parametrize("name", aezoo.LadderVAE.fixed_arguments)
def test_arguments_of_other_models_are_refused(name):
    with pytest.raises(ValueError, match=f"does not take {name}=None: leave out {name}"):
        aezoo.LadderVAE(2, **{name: None})


def test_the_upper_level_has_a_unit():
    with pytest.raises(ValueError, match="top_dim must be"):
        aezoo.LadderVAE(2, top_dim=0)


def test_every_slider_of_the_explorer_moves_the_reconstruction(ladder):
    z = np.asarray(ladder.encode(X[:5]))
    controls = np.asarray(ladder.to_controls(z))
    mean, log_variance = of_prior(ladder, z[:, 3:])
    np.testing.assert_allclose(controls[:, :3], (z[:, :3] - mean) / np.exp(log_variance / 2), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(ladder.from_controls(controls), z, rtol=1e-4, atol=1e-4)
    decoded = np.asarray(ladder.decode(z))
    for unit in range(5):
        moved = np.asarray(ladder.decode(ladder.from_controls(controls + np.eye(5, dtype="float32")[unit])))
        assert np.abs(moved - decoded).max() > 1e-3
    assert "the last 2 units are z₂" in ladder.controls_note
    assert aezoo.VAE(2).to_controls(controls) is controls is aezoo.VAE(2).from_controls(controls)
