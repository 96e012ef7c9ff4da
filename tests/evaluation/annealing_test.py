"""Annealed importance sampling of VAEs against Gaussians in closed form and sums over a grid."""

import itertools

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

import aezoo
from aezoo import priors
from aezoo.evaluation import annealed_log_likelihood

RNG = np.random.default_rng(0)
Y = RNG.normal(size=(4, 6)).astype("float32")
X = (RNG.random((5, 6)) < 0.4).astype("float32")


def moved(model, by):
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(variable + rng.normal(0, by, variable.shape))
    return model


def linear(kind=aezoo.VAE, **arguments):
    """A model whose decoder is linear, with Gaussian noise of variance 0.3."""
    arguments = {"likelihood": "gaussian", "variance": 0.3, "output_activation": "linear", **arguments}
    model = kind(3, seed=0, **arguments)
    model.build((None, 6))
    return moved(model, 0.4)


def errors_of(model, x, expected, **options):
    values, errors = annealed_log_likelihood(model, x, **options)
    assert values.shape == errors.shape == expected.shape and values.dtype == "float64"
    return values - expected, errors


def eager(function, *arguments, **options):
    """Call a function without graphs, whose tracing takes longer than a few steps."""
    tf.config.run_functions_eagerly(True)
    try:
        return function(*arguments, **options)
    finally:
        tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def annealed():
    """A linear VAE, log p(x) in closed form, and the estimates of many chains with few temperatures."""
    model = linear()
    kernel, bias = (np.asarray(w, "float64") for w in model.decoder.get_weights())
    expected = scipy.stats.multivariate_normal(bias, kernel.T @ kernel + 0.3 * np.eye(6)).logpdf(Y)
    return model, expected, *eager(errors_of, model, Y, expected, temperatures=15, chains=2000, leapfrog_steps=3)


def test_the_mean_weight_is_the_likelihood(annealed):
    """A step that does not leave its distribution as it is would shift the mean weight."""
    *_, differences, errors = annealed
    assert errors.max() < 0.05
    assert np.all(np.abs(differences) < 4 * errors), (differences, errors)


def test_annealing_is_above_the_importance_bound_of_a_bad_encoder(annealed):
    model, expected, differences, _ = annealed
    encoder = model.posterior.get_weights()
    model.posterior.get_layer("log_variance").bias.assign([-6.0, -6.0, -6.0])  # far too certain
    bound = np.asarray(eager(model.log_likelihood, Y, 1000)) - expected
    model.posterior.set_weights(encoder)
    assert np.mean(bound) < np.mean(differences) - 1


def test_a_single_jump_is_the_mean_over_draws_from_the_prior():
    model = linear()
    values, errors = eager(annealed_log_likelihood, model, Y, temperatures=[0, 1], chains=2000)
    kernel, bias = (np.asarray(w, "float64") for w in model.decoder.get_weights())
    given = scipy.stats.norm.logpdf(Y[:, None], RNG.normal(size=(4, 100_000, 3)) @ kernel + bias, 0.3**0.5).sum(axis=-1)
    expected = scipy.special.logsumexp(given, axis=1) - np.log(100_000)
    assert np.all(np.abs(values - expected) < 5 * errors + 0.02)


def test_pieces_seeds_and_conditions():
    small = {"temperatures": 3, "chains": 2, "leapfrog_steps": 1}
    model = linear()
    first = eager(annealed_log_likelihood, model, Y, **small, seed=3)
    again = eager(annealed_log_likelihood, model, Y, **small, seed=3)
    other = eager(annealed_log_likelihood, model, Y, **small, seed=4)
    np.testing.assert_array_equal(first, again)
    assert np.all(first[0] != other[0])
    pieces = eager(annealed_log_likelihood, model, Y[[0, 1, 0, 1]], **small, batch_size=2)[0]
    assert pieces.shape == (4,) and np.all(pieces[:2] != pieces[2:])  # pieces have seeds of their own
    assert annealed_log_likelihood(model, Y[:0])[0].shape == (0,)
    # A decoder that reads the label alone: log p(x) is log p(x given label), whatever the chains do.
    cvae = aezoo.ConditionalVAE(2, num_classes=3, seed=0)
    cvae.build({"x": (None, 6), "label": (None,)})
    kernel = next(v for v in cvae.decoder.trainable_variables if v.shape == (5, 6))
    kernel.assign(np.concatenate([np.zeros((2, 6)), RNG.normal(size=(3, 6))]))
    label = np.array([0, 1, 2, 2, 0])
    p = np.asarray(cvae.decode(np.zeros((5, 2), "float32"), label=label))
    expected = np.sum(X * np.log(p) + (1 - X) * np.log1p(-p), axis=1)
    np.testing.assert_allclose(
        eager(annealed_log_likelihood, cvae, X, label=label, **small)[0], expected, rtol=1e-5, atol=1e-5
    )


