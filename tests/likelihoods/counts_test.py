"""Likelihoods of counts and of tables with columns of several kinds, against SciPy, direct sums and scikit-learn."""

import json
import math

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

import aezoo
from aezoo import likelihoods
from aezoo.likelihoods import MixedTable, NegativeBinomial, ZeroInflatedNegativeBinomial
from aezoo.likelihoods.counts import negative_binomial

RNG = np.random.default_rng(0)


def built(likelihood, x_shape):
    layer = keras.layers.Layer()
    likelihood.build(layer.add_weight, x_shape)
    return likelihood, layer


def exact(y, log_mean, log_r):
    """Return -log p in double precision; SciPy takes p = r / (r + μ) and loses digits of 1 - p for large r."""
    r, mean = np.exp(log_r), np.exp(log_mean)
    coefficient = scipy.special.gammaln(r) + scipy.special.gammaln(y + 1) - scipy.special.gammaln(y + r)
    return coefficient + y * np.log1p(r / mean) + r * np.log1p(mean / r)


# === The negative binomial distribution ===


def test_probabilities_of_ordinary_counts_agree_with_scipy():
    y, log_mean, log_r = np.meshgrid([0, 1, 2, 5, 20, 300], np.linspace(-3, 6, 10), np.linspace(-3, 4, 8))
    got = negative_binomial(y.astype("float32"), log_mean.astype("float32"), log_r.astype("float32"))
    r, mean = np.exp(log_r), np.exp(log_mean)
    np.testing.assert_allclose(got, -scipy.stats.nbinom.logpmf(y, r, r / (r + mean)), rtol=2e-5, atol=2e-6)


def test_extreme_values_keep_their_digits_and_their_gradient():
    axes = [0, 1, 2, 7, 100, 999, 12345, 1e5], np.linspace(-18, 16, 18), np.linspace(-9, 14, 12)
    y, log_mean, log_r = (axis.astype("float32") for axis in np.meshgrid(*axes))
    a, b, c = (tf.Variable(values) for values in (log_mean, log_r, y))
    with tf.GradientTape() as tape:
        got = negative_binomial(c, a, b)
    of_mean, of_r, of_y = (part.numpy() for part in tape.gradient(got, (a, b, c)))
    y, log_mean, log_r = (values.astype("float64") for values in (y, log_mean, log_r))
    expected = exact(y, log_mean, log_r)
    # Double precision itself loses digits to log-gamma functions of e^14.
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6 + 1e-15 * np.exp(log_r).max() * 15)
    step = 1e-4
    for got, axis in ((of_mean, 0), (of_r, 1)):
        shift = step * np.eye(2)[axis]
        high = exact(y, log_mean + shift[0], log_r + shift[1])
        low = exact(y, log_mean - shift[0], log_r - shift[1])
        near = log_r < 8  # beyond it the differences have too few digits
        np.testing.assert_allclose(got[near], ((high - low) / (2 * step))[near], rtol=2e-3, atol=2e-3)
    assert np.isfinite(of_mean).all() and np.isfinite(of_r).all() and np.isfinite(of_y).all()
    assert np.abs(of_r[log_r > 13][np.abs(y - np.exp(log_mean))[log_r > 13] < 10]).max() < 1e-2  # it is almost Poisson


def test_parameters_out_of_bounds_come_back():
    log_mean, log_r = tf.Variable([[-1e3, 1e3, 0.0, 0.0]]), tf.Variable([[0.0, 0.0, -1e3, 1e3]])
    y = tf.constant([[3.0, 3.0, 3.0, 30.0]])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(negative_binomial(y, log_mean, log_r))
    of_mean, of_r = (part.numpy()[0] for part in tape.gradient(loss, (log_mean, log_r)))
    assert np.isfinite(loss) and np.isfinite(of_mean).all() and np.isfinite(of_r).all()
    assert of_mean[0] < 0 < of_mean[1] and of_r[2] < 0 < of_r[3]


