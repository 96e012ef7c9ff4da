"""VAEs that regularize the aggregate posterior, against loops in NumPy, Gaussian closed forms and a known density."""

import itertools

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

import aezoo
from aezoo import losses
from aezoo.training.batch import Batch

RNG = np.random.default_rng(0)
X = RNG.random((12, 6), dtype="float32")
Z, MEAN, LOG_VARIANCE = RNG.normal(size=(3, 7, 3))
WEIGHT = np.array([1, 0, 2, 1, 3, 1, 0.5])


def decomposition_by_hand(weights_of):
    """The three parts for each code, from log q(zᵢ|xⱼ) computed one at a time."""
    n, d = Z.shape
    log_q = np.empty((n, n, d))
    for i, j, u in np.ndindex(n, n, d):
        log_q[i, j, u] = scipy.stats.norm(MEAN[j, u], np.exp(LOG_VARIANCE[j, u] / 2)).logpdf(Z[i, u])
    parts = np.empty((3, n))
    for i in range(n):
        weights = weights_of(i)
        log_q_z = scipy.special.logsumexp(log_q[i].sum(axis=1), b=weights)
        of_units = sum(scipy.special.logsumexp(log_q[i, :, u], b=weights) for u in range(d))
        log_p = scipy.stats.norm.logpdf(Z[i]).sum()
        parts[:, i] = log_q[i, i].sum() - log_q_z, log_q_z - of_units, of_units - log_p
    return parts


def stratified(i, n=7, dataset_size=50):
    """The weights of the paper's appendix C.2, averaged over the sample that takes the rest."""
    weights = np.zeros(n)
    m = n - 1
    for rest in set(range(n)) - {i}:
        each = np.full(n, 1 / m)
        each[i], each[rest] = 1 / dataset_size, (dataset_size - m) / (dataset_size * m)
        weights += each / m
    return weights


def stratified_with_weights(i, dataset_size=50):
    weights = np.where(np.arange(7) == i, 0, WEIGHT)
    weights = (1 - 1 / dataset_size) * weights / weights.sum()
    weights[i] = 1 / dataset_size
    return weights


CASES = {
    "weighted": ({}, lambda i: np.full(7, 1 / 7)),
    "weighted, with weights": ({"weight": WEIGHT}, lambda i: WEIGHT / WEIGHT.sum()),
    "stratified": ({"dataset_size": 50}, stratified),
    "stratified, with weights": ({"dataset_size": 50, "weight": WEIGHT}, stratified_with_weights),
}


@pytest.mark.parametrize("name", CASES)
def test_decomposition_is_that_of_a_loop(name):
    arguments, weights_of = CASES[name]
    assert weights_of(2).sum() == pytest.approx(1)
    parts = losses.kl_decomposition(Z, MEAN, LOG_VARIANCE, **arguments)
    np.testing.assert_allclose(parts, decomposition_by_hand(weights_of), rtol=1e-4, atol=1e-4)
    whole = scipy.stats.norm(MEAN, np.exp(LOG_VARIANCE / 2)).logpdf(Z) - scipy.stats.norm.logpdf(Z)
    np.testing.assert_allclose(sum(parts), whole.sum(axis=1), rtol=1e-4, atol=1e-4)


def gaussian_codes(n, correlation, noise):
    """Draw codes with Cov(μ) = [[1, ρ], [ρ, 1]] and Var(z|x) = noise; return them, and I, TC and the units' KL."""
    mean = RNG.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], n)
    z = mean + np.sqrt(noise) * RNG.normal(size=mean.shape)
    covariance = np.array([[1, correlation], [correlation, 1]]) + noise * np.eye(2)
    log_det, log_diagonal = np.linalg.slogdet(covariance)[1], np.log(np.diag(covariance)).sum()
    information = (log_det - 2 * np.log(noise)) / 2
    units = (2 * (1 + noise) - 2 - log_diagonal) / 2
    return (z, mean, np.full_like(mean, np.log(noise))), (information, (log_diagonal - log_det) / 2, units)


SLOW = pytest.mark.slow