def test_temperatures_are_dense_at_both_ends():
    betas = aezoo.evaluation.annealing._spaced(101)
    assert betas[0] == 0 and betas[-1] == 1
    np.testing.assert_allclose(betas + betas[::-1], 1, atol=1e-6)
    steps = np.diff(betas)
    assert np.all(steps > 0) and steps[50] > 10 * steps[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"chains": 1}, "chains must be"),
        ({"leapfrog_steps": 0}, "leapfrog_steps must be"),
        ({"temperatures": 1}, "temperatures must be"),
        ({"temperatures": [0, 0.5]}, "temperatures must be"),
        ({"seed": 0.5}, "seed must be"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        annealed_log_likelihood(linear(), Y, **arguments)


def test_models_without_a_likelihood_are_refused():
    plain = aezoo.Autoencoder(2)
    plain.build((None, 6))
    with pytest.raises(ValueError, match=r"Autoencoder has no p\(z\)"):
        annealed_log_likelihood(plain, Y)
    with pytest.raises(ValueError, match="missing='mask'"):
        annealed_log_likelihood(linear(missing="mask"), Y)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vamp", "flow", "ladder"])
def test_learned_priors_against_a_grid(name):
    if name == "ladder":
        model = aezoo.LadderVAE(1, top_dim=1, hidden_dims=(8,), top_hidden_dims=(5,), seed=0)
    else:
        prior = {"vamp": priors.VampPrior(5), "flow": priors.FlowPrior(layers=3, units=8, seed=0)}[name]
        model = aezoo.VAE(2, hidden_dims=(8,), prior=prior, seed=0)
    model.build((None, 6))
    moved(model, 0.3)
    axis = np.linspace(-9, 9, 200, dtype="float32")
    z = np.array(list(itertools.product(axis, axis)))
    p = np.clip(np.asarray(model.decode(z), "float64"), 1e-12, 1 - 1e-12)
    log_prior = np.asarray(model.prior.log_density(tf.constant(z), model), "float64")
    log_joint = X @ np.log(p).T + (1 - X) @ np.log1p(-p).T + log_prior
    expected = scipy.special.logsumexp(log_joint, axis=1) + 2 * np.log(axis[1] - axis[0])
    differences, errors = errors_of(model, X, expected, temperatures=100, chains=100)
    assert errors.max() < 0.05 and np.all(np.abs(differences) < 4 * errors + 0.005), (differences, errors)


@pytest.mark.slow
def test_a_linear_ladder_in_closed_form():
    model = linear(aezoo.LadderVAE, top_dim=2, top_hidden_dims=())
    top, top_bias = model.top_down.get_weights()
    top[:, 3:] = 0  # the variance of z₁ does not depend on z₂
    model.top_down.set_weights([top, top_bias])
    kernel, bias = (np.asarray(w, "float64") for w in model.decoder.get_weights())
    lower = top[:, :3].T @ top[:, :3] + np.diag(np.exp(top_bias[3:]))
    normal = scipy.stats.multivariate_normal(bias + top_bias[:3] @ kernel, kernel.T @ lower @ kernel + 0.3 * np.eye(6))
    expected = normal.logpdf(Y)
    differences, errors = errors_of(model, Y, expected, temperatures=200, chains=200)
    assert errors.max() < 0.05 and np.all(np.abs(differences) < 4 * errors)
    assert np.all(model.log_likelihood(Y, 20_000) < expected + 0.05)  # whose encoder has not been trained


@pytest.mark.slow
def test_the_estimate_improves_with_temperatures():
    """With few temperatures chains are left behind in a narrow posterior, and the estimate is too low."""
    model = linear(variance=0.001)
    kernel, bias = (np.asarray(w, "float64") for w in model.decoder.get_weights())
    data = (RNG.normal(size=(4, 3)) @ kernel + bias).astype("float32")
    expected = scipy.stats.multivariate_normal(bias, kernel.T @ kernel + 0.001 * np.eye(6)).logpdf(data)
    gaps = [np.mean(errors_of(model, data, expected, temperatures=temperatures)[0]) for temperatures in (10, 3000)]
    assert gaps[0] < -10 and abs(gaps[1]) < 0.5
