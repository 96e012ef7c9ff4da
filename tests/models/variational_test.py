"""The VAE against closed forms, Monte Carlo, probabilistic PCA and numerical integration."""

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
from sklearn.decomposition import PCA

from aezoo import VAE, evaluation, losses
from aezoo.schedules import Linear
from aezoo.training.batch import Batch

RNG = np.random.default_rng(0)
X = (RNG.random((40, 12)) < RNG.random(12)).astype("float32")


def trained(model, x, epochs=5, learning_rate=0.01, batch_size=32):
    model.compile(optimizer=keras.optimizers.Adam(learning_rate))
    model.fit(np.tile(x, (epochs, 1)), batch_size=batch_size, verbose=0)
    return model


def test_the_divergence_is_that_of_two_gaussians():
    mean, log_variance = RNG.normal(size=(2, 3)), RNG.normal(size=(2, 3))
    divergence = losses.gaussian_kl(mean, log_variance)
    q = scipy.stats.norm(mean, np.exp(log_variance / 2))
    z = q.rvs((400_000, 2, 3), random_state=0)
    estimate = q.logpdf(z) - scipy.stats.norm.logpdf(z)
    error = estimate.std(axis=0) / np.sqrt(len(z))
    assert (np.abs(estimate.mean(axis=0) - divergence) < 4 * error).all()
    # In one dimension, by the formula of two Gaussians N(m, s²) and N(0, 1).
    expected = -np.log(q.std()) + (q.var() + mean**2) / 2 - 0.5
    np.testing.assert_allclose(divergence, expected, rtol=1e-5)


def test_the_terms_are_the_bound():
    model = VAE(3, hidden_dims=(5,), beta=0.7, seed=0)
    keras.utils.set_random_seed(0)
    model.build((None, 12))
    model.noise = lambda shape: tf.fill(shape, 0.3)
    reported, y_pred = model.objective(Batch.of(tf.constant(X)), training=True)
    mean, log_variance = (np.asarray(t, "float64") for t in model.posterior(X))
    z = mean + 0.3 * np.exp(log_variance / 2)
    p = np.asarray(model.decode(z.astype("float32")), "float64")
    np.testing.assert_allclose(y_pred, p, atol=1e-6)
    expected = -scipy.stats.bernoulli.logpmf(X, p).sum(axis=1).mean()
    np.testing.assert_allclose(reported["reconstruction"], expected, rtol=1e-5)
    kl = (mean**2 + np.exp(log_variance) - log_variance - 1).sum(axis=1).mean() / 2
    np.testing.assert_allclose(reported["kl"], 0.7 * kl, rtol=1e-5)
    np.testing.assert_allclose(reported["active_units"], mean, rtol=1e-6)


@pytest.mark.parametrize("variance", [0.3, None])
def test_the_gaussian_likelihood_is_that_of_scipy(variance):
    model = VAE(2, likelihood="gaussian", variance=variance)
    model.build((None, 12))
    if variance is None:
        model.log_variance.assign(np.log(0.3))
    y_pred = np.asarray(model.reconstruct(X))
    error = losses.per_sample(model.default_loss, X, y_pred)[0]
    np.testing.assert_allclose(error, -scipy.stats.norm.logpdf(X, y_pred, np.sqrt(0.3)).sum(axis=1), rtol=1e-5)


def test_beta_follows_its_schedule_and_weighs_the_divergence():
    models = [VAE(3, beta=beta, seed=0) for beta in (Linear(0.0, 1.0, 2), 1.0)]
    for model in models:
        model.noise = tf.zeros
        model.compile(optimizer=keras.optimizers.SGD(0.0))
    ramp, constant = (model.fit(X, epochs=3, verbose=0).history["kl"] for model in models)
    np.testing.assert_allclose(ramp, [0.0, constant[0] / 2, constant[0]], rtol=1e-5)


@pytest.mark.slow
def test_the_divergence_pulls_the_code_to_the_prior():
    kept, pulled = (trained(VAE(3, beta=beta, seed=0), X, 100) for beta in (0.0, 20.0))
    spread = [np.abs(np.asarray(model.encode(X))).mean() for model in (kept, pulled)]
    assert spread[1] < 0.1 * spread[0]


@pytest.mark.slow
def test_free_bits_leave_a_unit_its_information():
    free, without = (
        trained(VAE(4, hidden_dims=(16,), beta=4.0, free_bits=bits, seed=0), X, 150, batch_size=40)
        for bits in (0.5, 0.0)
    )

    def least(model):
        return np.min(np.mean(losses.gaussian_kl(*model.posterior(X)), axis=0))

    assert least(free) > 0.3 and least(without) < 0.05
    kl = free.evaluate(X, batch_size=40, return_dict=True, verbose=0)["kl"]
    dimensions = np.mean(losses.gaussian_kl(*free.posterior(X)), axis=0)
    np.testing.assert_allclose(kl, 4.0 * np.maximum(dimensions, 0.5).sum(), rtol=1e-4)