@pytest.mark.parametrize("dataset_size", [None, 600])
@pytest.mark.parametrize(
    ("correlation", "noise"), [(0.8, 0.3), pytest.param(0.0, 0.3, marks=SLOW), pytest.param(-0.9, 0.1, marks=SLOW)]
)
def test_decomposition_of_gaussians_is_the_closed_form(dataset_size, correlation, noise):
    """q(z) is Gaussian, so that each part has a formula: TC = -½ log(1 - r²) for the correlation r of z."""
    codes, expected = gaussian_codes(600, correlation, noise)
    parts = losses.kl_decomposition(*codes, dataset_size=dataset_size)
    found = [np.mean(part) for part in parts]
    assert found[1] == pytest.approx(expected[1], abs=0.08)
    np.testing.assert_allclose(found, expected, atol=0.2)


def test_stratified_sampling_is_unbiased():
    """The mean of the estimates of q(zᵢ), over all batches that have xᵢ, is the mean of q(zᵢ|xⱼ) over the data."""
    n = len(Z)
    of_data = scipy.stats.norm(MEAN, np.exp(LOG_VARIANCE / 2)).pdf(Z[:1]).prod(axis=1)
    estimates = {None: [], n: []}
    for others in itertools.combinations(range(1, n), 2):
        batch = [each[[0, *others]] for each in (Z, MEAN, LOG_VARIANCE)]
        for size, found in estimates.items():
            information = losses.kl_decomposition(*batch, dataset_size=size)[0]  # log q(z|x) - log q(z)
            found.append(of_data[0] * np.exp(-information[0]))
    assert np.mean(estimates[n]) == pytest.approx(of_data.mean(), rel=1e-5)
    assert np.mean(estimates[None]) != pytest.approx(of_data.mean(), rel=0.02)


def mmd_by_hand(z, h, weight=None, n=400_000):
    """MMD² with a mean over draws of the prior in place of the integrals."""
    d = z.shape[1]
    weight = np.ones(len(z)) / len(z) if weight is None else weight / weight.sum()
    prior, other = RNG.normal(size=(2, n, d))
    kernel = lambda a, b: np.exp(-np.sum((a - b) ** 2, axis=-1) / (2 * h))  # noqa: E731
    among = sum(weight[i] * weight[j] * kernel(z[i], z[j]) for i, j in itertools.product(range(len(z)), repeat=2))
    with_prior = sum(weight[i] * kernel(z[i], prior).mean() for i in range(len(z)))
    return among - 2 * with_prior + kernel(prior, other).mean()


@pytest.mark.parametrize("bandwidth", [None, 0.7])
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_mmd_is_a_mean_over_kernels(bandwidth, weight):
    z = Z + np.array([1.0, 0.0, -0.5])
    values = losses.maximum_mean_discrepancy(z, weight, bandwidth)
    found = np.average(values, weights=weight)
    assert found == pytest.approx(mmd_by_hand(z, bandwidth or 3.0, weight), abs=2e-3) and found > 0.01


def test_mmd_of_the_prior_is_small_and_falls():
    draws = RNG.normal(size=(1000, 5))
    for shifted, low, high in ((draws, 0, 2e-3), (1.5 * draws, 0.01, 1), (draws + 0.5, 0.01, 1)):
        assert low <= np.mean(losses.maximum_mean_discrepancy(shifted)) <= high
    z = keras.Variable(draws[:100] * 0.2 + 2)
    found = []
    for _ in range(15):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(losses.maximum_mean_discrepancy(z.value))
        z.assign_sub(1000 * tape.gradient(loss, z.value))
        found.append(float(loss))
    assert found[-1] < 0.3 * found[0] and np.mean(z) < 1 and np.std(z) > 0.4


# === The models ===

MODELS = {
    "beta-tc": lambda **kw: aezoo.BetaTCVAE(3, beta=4.0, alpha=0.5, gamma=2.0, **kw),
    "factor": lambda **kw: aezoo.FactorVAE(3, gamma=5.0, discriminator_dims=(8, 8), **kw),
    "mmd": lambda **kw: aezoo.MMDVAE(3, weight=50.0, beta=0.3, **kw),
}


def built(name, **arguments):
    model = MODELS[name](seed=0, hidden_dims=(5,), activation="tanh", **arguments)
    model.build(X.shape)
    for variable in model.trainable_variables:
        variable.assign(RNG.normal(0, 0.5, variable.shape))
    model.noise = lambda shape: tf.fill(shape, 0.3)
    return model


