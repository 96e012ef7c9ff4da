"""Likelihoods against scipy.stats and closed forms."""

import math

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

import aezoo
from aezoo import evaluation, likelihoods, losses
from aezoo.likelihoods import Bernoulli, Categorical, Gaussian, Likelihood, Poisson
from aezoo.models.conditional import ConditionalVAE

RNG = np.random.default_rng(0)
TABLE = RNG.normal([1.0, -2.0, 0.0, 5.0], [0.1, 1.0, 2.0, 3.0], (60, 4)).astype("float32")


def built(likelihood, x_shape=(4,)):
    """A likelihood with variables, as a model builds it."""
    layer = keras.layers.Layer()
    likelihood.build(layer.add_weight, x_shape)
    return likelihood


def with_variance(variance):
    likelihood = built(Gaussian("per_feature"))
    likelihood.variable.assign(np.log(variance))
    return likelihood


P = RNG.random((3, 4)).astype("float32")
MEAN, LOG_VARIANCE = RNG.normal(size=(2, 3, 4)).astype("float32")
CASES = {
    "bernoulli": (Bernoulli(), P.round(), P, lambda y: scipy.stats.bernoulli.logpmf(y, P)),
    "gaussian": (Gaussian(0.3), MEAN, P, lambda y: scipy.stats.norm.logpdf(y, P, np.sqrt(0.3))),
    "per-feature": (
        with_variance([0.1, 1, 2, 3]),
        MEAN,
        P,
        lambda y: scipy.stats.norm.logpdf(y, P, np.sqrt([0.1, 1, 2, 3])),
    ),
    "predicted": (
        Gaussian("predicted"),
        P,
        np.concatenate([MEAN, LOG_VARIANCE], axis=-1),
        lambda y: scipy.stats.norm.logpdf(y, MEAN, np.exp(LOG_VARIANCE / 2)),
    ),
    "poisson": (Poisson(), np.round(9 * P), 5 * P, lambda y: scipy.stats.poisson.logpmf(y, 5 * P)),
    "categorical": (
        Categorical(4),
        np.eye(4, dtype="float32")[[2, 0, 3]],
        P / P.sum(axis=1, keepdims=True),
        lambda y: y * np.log(P / P.sum(axis=1, keepdims=True)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_probability_is_that_of_scipy(name):
    likelihood, y, y_pred, expected = CASES[name]
    np.testing.assert_allclose(likelihood.negative_log_likelihood(y, y_pred), -expected(y), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(likelihood.loss(y, y_pred), -expected(y).sum(axis=1).mean(), rtol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_samples_have_the_mean_and_follow_the_seed(name):
    likelihood, _, y_pred, _ = CASES[name]
    many = np.repeat(y_pred[None], 20_000, axis=0)
    samples, again, other = (np.asarray(likelihood.sample(many, seed)) for seed in (1, [1, 0], 2))
    np.testing.assert_array_equal(samples, again)
    assert not np.array_equal(samples, other)
    mean = np.asarray(likelihood.mean(y_pred))
    assert samples.shape[1:] == mean.shape
    error = samples.std(axis=0) / np.sqrt(len(samples))
    assert (np.abs(samples.mean(axis=0) - mean) < 5 * error + 1e-6).all()
    # The entropy: E -log p, of which the samples' own is an estimate.
    each = np.sum(likelihood.negative_log_likelihood(samples, many), axis=-1)
    if name == "predicted":
        exact = 0.5 * np.sum(LOG_VARIANCE + math.log(2 * math.pi * math.e), axis=-1)
    elif name == "categorical":
        exact = scipy.stats.entropy(y_pred, axis=-1)
    elif name == "bernoulli":
        exact = np.sum(scipy.stats.bernoulli(y_pred).entropy(), axis=-1)
    elif name == "poisson":
        exact = np.sum(scipy.stats.poisson(y_pred).entropy(), axis=-1)
    else:
        exact = 0.5 * np.sum(np.broadcast_to(likelihood.log_variance, 4) + math.log(2 * math.pi * math.e))
    assert (np.abs(each.mean(axis=0) - exact) < 5 * each.std(axis=0) / np.sqrt(len(each)) + 1e-3).all()


@pytest.mark.parametrize("name", CASES)
def test_a_likelihood_is_serialized(name):
    likelihood = CASES[name][0]
    again = likelihoods.get(keras.saving.serialize_keras_object(likelihood))
    assert type(again) is type(likelihood) and again.get_config() == likelihood.get_config()
    loss = likelihood.loss
    assert type(loss).from_config(loss.get_config()).name == loss.name


def test_saturated_classes_keep_their_gradient():
    decoder = keras.Sequential([keras.Input((3,)), keras.layers.Activation("softmax")])
    aezoo.layers.networks.carry_logits(decoder)
    logits = tf.Variable([[0.0, 200.0, 0.0]])
    y = np.eye(3, dtype="float32")[[0]]
    with tf.GradientTape() as tape:
        loss = Categorical(3).loss(y, decoder(logits))
    assert float(loss) == pytest.approx(200.0)
    np.testing.assert_allclose(tape.gradient(loss, logits), [[-1, 1, 0]], atol=1e-6)


def test_log_variances_are_bounded_and_come_back():
    likelihood = Gaussian("predicted")
    y_pred = tf.Variable([[0.0, 1e3], [0.0, -1e3]])
    with tf.GradientTape() as tape:
        loss = likelihood.loss(np.ones((2, 1), "float32"), y_pred)
    gradient = tape.gradient(loss, y_pred).numpy()
    assert np.isfinite(loss) and np.isfinite(gradient).all()
    assert gradient[0, 1] > 0 > gradient[1, 1]


# === In a model ===


def test_the_best_variances_without_a_code_are_those_of_the_data():
    model = aezoo.VAE(2, likelihood=Gaussian("per_feature"), seed=0)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    model.fit(TABLE, verbose=0)
    variance = TABLE.var(axis=0)
    np.testing.assert_allclose(np.exp(model.log_variance), np.maximum(variance, 0.01 * variance.mean()), rtol=1e-4)
    model.fit(2 * TABLE, verbose=0)  # they have been set
    np.testing.assert_allclose(np.exp(model.log_variance), np.maximum(variance, 0.01 * variance.mean()), rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("variance", ["per_feature", "predicted"])
def test_a_variance_that_is_learned_is_that_of_the_noise(variance):
    mean, deviation = [0, 0, 2, 2], [1, 1, 3, 3]
    x = np.random.default_rng(0).normal(mean, deviation, (4000, 4)).astype("float32")
    model = aezoo.VAE(1, hidden_dims=(8,), activation="tanh", likelihood=Gaussian(variance), beta=2.0, seed=0)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(x, epochs=20, batch_size=100, verbose=0)
    drawn = model.data_likelihood.sample(model.decode_parameters(model.encode(x)), 0)
    np.testing.assert_allclose(np.mean(drawn, axis=0), mean, atol=0.15)
    np.testing.assert_allclose(np.std(drawn, axis=0), deviation, rtol=0.05)
    exact = scipy.stats.norm(mean, deviation).logpdf(x[:200]).sum(axis=1)
    assert np.mean(model.log_likelihood(x[:200], samples=50)) == pytest.approx(exact.mean(), abs=0.05)


@pytest.mark.slow
def test_a_variance_is_predicted_for_each_sample():
    rng = np.random.default_rng(0)
    cluster = rng.integers(0, 2, 4000)
    deviations = np.array([[0.3, 0.3], [0.3, 3.0]])
    x = rng.normal(np.stack([4 * cluster - 2, 0 * cluster], axis=1), deviations[cluster]).astype("float32")
    model = aezoo.VAE(1, hidden_dims=(16,), activation="tanh", likelihood=Gaussian("predicted"), seed=0)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(x, epochs=25, batch_size=100, verbose=0)
    log_variance = np.asarray(model.decode_parameters(model.encode(x)))[:, 2:]
    for i, deviation in enumerate(deviations):
        found = np.exp(np.median(log_variance[cluster == i], axis=0) / 2)
        np.testing.assert_allclose(found, deviation, rtol=0.25)


@pytest.mark.parametrize("arguments", [{"filters": (3,)}, {"hidden_dims": (5,), "importance_samples": 2}])
def test_the_decoder_of_a_predicted_variance_decodes_to_the_mean(arguments, x, tmp_path):
    model = aezoo.VAE(3, likelihood=Gaussian("predicted"), seed=0, **arguments)
    model.compile("adam", metrics=["mse"], run_eagerly=True)
    history = model.fit(x, verbose=0).history
    z = model.encode(x)
    parameters = np.asarray(model.decode_parameters(z))
    assert parameters.shape == (21, 6, 6, 2)
    np.testing.assert_allclose(model.decode(z), parameters[..., :1], atol=1e-6)
    np.testing.assert_allclose(model.decoder.predict(z, verbose=0), parameters[..., :1], atol=1e-6)
    error = -scipy.stats.norm.logpdf(x, parameters[..., :1], np.exp(parameters[..., 1:] / 2)).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(evaluation.reconstruction_error(model, x), error, rtol=1e-4)
    squared = np.mean((x - parameters[..., :1]) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(evaluation.reconstruction_error(model, x, "mse"), squared, rtol=1e-4)
    assert history["mse"][0] < 2
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.decode_parameters(z), parameters)
    assert loaded.data_likelihood.variance == "predicted"


def test_a_decoder_of_the_users_own_predicts_the_variance():
    x = keras.Input((4,))
    encoder = keras.Model(x, [keras.layers.Dense(2)(x), keras.layers.Dense(2)(x)])
    decoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(8)])
    model = aezoo.VAE(encoder=encoder, decoder=decoder, likelihood=Gaussian("predicted"))
    model.compile("adam", run_eagerly=True)
    model.fit(TABLE, verbose=0)
    assert model.reconstruct(TABLE).shape == TABLE.shape and model.sample(3).shape == (3, 4)
    for arguments in ({"encoder": encoder}, {"latent_dim": 2, "tied": True}):
        with pytest.raises(ValueError, match="set tied=False, or give a decoder of your own"):
            aezoo.VAE(likelihood=Gaussian("predicted"), **arguments).build((None, 4))


def test_a_conditional_model_predicts_the_variance():
    model = ConditionalVAE(2, num_classes=2, likelihood=Gaussian("predicted"), seed=0)
    model.compile("adam", run_eagerly=True)
    label = np.arange(60, dtype="int32") % 2
    model.fit(TABLE, label, verbose=0)
    assert model.sample(3, label=1).shape == (3, 4)
    z = model.encode(TABLE, label=label)
    parameters = model.decode_parameters(z, {"label": tf.constant(label)})
    np.testing.assert_allclose(model.decode(z, label=label), parameters[:, :4], atol=1e-6)


@pytest.mark.slow
def test_counts():
    x = RNG.poisson([1.0, 2.0, 3.0, 5.0], (400, 4)).astype("float32")
    model = aezoo.VAE(2, likelihood="poisson", hidden_dims=(16,), seed=0)
    model.compile(keras.optimizers.Adam(0.02))
    model.fit(x, epochs=40, batch_size=50, verbose=0)  # a warning of the scale would be an error
    assert keras.activations.serialize(model.decoder.layers[-1].activation) == "softplus"
    np.testing.assert_allclose(np.mean(model.sample(500), axis=0), x.mean(axis=0), rtol=0.15)
    np.testing.assert_allclose(
        evaluation.reconstruction_error(model, x),
        -scipy.stats.poisson.logpmf(x, np.asarray(model.reconstruct(x), "float64")).sum(axis=1),
        rtol=1e-4,
    )
    with pytest.raises(ValueError, match=r"outside \[0, inf\]"):
        model.fit(-x, verbose=0)
    inside, outside = np.asarray(model.score_samples(np.array([[0.0, 2, 3, 5], [-2.0, 2, 3, 5]], "float32")))
    assert outside == pytest.approx(inside + 2 * 2**2, rel=1e-5)


@pytest.mark.slow
def test_classes():
    classes = np.eye(3, dtype="float32")[RNG.choice(3, (300, 2), p=[0.2, 0.3, 0.5])]
    model = aezoo.VAE(1, likelihood=Categorical(3), beta=5.0, seed=0)
    model.compile(keras.optimizers.Adam(0.02))
    model.fit(classes, epochs=20, verbose=0)
    np.testing.assert_allclose(np.sum(model.reconstruct(classes), axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.mean(model.sample(500), axis=0), classes.mean(axis=0), atol=0.05)
    with pytest.raises(ValueError, match=r"one-hot along their last axis, but they have shape \(4,\)"):
        aezoo.VAE(1, likelihood=Categorical(3)).build((None, 4))


@keras.saving.register_keras_serializable("tests")
class LogitBernoulli(Likelihood):
    """A user's own, of which the decoder's output is not the mean."""

    bounds = (0.0, 1.0)

    def negative_log_likelihood(self, y, y_pred):
        return tf.nn.sigmoid_cross_entropy_with_logits(y, y_pred)

    def mean(self, y_pred):
        return keras.ops.sigmoid(y_pred)


def test_a_likelihood_of_the_users_own_is_that_of_bernoulli(x, tmp_path):
    models = [aezoo.VAE(3, likelihood=likelihood, seed=0) for likelihood in (LogitBernoulli(), "bernoulli")]
    for model in models:
        model.compile("adam", run_eagerly=True)
        model.fit(x, epochs=2, shuffle=False, verbose=0)
    for verb in ("reconstruct", "score_samples"):
        a, b = (np.asarray(getattr(model, verb)(x)) for model in models)
        np.testing.assert_allclose(a, b, rtol=1e-4)
    with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
        models[0].fit(2 * x, verbose=0)
    models[0].save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.reconstruct(x), models[0].reconstruct(x))


def test_two_models_share_no_variance():
    likelihood = Gaussian(None)
    a, b = (aezoo.VAE(2, likelihood=likelihood) for _ in range(2))
    for model in (a, b):
        model.build((None, 4))
    a.log_variance.assign(1.0)
    assert float(b.log_variance.numpy()) == 0 and likelihood.variable is None


def test_the_names_are_the_objects():
    assert isinstance(likelihoods.get("bernoulli").loss, losses.CrossEntropy)
    for name, variance in (("bernoulli", None), ("gaussian", 0.5), ("gaussian", None), ("poisson", None)):
        config = aezoo.VAE(2, likelihood=name, variance=variance).get_config()
        assert (config["likelihood"], config["variance"]) == (name, variance)
    model = aezoo.VAE(2, likelihood="gaussian")
    model.build((None, 4))
    assert model.trainable_variables[0] is model.log_variance and model.log_variance.path.endswith("/log_variance")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gaussian(0.0), "variance must be"),
        (lambda: Gaussian("per_pixel"), "'per_feature' or 'predicted', but it is 'per_pixel'"),
        (lambda: Gaussian(True), "variance must be"),
        (lambda: Categorical(1), "at least 2"),
        (lambda: Categorical(2.5), "at least 2"),
        (lambda: likelihoods.get("student"), "likelihood='student' is unknown"),
        (lambda: likelihoods.get(None), "likelihood=None is unknown"),
        (lambda: aezoo.VAE(2, likelihood=Gaussian(), variance=2.0), "likelihood='gaussian'"),
        (lambda: built(Gaussian("per_feature"), (None, None, 3)), "needs samples of a fixed size"),
    ],
)
def test_wrong_arguments_are_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("likelihood", [Gaussian("per_feature"), Gaussian("predicted"), Gaussian(None)])
def test_a_variance_that_is_learned_goes_with_no_other_loss(likelihood):
    model = aezoo.VAE(2, likelihood=likelihood)
    model.compile("adam", loss="mse")
    with pytest.raises(ValueError, match="give compile no loss"):
        model.fit(TABLE, verbose=0)