@pytest.mark.slow
def test_a_linear_vae_reaches_the_likelihood_of_probabilistic_pca():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(2, 6)) * [[2.0], [1.0]]
    x = (rng.normal(size=(2000, 2)) @ loadings + 0.5 * rng.normal(size=(2000, 6)) + 1.0).astype("float32")
    model = VAE(2, likelihood="gaussian", seed=0)
    trained(model, x, 150, 0.02, 200)
    trained(model, x, 100, 0.002, 200)
    elbo = -np.mean([model.evaluate(x, batch_size=2000, verbose=0, return_dict=True)["loss"] for _ in range(20)])
    exact = PCA(2).fit(x).score(x)
    assert elbo == pytest.approx(exact, rel=0.01)
    assert np.exp(model.log_variance.numpy()) == pytest.approx(PCA(2).fit(x).noise_variance_, rel=0.1)
    # The estimate by importance sampling lies between the two.
    assert np.mean(model.log_likelihood(x[:200], samples=200)) == pytest.approx(PCA(2).fit(x).score(x[:200]), rel=0.01)


def test_log_likelihood_is_the_integral_over_a_code_of_one_dimension():
    model = trained(VAE(1, hidden_dims=(8,), seed=0), X, 30)
    z = np.linspace(-8, 8, 4001)
    p = np.asarray(model.decode(z[:, None].astype("float32")), "float64")
    log_joint = X @ np.log(p).T + (1 - X) @ np.log1p(-p).T + scipy.stats.norm.logpdf(z)
    exact = scipy.special.logsumexp(log_joint, axis=1) + np.log(z[1] - z[0])
    np.testing.assert_allclose(model.log_likelihood(X, samples=20_000, batch_size=15), exact, atol=0.02)


@pytest.mark.slow
def test_the_bound_rises_with_the_number_of_samples_and_the_elbo_is_the_first():
    model = trained(VAE(3, hidden_dims=(16,), seed=0), X, 30)
    x = np.repeat(X, 60, axis=0)
    bounds = [np.mean(model.log_likelihood(x, samples=k)) for k in (1, 5, 50)]
    assert bounds[0] < bounds[1] < bounds[2]
    assert -model.evaluate(x, batch_size=2000, verbose=0, return_dict=True)["loss"] == pytest.approx(bounds[0], abs=0.1)
    for k in (5, 50):
        weighted = VAE(3, hidden_dims=(16,), importance_samples=k, seed=0)
        weighted.build((None, 12))
        weighted.posterior.set_weights(model.posterior.get_weights())
        weighted.decoder.set_weights(model.decoder.get_weights())
        weighted.compile()
        bound = -weighted.evaluate(x, batch_size=2000, verbose=0, return_dict=True)["loss"]
        assert bound == pytest.approx(bounds[[1, 5, 50].index(k)], abs=0.1)


def test_log_likelihood_of_many_samples_needs_one_graph_and_any_batch_size():
    model = VAE(2, seed=0)
    model.build((None, 12))
    values = [np.asarray(model.log_likelihood(X[:n], samples=s)) for n, s in ((1, 1), (7, 49), (7, 51), (3, 130))]
    assert [len(v) for v in values] == [1, 7, 7, 3] and np.isfinite(np.concatenate(values)).all()
    assert model._log_likelihood.experimental_get_tracing_count() <= 2
    assert model.log_likelihood(X[:0]).shape == (0,)


def test_samples_follow_the_prior():
    model = trained(VAE(2, hidden_dims=(16,), seed=0), X, 200)
    samples = np.asarray(model.sample(2000))
    assert samples.shape == (2000, 12)
    np.testing.assert_allclose(samples.mean(axis=0), X.mean(axis=0), atol=0.12)
    assert not np.array_equal(samples, model.sample(2000))