def parts_of(model, x=X):
    mean, log_variance = (np.asarray(t, "float64") for t in model.posterior(x))
    z = mean + 0.3 * np.exp(log_variance / 2)
    p = np.asarray(model.decoder(z.astype("float32")), "float64")
    error = -(x * np.log(p) + (1 - x) * np.log1p(-p)).sum(axis=1).mean()
    kl = (mean**2 + np.exp(log_variance) - log_variance - 1).sum(axis=1).mean() / 2
    return z, mean, log_variance, error, kl


def test_the_terms_of_beta_tc():
    model = built("beta-tc")
    reported, _ = model.objective(Batch.of(tf.constant(X)), training=True)
    z, mean, log_variance, error, kl = parts_of(model)
    parts = [np.mean(part) for part in losses.kl_decomposition(z, mean, log_variance)]
    expected = dict(zip(model.term_names, (error, 0.5 * parts[0], 4 * parts[1], 2 * parts[2]), strict=True))
    for name, value in {**expected, "kl": kl}.items():
        assert float(reported[name]) == pytest.approx(value, rel=1e-4, abs=1e-5), name
    assert np.mean(model.score_samples(X)) == pytest.approx(error_at_mean(model) + kl, rel=1e-4)


def error_at_mean(model):
    p = np.asarray(model.reconstruct(X), "float64")
    return -(X * np.log(p) + (1 - X) * np.log1p(-p)).sum(axis=1).mean()


def test_the_terms_of_mmd():
    model = built("mmd")
    reported, _ = model.objective(Batch.of(tf.constant(X)), training=True)
    z, _, _, error, kl = parts_of(model)
    expected = {"reconstruction": error, "kl": 0.3 * kl, "mmd": 50 * mmd_by_hand(z, 3.0)}
    for name, value in expected.items():
        assert float(reported[name]) == pytest.approx(value, rel=1e-4, abs=0.2 if name == "mmd" else 1e-5), name


def logits_by_hand(model, z):
    for i, layer in enumerate(model.discriminator):
        z = np.where(z > 0, z, 0.2 * z) if i else z
        z = z @ np.asarray(layer.kernel) + np.asarray(layer.bias)
    return z[:, 0]


def test_the_terms_of_factor():
    model = built("factor")
    model.shuffled = lambda z, weight=None: z[::-1]
    reported, _ = model.objective(Batch.of(tf.constant(X)), training=True)
    z, _, _, error, kl = parts_of(model)
    logits = logits_by_hand(model, z)
    d = scipy.special.expit(logits)
    cross_entropy = np.mean(-np.log(d) / 2 - np.log1p(-d)[::-1] / 2)
    expected = {
        "reconstruction": error,
        "kl": kl,
        "total_correlation": 5 * logits.mean(),
        "discriminator": cross_entropy,
    }
    for name, value in expected.items():
        assert float(reported[name]) == pytest.approx(value, rel=1e-4), name


def test_encoder_and_discriminator_have_gradients_of_their_own():
    model = built("factor")
    with tf.GradientTape(persistent=True) as tape:
        reported, _ = model.objective(Batch.of(tf.constant(X)), training=True)
    encoder = model.posterior.trainable_variables
    discriminator = [v for layer in model.discriminator for v in layer.trainable_variables]
    assert len(encoder) + len(discriminator) < len(model.trainable_variables)
    assert {id(v) for v in discriminator} <= {id(v) for v in model.trainable_variables}
    for term, own, other in (
        ("total_correlation", encoder, discriminator),
        ("discriminator", discriminator, encoder),
    ):
        assert all(g is not None and np.any(g) for g in tape.gradient(reported[term], [v.value for v in own])), term
        assert all(g is None for g in tape.gradient(reported[term], [v.value for v in other])), term