def parameters(likelihood, shape=(3, 4)):
    width = likelihood.decoder_shape(shape[1:])[-1]
    return RNG.normal(0.5, 0.5, (shape[0], width)).astype("float32")


FORMS = {
    "fixed": lambda kind, **kw: kind(2.0, **kw),
    "shared": lambda kind, **kw: kind(None, **kw),
    "per_feature": lambda kind, **kw: kind(**kw),
    "predicted": lambda kind, **kw: kind("predicted", **kw),
}


@pytest.mark.parametrize("library_size", [None, "observed"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", [NegativeBinomial, ZeroInflatedNegativeBinomial])
def test_a_likelihood_of_counts_is_the_distribution_it_names(kind, form, library_size):
    likelihood, layer = built(FORMS[form](kind, library_size=library_size), (4,))
    for weight in layer.trainable_weights:
        weight.assign(RNG.normal(0, 0.5, weight.shape))
    y_pred = parameters(likelihood)
    y = RNG.poisson(2, (3, 4)).astype("float32")
    y[0, 0] = 0
    first, rest = y_pred[:, :4].astype("float64"), y_pred[:, 4:]
    r = {"fixed": 2.0, "predicted": np.exp(rest[:, :4])}.get(form)
    r = np.exp(layer.trainable_weights[0].numpy()) if r is None else r
    mean = np.exp(first)
    if library_size:
        mean = scipy.special.softmax(first, axis=1) * y.sum(axis=1, keepdims=True)
    p = scipy.stats.nbinom.pmf(y, r, r / (r + mean))
    zeros = 0
    if kind is ZeroInflatedNegativeBinomial:
        zeros = scipy.special.expit(rest[:, -4:])
        p = zeros * (y == 0) + (1 - zeros) * p
    np.testing.assert_allclose(likelihood.negative_log_likelihood(y, y_pred), -np.log(p), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(likelihood.loss(y, y_pred), -np.log(p).sum(axis=1).mean(), rtol=1e-4)
    means = (1 - zeros) * mean
    np.testing.assert_allclose(likelihood.rescaled(likelihood.mean(y_pred), y), means, rtol=1e-4)
    many = np.repeat(y_pred[None], 8000, axis=0)
    if library_size:
        layer.non_trainable_weights[0].assign(float(y[0].sum()))  # the size of the first sample
        many, means, mean = many[:, :1], means[:1], mean[:1]
        r, zeros = (np.broadcast_to(v, (3, 4))[:1] for v in (r, zeros))
    drawn, again, other = (np.asarray(likelihood.sample(many, seed)) for seed in (1, [1, 0], 2))
    np.testing.assert_array_equal(drawn, again)
    assert not np.array_equal(drawn, other)
    assert (np.abs(drawn.mean(axis=0) - means) < 5 * drawn.std(axis=0) / np.sqrt(len(drawn)) + 1e-6).all()
    nothing = zeros + (1 - zeros) * scipy.stats.nbinom.pmf(0, r, r / (r + mean))
    np.testing.assert_allclose((drawn == 0).mean(axis=0), nothing, atol=5 * 0.5 / np.sqrt(len(drawn)))
    loaded = likelihoods.get(json.loads(json.dumps(keras.saving.serialize_keras_object(likelihood))))
    assert type(loaded) is kind and loaded.get_config() == likelihood.get_config()


def test_dispersions_start_at_the_moments():
    r = np.array([0.5, 2.0, 20.0])
    rng = np.random.default_rng(0)  # the same counts in any order of the tests
    x = rng.negative_binomial(r, r / (r + 6.0), (20_000, 3)).astype("float32")
    likelihood, layer = built(NegativeBinomial(), (3,))
    likelihood.initialize_from(x)
    np.testing.assert_allclose(np.exp(layer.weights[0].numpy()), r, rtol=0.15)
    likelihood.initialize_from(3 * x)  # they have been set
    np.testing.assert_allclose(np.exp(layer.weights[0].numpy()), r, rtol=0.15)
    likelihood, layer = built(NegativeBinomial(None, library_size="observed"), (3,))
    likelihood.initialize_from(x)
    assert float(layer.non_trainable_weights[0].numpy()) == np.median(x.sum(axis=1))
    empty, of_empty = built(NegativeBinomial(None, library_size="observed"), (3,))
    empty.initialize_from(np.concatenate([x, np.zeros((30_000, 3), "float32")]))  # their median total is 0
    assert float(of_empty.non_trainable_weights[0].numpy()) == np.median(x.sum(axis=1))


# === Counts in a model ===


def cells(n=300, genes=12, seed=0):
    """Return counts of cells of two kinds, sequenced to depths from 20 to 400, the kinds and their shares of genes."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, n)
    shares = rng.dirichlet(np.ones(genes), 2)
    depth = np.exp(rng.uniform(np.log(20), np.log(400), (n, 1)))
    return rng.poisson(depth * shares[kind] * rng.gamma(5, 1 / 5, (n, genes))).astype("float32"), kind, shares


@pytest.fixture(scope="module")
def of_cells():
    x, kind, shares = cells()
    model = aezoo.VAE(2, hidden_dims=(16,), likelihood=NegativeBinomial(library_size="observed"), seed=0)
    model.compile(keras.optimizers.Adam(0.02), metrics=["mse"])
    # Shuffling would depend on the global seed of TensorFlow. A warning of the scale would be an error.
    history = model.fit(x, epochs=30, batch_size=50, shuffle=False, verbose=0).history
    return model, x, kind, shares, history


@pytest.mark.slow
def test_every_verb_has_the_library_size_of_its_sample(of_cells):
    model, x, kind, shares, history = of_cells
    total = x.sum(axis=1, keepdims=True)
    reconstruction = np.asarray(model.reconstruct(x))
    np.testing.assert_allclose(reconstruction.sum(axis=1, keepdims=True), total, rtol=1e-4)
    np.testing.assert_allclose(model.predict(x, verbose=0), reconstruction, rtol=1e-4)
    np.testing.assert_allclose(model(x), reconstruction, rtol=1e-4)
    z = model.encode(x)
    np.testing.assert_allclose(np.sum(model.decode(z), axis=1), np.median(total), rtol=1e-4)
    np.testing.assert_allclose(model.decode(z) / np.median(total) * total, reconstruction, rtol=1e-4)
    assert model.sample(5).shape == (5, 12)
    # The shares of both kinds of cells have been learned, though no cell has the same depth.
    for i in range(2):
        np.testing.assert_allclose((reconstruction / total)[kind == i].mean(axis=0), shares[i], atol=0.03)
    (log_r,) = (weight for weight in model.weights if weight.name == "log_inverse_dispersion")
    r = np.exp(log_r.numpy().astype("float64"))
    p = r / (r + reconstruction.astype("float64"))
    expected = -scipy.stats.nbinom.logpmf(x, r, p).sum(axis=1)
    np.testing.assert_allclose(aezoo.evaluation.reconstruction_error(model, x), expected, rtol=1e-3)
    assert history["mse"][-1] == pytest.approx(np.mean((reconstruction - x) ** 2), rel=0.5)


@pytest.mark.slow
def test_a_model_of_counts_is_saved_and_exported(of_cells, tmp_path):
    model, x, *_ = of_cells
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.reconstruct(x), model.reconstruct(x))
    model.export(tmp_path / "1")
    served = tf.saved_model.load(tmp_path / "1").signatures
    got = served["serving_default"](x=tf.constant(x[:5]))["reconstruction"]
    np.testing.assert_allclose(got, model.reconstruct(x[:5]), rtol=1e-4)
    np.testing.assert_allclose(served["score"](x=tf.constant(x[:5]))["score"], model.score_samples(x[:5]), rtol=1e-4)


def test_the_encoder_sees_logarithms():
    for log_input in (True, False):
        model = aezoo.VAE(2, likelihood=NegativeBinomial(log_input=log_input), seed=0)
        model.build((None, 3))
        x = np.array([[0.0, 5.0, 1e5]], "float32")
        kernel, bias = model.encoder.get_layer("code").get_weights()
        seen = np.log1p(x) if log_input else x
        np.testing.assert_allclose(model.encode(x), seen @ kernel + bias, rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NegativeBinomial(0.0), r"inverse_dispersion must be inside \(0, inf\)"),
        (lambda: NegativeBinomial(True), "inverse_dispersion must be"),
        (lambda: NegativeBinomial(library_size="learned"), "'observed' or None, but it is 'learned'"),
        (lambda: built(NegativeBinomial(), (None, 3)), "needs samples of a fixed size"),
        (lambda: built(NegativeBinomial(1.0, library_size="observed"), (4, 4)), "sum of a vector of counts"),
        (
            lambda: aezoo.VAE(2, likelihood=NegativeBinomial(library_size="observed"), missing="mask"),
            "library size of a sample with missing values is unknown",
        ),
        (lambda: MixedTable([]), "at least one column"),
        (lambda: MixedTable([("a", "real")]), "with a kind of 'gaussian'"),
        (
            lambda: MixedTable([("a", "categorical")]),
            "must be a positive integer, but it is missing",
        ),
        (lambda: MixedTable([("a", "gaussian", 3)]), "has no classes: leave out 3"),
        (lambda: MixedTable([("a", "gaussian")], {"a": "gaussian"}), "for a dict of columns"),
        (lambda: MixedTable({"a": slice(0, 1)}, {}), "Column 'a' has no kind"),
        (lambda: MixedTable({"a": slice(1, 2)}, {"a": "numeric"}), "No column has feature 0"),
        (lambda: built(MixedTable([("a", "gaussian")]), (2,)), r"have 1 features, but samples have shape \(2,\)"),
    ],
)
def test_wrong_arguments_are_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# === Tables ===

COLUMNS = [
    ("age", "gaussian"),
    ("color", "categorical", 3),
    ("visits", "poisson"),
    ("member", "bernoulli"),
    ("grade", "ordinal", 4),
    ("income", "numeric"),
    ("height", "numeric"),
    ("clicks", "count"),
]


def rows(n=3, seed=1):
    rng = np.random.default_rng(seed)
    parts = [
        rng.normal(size=(n, 1)),
        np.eye(3)[rng.integers(0, 3, n)],
        rng.poisson(3, (n, 1)),
        rng.integers(0, 2, (n, 1)),
        np.eye(4)[rng.choice(4, n, p=[0.1, 0.2, 0.3, 0.4])],
        rng.normal(size=(n, 2)),
        rng.negative_binomial(2, 0.3, (n, 1)),
    ]
    return np.concatenate(parts, axis=1).astype("float32")


@pytest.fixture
def table():
    likelihood, layer = built(MixedTable(COLUMNS), (13,))
    for weight in layer.weights:
        weight.assign(RNG.normal(0, 0.5, weight.shape))
    return likelihood, {weight.name: weight.numpy().astype("float64") for weight in layer.weights}


def ordinal(weights, f):
    steps = np.concatenate([weights[:1], np.log1p(np.exp(weights[1:])) + 1e-3])
    return np.diff(scipy.special.expit(np.cumsum(steps) - f[:, None]), axis=1, prepend=0, append=1)


def test_each_column_has_its_distribution(table):
    likelihood, weights = table
    assert likelihood.decoder_shape((13,)) == (10,)  # an ordinal column has one score
    x, y_pred = rows(), RNG.normal(size=(3, 10)).astype("float32")
    deviation = np.exp(weights["log_variance"] / 2)
    r, mean = np.exp(weights["log_inverse_dispersion"]), np.exp(y_pred[:, 9:].astype("float64"))
    expected = [
        scipy.stats.norm.logpdf(x[:, :1], y_pred[:, :1], deviation[0]),
        x[:, 1:4] * scipy.special.log_softmax(y_pred[:, 1:4], axis=1),
        scipy.stats.poisson.logpmf(x[:, 4:5], np.exp(y_pred[:, 4:5])),
        scipy.stats.bernoulli.logpmf(x[:, 5:6], scipy.special.expit(y_pred[:, 5:6])),
        x[:, 6:10] * np.log(ordinal(weights["thresholds"], y_pred[:, 6])),
        scipy.stats.norm.logpdf(x[:, 10:12], y_pred[:, 7:9], deviation[1:]),
        scipy.stats.nbinom.logpmf(x[:, 12:], r, r / (r + mean)),
    ]
    got = likelihood.negative_log_likelihood(x, y_pred)
    np.testing.assert_allclose(got, -np.concatenate(expected, axis=1), rtol=1e-4, atol=1e-5)
    unknown = x.copy()
    unknown[:, [1, 2, 3, 6, 7, 8, 9]] = 0
    np.testing.assert_array_equal(np.asarray(likelihood.negative_log_likelihood(unknown, y_pred))[:, 6:10], 0)


def test_means_and_samples_of_a_table_agree(table):
    likelihood, weights = table
    y_pred = RNG.normal(0, 0.5, (1, 10)).astype("float32")
    mean = np.asarray(likelihood.mean(y_pred))[0]
    np.testing.assert_allclose(mean[1:4], scipy.special.softmax(y_pred[0, 1:4]), rtol=1e-5)
    np.testing.assert_allclose(mean[6:10], ordinal(weights["thresholds"], y_pred[:, 6])[0], rtol=1e-4)
    np.testing.assert_allclose(mean[[0, 10, 11]], y_pred[0, [0, 7, 8]])
    drawn = np.asarray(likelihood.sample(np.repeat(y_pred, 20_000, axis=0), 1))
    assert (np.abs(drawn.mean(axis=0) - mean) < 5 * drawn.std(axis=0) / np.sqrt(len(drawn)) + 1e-6).all()
    np.testing.assert_allclose(drawn[:, [0, 10, 11]].std(axis=0), np.exp(weights["log_variance"] / 2), rtol=0.05)
    assert (drawn[:, 1:4].sum(axis=1) == 1).all() and (drawn[:, 6:10].sum(axis=1) == 1).all()


def test_large_counts_have_the_same_mean_in_a_table():
    logits = np.array([[17.0, 25.0]], "float32")
    in_table = MixedTable([("clicks", "count"), ("views", "count")]).mean(logits)
    np.testing.assert_allclose(in_table, np.exp([[17.0, 20.0]]), rtol=1e-5)
    np.testing.assert_array_equal(in_table, NegativeBinomial().mean(logits))


def test_a_table_starts_at_the_optimum_without_a_code():
    x = rows(4000)
    likelihood, layer = built(MixedTable(COLUMNS), (13,))
    likelihood.initialize_from(x)
    named = {weight.name: weight.numpy() for weight in layer.weights}
    np.testing.assert_allclose(np.exp(named["log_variance"]), x[:, [0, 10, 11]].var(axis=0), rtol=1e-4)
    at_zero = np.asarray(likelihood.mean(np.zeros((1, 10), "float32")))
    np.testing.assert_allclose(at_zero[0, 6:10], x[:, 6:10].mean(axis=0), atol=2e-3)
    np.testing.assert_allclose(np.exp(named["log_inverse_dispersion"]), 2, rtol=0.2)


def test_values_outside_a_columns_domain_are_not_scored_in_silence():
    likelihood = MixedTable(COLUMNS)
    x, y_pred = rows(1), np.zeros((1, 10), "float32")
    x[:, [4, 5, 12]] = 0, 1, 0
    wrong = x.copy()
    wrong[:, [4, 5, 12]] = -2, 3, -1
    difference = likelihood.negative_log_likelihood(wrong, y_pred) - likelihood.negative_log_likelihood(x, y_pred)
    np.testing.assert_allclose(np.asarray(difference)[0, [4, 5, 12]], [8, 8, 2])
    model = aezoo.VAE(2, likelihood=MixedTable(COLUMNS))
    model.compile("adam", run_eagerly=True)
    for column, value, message in (
        (4, -1, "'visits' has counts"),
        (5, -0.5, r"'member' must be 0 or 1, but one of its values is -0\.5"),
        (1, 5, "one-hot"),
    ):
        wrong = rows(20)
        wrong[3, column] = value
        with pytest.raises(ValueError, match=message):
            model.fit(wrong, verbose=0)
    shifted = rows(20)
    shifted[:, 0] += 100
    with pytest.warns(UserWarning, match="mean 0 and variance 1"):
        model.fit(shifted, verbose=0)


class Preprocessing:
    """The attributes of a TablePreprocessing that a likelihood uses."""

    def __init__(self):
        self.groups = {"b": slice(1, 4), "a": slice(0, 1), "c": slice(4, 6), "d": slice(6, 7)}
        self.kinds = {"a": "date", "b": "ordinal", "c": "categorical", "d": "count"}


def test_a_table_takes_its_columns_from_a_preprocessing():
    likelihood = MixedTable.of(Preprocessing())
    expected = [("a", "gaussian"), ("b", "ordinal", 3), ("c", "categorical", 2), ("d", "negative_binomial")]
    assert likelihood.columns == expected
    again = likelihoods.get(json.loads(json.dumps(keras.saving.serialize_keras_object(likelihood))))
    assert again.get_config() == likelihood.get_config() and again.columns == expected


def latent_table(n, seed=0):
    """Return rows with columns of every kind, which depend on one hidden number."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    grade = np.digitize(z + rng.logistic(0, 0.3, n), [-1, 0, 1])
    color = np.where(rng.random(n) < 0.9, (z > 0.3).astype(int), 2)
    parts = [
        (z + rng.normal(0, 0.2, n))[:, None],
        np.eye(3)[color],
        rng.poisson(np.exp(1 + z))[:, None],
        (rng.random(n) < scipy.special.expit(4 * z))[:, None],
        np.eye(4)[grade],
        -z[:, None] + rng.normal(0, 0.3, (n, 2)),
        rng.negative_binomial(5, 5 / (5 + np.exp(2 - z)))[:, None],
    ]
    return np.concatenate(parts, axis=1).astype("float32")


@pytest.mark.slow
def test_a_model_of_a_mixed_table_imputes_every_kind_of_column(tmp_path):
    x = latent_table(1500)
    train, test = x[:1200], x[1200:]
    ranges = {name: features for name, _, features in MixedTable(COLUMNS)._ranges()}
    holes = np.random.default_rng(1).random((len(x), len(COLUMNS))) < 0.2
    missing = x.copy()
    for i, features in enumerate(ranges.values()):
        missing[holes[:, i], features] = np.nan
    model = aezoo.VAE(2, hidden_dims=(32,), likelihood=MixedTable(COLUMNS), missing="mask", seed=0)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(missing[:1200], epochs=40, batch_size=50, verbose=0)
    complete = np.asarray(model.impute(missing[1200:], samples=50))
    there = ~np.isnan(missing[1200:])
    np.testing.assert_array_equal(complete[there], missing[1200:][there])
    for i, (name, features) in enumerate(ranges.items()):
        rows = holes[1200:, i]
        guess, truth = complete[rows, features], test[rows, features]
        if truth.shape[1] > 1:
            most = np.mean(truth.argmax(axis=1) == train[:, features].sum(axis=0).argmax())
            assert np.mean(guess.argmax(axis=1) == truth.argmax(axis=1)) > most + 0.15, name
        else:
            assert np.mean((guess - truth) ** 2) < 0.7 * np.mean((train[:, features].mean(axis=0) - truth) ** 2), name
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.impute(missing), model.impute(missing))
    assert math.isfinite(float(np.mean(model.score_samples(missing))))