def test_the_samples_of_a_seed_are_always_the_same():
    model = VAE(2, seed=0)
    model.build((None, 12))
    a, b, c = (np.asarray(model.sample(3, seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.allclose(a, c)


@pytest.mark.slow
def test_attributes_are_added_to_codes():
    x = np.zeros((400, 12), "float32")
    attribute, other = RNG.random(400) < 0.5, RNG.random(400) < 0.5
    x[attribute, :6] = 1
    x[other, 6:] = 1
    model = trained(VAE(2, hidden_dims=(16,), beta=0.5, seed=0), x, 60)
    added = evaluation.attribute_vector(model, x[attribute], x[~attribute])
    assert added.shape == (2,)
    without = x[~attribute]
    changed = np.asarray(model.decode(model.encode(without) + added))
    assert (changed[:, :6].mean(axis=1) > 0.8).all()
    np.testing.assert_allclose(changed[:, 6:].round(), without[:, 6:])
    with pytest.raises(ValueError, match="x_without is empty"):
        evaluation.attribute_vector(model, x, x[:0])


def test_an_encoder_of_your_own_gives_two_moments():
    inputs = keras.Input((12,))
    h = keras.layers.Dense(8, activation="relu")(inputs)
    encoder = keras.Model(inputs, [keras.layers.Dense(3)(h), keras.layers.Dense(3)(h)])
    decoder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(12, activation="sigmoid")])
    model = trained(VAE(encoder=encoder, decoder=decoder), X, 2)
    np.testing.assert_allclose(model.encode(X), encoder(X)[0], atol=1e-6)
    again = VAE.from_config(model.get_config())
    again.build((None, 12))
    assert len(again.weights) == len(model.weights)
    with pytest.raises(ValueError, match="two tensors of the same shape"):
        VAE(encoder=keras.Sequential([keras.Input((12,)), keras.layers.Dense(3)]), decoder=decoder).build((None, 12))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"likelihood": "student"}, "likelihood='student' is unknown"),
        ({"beta": -1.0}, "beta"),
        ({"beta": Linear(1.0, -1.0, 3)}, "beta"),
        ({"free_bits": -0.1}, "free_bits"),
        ({"importance_samples": 0}, "importance_samples"),
        ({"variance": 0.0, "likelihood": "gaussian"}, "variance"),
        ({"variance": 1.0}, "likelihood='gaussian'"),
        ({"free_bits": 0.1, "importance_samples": 2}, "choose one"),
    ],
)
def test_wrong_arguments_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        VAE(2, **arguments)


def test_a_learned_variance_goes_with_no_other_loss():
    model = VAE(2, likelihood="gaussian")
    model.compile(optimizer="adam", loss="mse")
    with pytest.raises(ValueError, match="give compile no loss"):
        model.fit(X, verbose=0)


# === Codes in space ===


def spatial(likelihood="bernoulli", flat=False, **arguments):
    """A VAE whose code is (2, 2, 3), or with the same weights the same numbers in one axis."""
    inputs = keras.Input((4, 4, 1))
    h = keras.layers.Conv2D(5, 3, strides=2, padding="same", activation="tanh")(inputs)
    moments = [keras.layers.Conv2D(3, 1)(h) for _ in range(2)]
    decoder = [keras.Input((2, 2, 3)), keras.layers.Conv2DTranspose(1, 3, strides=2, padding="same")]
    if flat:
        moments = [keras.layers.Flatten()(moment) for moment in moments]
        decoder = [keras.Input((12,)), keras.layers.Reshape((2, 2, 3)), *decoder[1:]]
    decoder = keras.Sequential([*decoder, keras.layers.Activation("sigmoid")])
    model = VAE(encoder=keras.Model(inputs, moments), decoder=decoder, likelihood=likelihood, seed=0, **arguments)
    model.build((None, 4, 4, 1))
    for i, variable in enumerate(model.trainable_variables):
        variable.assign(np.random.default_rng(i).normal(size=variable.shape) / 2)
    model.compile("sgd", run_eagerly=True)
    return model


@pytest.mark.slow_cases("arguments3")
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"importance_samples": 3}, marks=pytest.mark.slow),
        pytest.param({"free_bits": 0.1}, marks=pytest.mark.slow),
        {"likelihood": "gaussian"},
    ],
)
def test_a_code_in_space_is_one_code(arguments):
    x = RNG.random((9, 4, 4, 1)).astype("float32")
    results = []
    for flat in (False, True):
        model = spatial(flat=flat, **arguments)
        model.noise = model.random.normal = lambda shape: tf.reshape(
            tf.cos(tf.range(tf.cast(tf.reduce_prod(shape), "float32"))), shape
        )
        reported = model.evaluate(x, verbose=0, return_dict=True)
        scores, likelihood = np.asarray(model.score_samples(x)), np.asarray(model.log_likelihood(x, samples=3))
        assert scores.shape == likelihood.shape == (9,)
        model.fit(x, verbose=0)
        results.append([*reported.values(), scores, likelihood, *model.get_weights()[-4:]])
        assert model.sample(5).shape == (5, 4, 4, 1)
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert evaluation.report(spatial(), x)["active_units"] == evaluation.report(spatial(flat=True), x)["active_units"]


def test_a_code_in_space_is_served(tmp_path):
    model = spatial()
    x = RNG.random((3, 4, 4, 1)).astype("float32")
    model.export(tmp_path / "1", warmup=False)
    signatures = tf.saved_model.load(tmp_path / "1").signatures
    np.testing.assert_allclose(signatures["score"](x=tf.constant(x))["score"], model.score_samples(x), rtol=1e-5)
    assert signatures["sample"](n=tf.constant(2), seed=tf.constant(0, "int64"))["sample"].shape == (2, 4, 4, 1)