def test_shuffled_codes_are_draws_of_each_unit():
    model = built("factor")
    z = np.stack([np.arange(2000.0), 10_000 + np.arange(2000.0), 20_000 + np.arange(2000.0)], axis=1).astype("float32")
    drawn = np.asarray(model.shuffled(z))
    assert [*(drawn // 10_000 == [0, 1, 2]).all(axis=0)] == [True] * 3
    assert np.abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 0.1
    np.testing.assert_allclose(drawn.mean(axis=0), z.mean(axis=0), atol=60)
    weighted = np.asarray(model.shuffled(z, tf.constant(np.arange(2000) % 2, "float32")))
    assert np.all(weighted % 2 == 1)  # samples of weight zero are never drawn
    assert np.asarray(model.shuffled(z[:0])).shape == (0, 3)


@pytest.mark.slow
def test_the_discriminator_learns_a_known_density_ratio():
    """For Gaussian codes of correlation ρ, log q(z)/∏ⱼ q(zⱼ) is a quadratic form, with the mean -½ log(1 - ρ²)."""
    rho, n = 0.8, 20_000
    z = RNG.multivariate_normal([0, 0], [[1, rho], [rho, 1]], n).astype("float32")
    x = keras.Input((2,))
    constant = keras.layers.Lambda(lambda x: tf.zeros_like(x) - 30.0, output_shape=(2,))
    encoder = keras.Model(x, [keras.layers.Activation("linear")(x), constant(x)])
    decoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model = aezoo.FactorVAE(
        encoder=encoder, decoder=decoder, likelihood="gaussian", variance=1.0, discriminator_dims=(64, 64), seed=0
    )
    keras.utils.set_random_seed(0)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, 1500)))
    history = model.fit(z, batch_size=200, epochs=15, verbose=0).history
    exact = -0.5 * np.log(1 - rho**2)
    assert history["total_correlation"][-1] / 10 == pytest.approx(exact, abs=0.06)
    points = RNG.multivariate_normal([0, 0], [[1, rho], [rho, 1]], 2000)
    joint = scipy.stats.multivariate_normal([0, 0], [[1, rho], [rho, 1]]).logpdf(points)
    ratio = joint - scipy.stats.norm.logpdf(points).sum(axis=1)
    found = np.asarray(model.log_ratio(points.astype("float32")))
    assert np.corrcoef(found, ratio)[0, 1] > 0.95


@pytest.mark.slow
def test_a_large_weight_lowers_the_total_correlation():
    rng = np.random.default_rng(0)
    x = np.repeat(rng.multivariate_normal([0, 0], [[1, 0.9], [0.9, 1]], 200).astype("float32"), 4, axis=1)
    found = {}
    for beta in (0.0, 30.0):
        keras.utils.set_random_seed(0)
        model = aezoo.BetaTCVAE(2, beta=beta, hidden_dims=(16,), likelihood="gaussian", variance=0.01, seed=0)
        model.compile(keras.optimizers.Adam(0.01))
        model.fit(x, epochs=100, batch_size=200, verbose=0)
        moments = model.moments(x)
        parts = losses.kl_decomposition(moments[0] + tf.exp(moments[1] / 2) * rng.normal(size=(200, 2)), *moments)
        found[beta] = float(np.mean(parts[1]))
    assert found[0.0] > 0.5 and found[30.0] < 0.1 * found[0.0]


CONFIGURATIONS = [
    (aezoo.BetaTCVAE, {"alpha": -1}, "alpha must be at least 0"),
    (aezoo.BetaTCVAE, {"gamma": -1}, "gamma must be at least 0"),
    (aezoo.BetaTCVAE, {"dataset_size": 1}, "dataset_size must be at least 2"),
    (aezoo.BetaTCVAE, {"free_bits": 0.1}, "BetaTCVAE has an objective of its own: leave out free_bits"),
    (aezoo.FactorVAE, {"gamma": -1.0}, "gamma must be at least 0"),
    (aezoo.FactorVAE, {"discriminator_dims": (0,)}, "discriminator_dims"),
    (aezoo.MMDVAE, {"weight": -1.0}, "weight must be at least 0"),
    (aezoo.MMDVAE, {"importance_samples": 5}, "leave out importance_samples"),
]


@pytest.mark.parametrize(("cls", "arguments", "message"), CONFIGURATIONS, ids=str)
def test_arguments_out_of_range(cls, arguments, message):
    with pytest.raises(ValueError, match=message):
        cls(2, **arguments)