# === Scales ===


@pytest.mark.slow_cases("pixels-float32")
@pytest.mark.parametrize("dtype", ["float32", pytest.param("mixed_float16", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["table", "pixels"])
def test_unscaled_data_are_spoken_of_and_stay_finite(kind, dtype):
    x = {
        "table": RNG.normal(size=(60, 6)) * 10.0 ** np.array([-3, -1, 0, 2, 4, 6 if dtype == "float32" else 4]),
        "pixels": RNG.integers(0, 256, (60, 6)),
    }[kind].astype("float32")
    model = VAE(2, likelihood="gaussian", hidden_dims=(8,), seed=0, dtype=dtype)
    model.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
    with pytest.warns(UserWarning, match=r"mean 0 and variance 1, but .* use \(x - x.mean\(0\)\)") as warned:
        history = model.fit(x, epochs=3, batch_size=20, verbose=0).history
    assert warned[0].filename == __file__
    assert np.isfinite(history["loss"]).all() and np.isfinite(model.score_samples(x)).all()
    standardized = ((x - x.mean(0)) / (x.std(0) + 1e-6)).astype("float32")
    assert np.isfinite(model.fit(standardized, verbose=0).history["loss"]).all()


@pytest.mark.slow_cases("code--1000.0--30", "data-1000.0-30")
@pytest.mark.parametrize(
    ("which", "outside", "bound"), [("code", 1e3, 15), ("code", -1e3, -30), ("data", 1e3, 30), ("data", -1e3, -30)]
)
def test_the_variances_are_bounded_and_come_back(which, outside, bound):
    model = VAE(2, likelihood="gaussian", seed=0)
    model.build((None, 12))
    kernel, bias = model.posterior.layers[-1].weights
    kernel.assign(0 * kernel)
    variable = bias if which == "code" else model.log_variance
    variable.assign(np.full(variable.shape, outside))
    model.compile(keras.optimizers.SGD(0.01), run_eagerly=True)
    used = model.moments(X)[1] if which == "code" else model.default_loss.log_variance
    np.testing.assert_array_equal(used, np.full(used.shape, bound))
    assert np.isfinite(model.evaluate(X, verbose=0, return_dict=True)["loss"])
    assert np.isfinite(model.log_likelihood(X, samples=3)).all()
    model.fit(X, batch_size=40, verbose=0)  # one step
    assert ((variable.numpy() - outside) * outside < 0).all(), "the gradients point back"


@pytest.mark.slow
def test_the_advice_for_data_out_of_range_works():
    x = RNG.normal(size=(50, 6)).astype("float32") * [1, 10, 100, 1000, 1, 1] + 5
    with pytest.raises(ValueError, match=r"x / 255.*\(x - x.mean\(0\)\).*likelihood='gaussian'"):
        trained(VAE(2), x.astype("float32"), 1)
    x = ((x - x.mean(0)) / (x.std(0) + 1e-6)).astype("float32")
    trained(VAE(2, likelihood="gaussian", seed=0), x, 1)  # without a warning, which would be an error


def test_a_loss_that_averages_is_warned_of():
    model = VAE(3, beta=Linear(0.0, 1.0, 3), seed=0)
    for loss, name in (("mse", "mean_squared_error"), (keras.losses.BinaryCrossentropy(), "binary_crossentropy")):
        model.compile("adam", loss=loss, run_eagerly=True)
        with pytest.warns(UserWarning, match=f"{name}' averages over features .* beta count as 12 .*SquaredError") as w:
            model.fit(X, verbose=0)
        assert w[0].filename == __file__
    for loss in (None, losses.SquaredError()):
        model.compile("adam", loss=loss, run_eagerly=True)
        model.fit(X, verbose=0)  # a warning would be an error
    model = VAE(3, beta=1 / 12, seed=0)
    model.compile("adam", loss="mse", run_eagerly=True)
    model.fit(X, verbose=0)


def test_the_variance_that_is_learned_starts_at_that_of_the_data():
    x = np.random.default_rng(0).normal(3.0, [0.1, 0.2, 0.3], (50, 3)).astype("float32")
    model = VAE(2, likelihood="gaussian", seed=0)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    model.fit(x, verbose=0)
    assert float(model.log_variance.numpy()) == pytest.approx(np.log(x.var(axis=0).mean()), rel=1e-5)
    model.fit(5 * x, verbose=0)  # it has been set
    assert float(model.log_variance.numpy()) == pytest.approx(np.log(x.var(axis=0).mean()), rel=1e-5)
